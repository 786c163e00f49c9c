import type { Logger } from 'pino';
import type { ReadQueue } from './read-queue.ts';
import { type StoredRoute, StoreUnavailableError } from './route-store.ts';

/** What a first read came to: what the store holds (undefined: nothing), or that it couldn't be read. */
export type Loaded =
  | { readonly outcome: 'read'; readonly stored: StoredRoute | undefined; readonly changed: boolean }
  | { readonly outcome: 'failed' };

interface Load<Waiter> {
  readonly waiters: Waiter[];
  /** The table changed, or its watch was lost, after the read was sent: what it brings is not to be trusted for long. */
  changed: boolean;
}

/** The first reads of tables: one read however many wait for it. */
export class RouteLoading<Waiter> {
  readonly #reads: ReadQueue;
  readonly #read: (table: string) => Promise<StoredRoute | undefined>;
  readonly #onEnd: (table: string, waiters: readonly Waiter[], loaded: Loaded) => void;
  readonly #logger: Logger;
  readonly #loads = new Map<string, Load<Waiter>>();

  constructor(
    reads: ReadQueue,
    read: (table: string) => Promise<StoredRoute | undefined>,
    onEnd: (table: string, waiters: readonly Waiter[], loaded: Loaded) => void,
    logger: Logger,
  ) {
    this.#reads = reads;
    this.#read = read;
    this.#onEnd = onEnd;
    this.#logger = logger;
  }

  /** Waits for a read that is under way; false where there is none. */
  join(table: string, waiter: Waiter): boolean {
    const load = this.#loads.get(table);
    load?.waiters.push(waiter);
    return load !== undefined;
  }

  /** Begins a read; false where too many wait already. */
  begin(table: string, waiter: Waiter): boolean {
    this.#loads.set(table, { waiters: [waiter], changed: false });
    if (this.#reads.addUrgent(() => this.#run(table))) return true;
    this.#loads.delete(table);
    return false;
  }

  /** What is being read of that table may be overtaken already. */
  changed(table: string): void {
    const load = this.#loads.get(table);
    if (load !== undefined) load.changed = true;
  }

  /** The same for all tables: the watches are lost. */
  allChanged(): void {
    for (const load of this.#loads.values()) load.changed = true;
  }

  async #run(table: string): Promise<void> {
    const load = this.#loads.get(table) as Load<Waiter>;
    let loaded: Loaded;
    try {
      const stored = await this.#read(table);
      loaded = { outcome: 'read', stored, changed: load.changed };
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) {
        this.#logger.error({ table, err: error }, 'reading the registry failed, answering as if it were away');
      }
      loaded = { outcome: 'failed' };
    }
    this.#loads.delete(table);
    this.#onEnd(table, load.waiters, loaded);
  }
}
