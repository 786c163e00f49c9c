import type { LoadControl } from './load-control.ts';
import { LoadGenerator } from './load-generator.ts';
import type { LoadCall, LoadResult } from './load-process.ts';

/** The load as a process of its own, so that nothing that the runner does disturbs what clients see. */
const load = new LoadGenerator();

process.on('message', ({ id, method, args }: LoadCall) => {
  const run = load[method] as (...args: unknown[]) => ReturnType<LoadControl[typeof method]>;
  const result: LoadResult = { id, result: run.apply(load, [...args]) };
  process.send?.(result);
});
// The runner ends it, and it never outlives the runner.
process.on('disconnect', () => process.exit());
process.on('SIGINT', () => {});
