/** The project's folder, as seen from this file once it is compiled: `.cache/chaos/test/chaos/stage/`. */
export const PROJECT = new URL('../../../../../', import.meta.url);
