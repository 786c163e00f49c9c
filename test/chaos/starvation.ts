import { readFileSync } from 'node:fs';
import { now } from './clock.ts';

const NANOSECONDS_PER_MS = 1e6;

/** A process that may be started again meanwhile, as another one. */
export interface Watched {
  readonly pid: number | undefined;
}

/**
 * How much of the time some process wanted a processor and had none: what is measured on a machine that is busy with
 * something else says nothing about the program.
 */
export class StarvationMeter {
  readonly #startedAt = now();
  readonly #begun: readonly {
    readonly watched: Watched;
    readonly pid: number | undefined;
    readonly waitedMs: number;
  }[];

  constructor(processes: readonly Watched[]) {
    this.#begun = processes.map((watched) => ({ watched, pid: watched.pid, waitedMs: waitedMs(watched.pid) }));
  }

  /** Since the meter was made, the worst of its processes: 0 to 1. */
  share(): number {
    const waited = this.#begun.map(({ watched, pid, waitedMs: before }) => {
      // A new process has waited for nobody before.
      return waitedMs(watched.pid) - (watched.pid === pid ? before : 0);
    });
    return Math.max(0, ...waited) / (now() - this.#startedAt);
  }
}

/** For how long the process's main thread has waited for a processor, ms (proc(5): schedstat); 0 where none tells. */
function waitedMs(pid: number | undefined): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / NANOSECONDS_PER_MS;
  } catch {
    return 0;
  }
}
