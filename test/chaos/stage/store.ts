import { now } from '../clock.ts';
import { ALLOWANCE_MS } from '../layout.ts';

/** Whether the store can be read, seen from outside: since when a change to it could be known. */
export class StoreHealth {
  /** Undefined while it can't be read. May lie ahead, where the proxy needs time to notice that one server is silent. */
  #readableSince: number | undefined = now();
  readonly #listeners = new Set<() => void>();

  get readableSince(): number | undefined {
    return this.#readableSince;
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  lost(): void {
    this.#set(undefined);
  }

  readable(since = now()): void {
    this.#set(since);
  }

  /** When a change that was written at that time could be known at the latest; undefined while that isn't so. */
  knowableFrom(writtenAt: number): number | undefined {
    return this.#readableSince === undefined ? undefined : Math.max(writtenAt, this.#readableSince);
  }

  /** Whether what could be known from then on has had its time. */
  static isOver(knowableFrom: number): boolean {
    return now() > knowableFrom + ALLOWANCE_MS;
  }

  #set(since: number | undefined): void {
    this.#readableSince = since;
    for (const listener of this.#listeners) listener();
  }
}

/** The ZooKeeper of a stage: what the proxy is configured with, and where the runner writes. */
export interface ChaosStore {
  readonly health: StoreHealth;
  /** The servers of the proxy's configuration, some of them dead. */
  readonly servers: readonly string[];
  /** Where the runner writes. */
  readonly writeServers: string;
  /** Everything runs again. */
  restore(): Promise<void>;
  stop(): Promise<void>;
}
