const TABLE_NAME = /^[A-Za-z0-9_.:]{1,255}$/;
const DOTS_ALONE = /^\.+$/;

/**
 * Whether this can be the name of a table. The pattern is Pegasus' own; a name of dots alone would be a path segment
 * ("..") in a store, so it is no table here. Nothing else may ever become part of a znode's path.
 */
export function isTableName(name: string): boolean {
  return TABLE_NAME.test(name) && !DOTS_ALONE.test(name);
}
