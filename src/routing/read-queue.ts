import { Fifo } from './fifo.ts';

/** A table to be read, or undefined where a queued one is not wanted any more. */
export type ReadJob = () => Promise<void>;

/**
 * Lets a bounded number of store reads run at a time. What clients wait for goes first; the re-reading of what is
 * cached takes half of the places at most, so that thousands of those never stand in a client's way.
 */
export class ReadQueue {
  readonly #atOnce: number;
  readonly #backgroundAtOnce: number;
  readonly #maxUrgent: number;
  readonly #urgent = new Fifo<ReadJob>();
  readonly #background = new Fifo<ReadJob>();
  #running = 0;
  #backgroundRunning = 0;

  constructor(atOnce: number, maxUrgent: number) {
    this.#atOnce = atOnce;
    this.#backgroundAtOnce = Math.max(1, Math.floor(atOnce / 2));
    this.#maxUrgent = maxUrgent;
  }

  /** Runs the job as soon as there is a place; false where too many are waiting already. */
  addUrgent(job: ReadJob): boolean {
    if (this.#urgent.length >= this.#maxUrgent) return false;
    this.#urgent.push(job);
    this.#run();
    return true;
  }

  /** Runs the job when nothing urgent is waiting. Its caller bounds how many there are: one a cached table at most. */
  addBackground(job: ReadJob): void {
    this.#background.push(job);
    this.#run();
  }

  #run(): void {
    while (this.#running < this.#atOnce) {
      const urgent = this.#urgent.shift();
      if (urgent !== undefined) {
        this.#start(urgent, false);
        continue;
      }
      const job = this.#backgroundRunning < this.#backgroundAtOnce ? this.#background.shift() : undefined;
      if (job === undefined) return;
      this.#start(job, true);
    }
  }

  #start(job: ReadJob, isBackground: boolean): void {
    this.#running++;
    if (isBackground) this.#backgroundRunning++;
    void job().finally(() => {
      this.#running--;
      if (isBackground) this.#backgroundRunning--;
      this.#run();
    });
  }
}
