import { StoreUnavailableError } from './route-store.ts';
import type { Done } from './zookeeper-client.ts';

interface Waiter {
  timer: NodeJS.Timeout | undefined;
  readonly reject: (error: Error) => void;
}

/**
 * What one connection has been asked and has not answered yet: every operation has a deadline, and there is a bound to
 * their number. ZooKeeper answers in order, so an operation given up on still counts until its answer has come.
 */
export class ZookeeperOperations {
  readonly #max: number;
  readonly #waiters = new Set<Waiter>();
  #outstanding = 0;
  #closedBecause: string | undefined;

  constructor(max: number) {
    this.#max = max;
  }

  get outstanding(): number {
    return this.#outstanding;
  }

  /** Starts an operation. Rejects with `StoreUnavailableError`, whatever the failure. */
  run<T>(timeoutMs: number, start: (done: Done<T>) => void): Promise<T> {
    if (this.#closedBecause !== undefined) return Promise.reject(new StoreUnavailableError(this.#closedBecause));
    if (this.#outstanding >= this.#max) {
      return Promise.reject(new StoreUnavailableError(`${this.#max} ZooKeeper operations are outstanding`));
    }
    this.#outstanding += 1;
    return new Promise<T>((resolve, reject) => {
      const onDeadline = (): void => this.#reject(waiter, `no answer from ZooKeeper within ${timeoutMs} ms`);
      // The answer may lie in the socket already, after a long turn of ours: it is read before an immediate runs.
      const arm = (): void => {
        if (this.#waiters.has(waiter)) waiter.timer = setTimeout(() => setImmediate(onDeadline), timeoutMs);
      };
      const waiter: Waiter = { timer: undefined, reject };
      this.#waiters.add(waiter);
      start((error, value) => {
        this.#outstanding -= 1;
        if (error !== undefined) {
          this.#reject(waiter, `ZooKeeper: ${error.message}`);
        } else if (this.#waiters.delete(waiter)) {
          clearTimeout(waiter.timer);
          resolve(value as T);
        } // else it is late, and nobody waits any more
      });
      process.nextTick(arm); // behind the write, which the client puts off to the end of this turn
    });
  }

  /** Rejects all that wait, and whatever is asked from now on. */
  close(reason: string): void {
    this.#closedBecause = reason;
    for (const waiter of this.#waiters) this.#reject(waiter, reason);
  }

  #reject(waiter: Waiter, message: string): void {
    if (!this.#waiters.delete(waiter)) return;
    clearTimeout(waiter.timer);
    waiter.reject(new StoreUnavailableError(message));
  }
}
