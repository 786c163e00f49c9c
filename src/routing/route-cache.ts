import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { Metrics } from '../telemetry/metrics.ts';
import { ReadQueue } from './read-queue.ts';
import { type Route, sameRoute } from './route.ts';
import { type RouteStore, type RouteStoreListener, type StoredRoute, StoreUnavailableError } from './route-store.ts';

export interface RouteCacheLimits {
  /** Tables kept, the least recently asked for going first. */
  readonly capacity: number;
  /** Names remembered to be no table, and for how long (ms): a second bound where no watch tells of their creation. */
  readonly missingCapacity: number;
  readonly missingTtlMs: number;
}

/** What the cache's owner makes of a route, as long as the cache holds it: the relay makes it the cluster to ask. */
export interface RouteBinding<Target> {
  acquire(route: Route): Target;
  release(route: Route): void;
}

/** What came of looking a table up. */
export type Lookup<Target> =
  | { readonly outcome: 'found'; readonly table: CachedTable<Target> }
  /** The registry says that there is no such table. */
  | { readonly outcome: 'missing' }
  /** The registry can't be read, and nothing is known of the table. */
  | { readonly outcome: 'unavailable' }
  /** More tables are being read than may wait. */
  | { readonly outcome: 'overloaded' };

/** One table as the cache knows it. */
export interface CachedTable<Target> {
  readonly name: string;
  /** Where it is; undefined where its content has never been readable. */
  readonly route: Route | undefined;
  readonly target: Target | undefined;
  /** The znode's mzxid of that content, good or bad. */
  readonly version: bigint;
}

interface Entry<Target> extends CachedTable<Target> {
  route: Route | undefined;
  target: Target | undefined;
  version: bigint;
  /** The session (counted by the cache) in which the content was last read. */
  session: number;
  /** A re-read is queued or under way; `again`: something changed meanwhile. */
  rereading: boolean;
  again: boolean;
}

/** The first read of a table, under way. */
interface Loading<Waiter> {
  readonly waiters: Waiter[];
  /** The table changed, or its watch was lost, after the read was sent: what it brings is not to be trusted for long. */
  changed: boolean;
}

const READS_AT_ONCE = 64;
const MAX_WAITING_LOADS = 10_000;
const RETRY_AFTER_MS = 1000;

const MISSING = { outcome: 'missing' } as const;
const UNAVAILABLE = { outcome: 'unavailable' } as const;
const OVERLOADED = { outcome: 'overloaded' } as const;

/**
 * Table → route: the one owner of what is known. Filled when a table is first asked for, by one read however many
 * wait; kept right by the store's watches; served as it is while the store is away. Bad content never replaces good,
 * old content never replaces new, and a table is only taken away by a store that is there to say so.
 */
export class RouteCache<Target, Waiter> implements RouteStoreListener {
  readonly #store: RouteStore;
  readonly #binding: RouteBinding<Target>;
  readonly #onLoaded: (waiters: readonly Waiter[], lookup: Lookup<Target>) => void;
  readonly #metrics: Metrics;
  readonly #logger: Logger;
  readonly #tables: LRUCache<string, Entry<Target>>;
  readonly #missing: LRUCache<string, true>;
  readonly #loading = new Map<string, Loading<Waiter>>();
  readonly #reads = new ReadQueue(READS_AT_ONCE, MAX_WAITING_LOADS);
  readonly #retries = new Set<string>();
  #retryTimer: NodeJS.Timeout | undefined;
  #session = 0;
  #closed = false;

  constructor(
    store: RouteStore,
    binding: RouteBinding<Target>,
    onLoaded: (waiters: readonly Waiter[], lookup: Lookup<Target>) => void,
    limits: RouteCacheLimits,
    metrics: Metrics,
    logger: Logger,
  ) {
    this.#store = store;
    this.#binding = binding;
    this.#onLoaded = onLoaded;
    this.#metrics = metrics;
    this.#logger = logger;
    this.#tables = new LRUCache({
      max: limits.capacity,
      dispose: (entry) => {
        if (entry.route !== undefined) this.#binding.release(entry.route);
      },
    });
    this.#missing = new LRUCache({ max: limits.missingCapacity, ttl: Math.max(1, limits.missingTtlMs) });
  }

  /** Begins to read, as far as the store lets it. */
  start(): void {
    this.#store.start(this);
  }

  /** Tables in the cache. */
  get size(): number {
    return this.#tables.size;
  }

  /** Whether the table is cached; it doesn't count as a use. */
  has(table: string): boolean {
    return this.#tables.has(table);
  }

  /** The table if it is cached: the hot path's one look-up. It counts as a use. */
  get(table: string): CachedTable<Target> | undefined {
    return this.#tables.get(table);
  }

  /**
   * Looks up a table that `get` does not know: the answer where there is one already, else undefined, and `waiter`
   * is handed to `onLoaded` when it has been read. `table` must be a valid table name.
   */
  load(table: string, waiter: Waiter): Lookup<Target> | undefined {
    if (this.#missing.has(table)) return MISSING;
    const loading = this.#loading.get(table);
    if (loading !== undefined) {
      loading.waiters.push(waiter);
      return undefined;
    }
    if (!this.#store.available) return UNAVAILABLE;
    this.#loading.set(table, { waiters: [waiter], changed: false });
    if (this.#reads.addUrgent(() => this.#load(table))) return undefined;
    this.#loading.delete(table);
    return OVERLOADED;
  }

  /** Whether what is cached of the table can have been overtaken: the store is away, or not yet asked again. */
  isStale(table: string): boolean {
    const entry = this.#tables.peek(table);
    return entry !== undefined && (!this.#store.available || entry.session !== this.#session);
  }

  onChanged(table: string): void {
    this.#metrics.registryEvents.value++;
    this.#missing.delete(table);
    // The event can come in one chunk with the read's own answer, and be told of before that answer is worked off.
    const loading = this.#loading.get(table);
    if (loading !== undefined) loading.changed = true;
    const entry = this.#tables.peek(table);
    if (entry !== undefined) this.#reread(entry);
  }

  onAvailable(): void {
    this.#session++;
    this.#metrics.registryAvailable.value = 1;
    this.#missing.clear();
    for (const loading of this.#loading.values()) loading.changed = true;
    // The most recently used first: what clients ask for is verified first.
    const tables = [...this.#tables.values()].filter((entry) => entry !== undefined);
    const fields = { registry: this.#store.kind, cached: tables.length };
    this.#logger.info(fields, 'registry can be read, verifying the cached tables');
    for (const entry of tables) this.#reread(entry);
  }

  onUnavailable(reason: string): void {
    this.#metrics.registryAvailable.value = 0;
    const fields = { registry: this.#store.kind, reason, cached: this.#tables.size };
    this.#logger.warn(fields, 'registry can not be read, serving the cached tables as they are');
  }

  /** Stops reading and closes the store. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    await this.#store.close();
    this.#tables.clear();
  }

  async #load(table: string): Promise<void> {
    const loading = this.#loading.get(table) as Loading<Waiter>;
    let lookup: Lookup<Target>;
    try {
      const stored = await this.#read(table);
      lookup = this.#take(table, stored, loading.changed);
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) {
        this.#logger.error({ table, err: error }, 'reading the registry failed, answering as if it were away');
      }
      lookup = UNAVAILABLE;
    }
    this.#loading.delete(table);
    this.#onLoaded(loading.waiters, lookup);
  }

  async #read(table: string): Promise<StoredRoute | undefined> {
    try {
      const stored = await this.#store.read(table);
      this.#metrics.registryReads.inc(stored === undefined ? 'missing' : 'found');
      return stored;
    } catch (error) {
      this.#metrics.registryReads.inc('failed');
      throw error;
    }
  }

  /** Takes in what a first read has brought. */
  #take(table: string, stored: StoredRoute | undefined, changed: boolean): Lookup<Target> {
    if (stored === undefined) {
      if (!changed) this.#missing.set(table, true);
      return MISSING;
    }
    const entry: Entry<Target> = {
      name: table,
      route: stored.route,
      target: stored.route === undefined ? undefined : this.#binding.acquire(stored.route),
      version: stored.version,
      session: this.#session,
      rereading: false,
      again: false,
    };
    if (stored.route === undefined) this.#reportUnreadable(table, stored.problem, undefined);
    else this.#logger.debug({ table, cluster: stored.route.cluster, metas: stored.route.metas }, 'route read');
    this.#tables.set(table, entry);
    this.#metrics.cachedTables.value = this.#tables.size;
    if (changed) this.#reread(entry);
    return { outcome: 'found', table: entry };
  }

  #reread(entry: Entry<Target>): void {
    if (entry.rereading) {
      entry.again = true;
      return;
    }
    entry.rereading = true;
    this.#reads.addBackground(() => this.#rereadNow(entry));
  }

  async #rereadNow(entry: Entry<Target>): Promise<void> {
    // It may have been evicted, or the daemon stopped, while the read was queued.
    if (this.#closed || this.#tables.peek(entry.name) !== entry) return;
    do {
      entry.again = false;
      const session = this.#session;
      try {
        const stored = await this.#read(entry.name);
        if (this.#closed || this.#tables.peek(entry.name) !== entry) return;
        this.#update(entry, stored, session);
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) {
          this.#logger.error({ table: entry.name, err: error }, 'reading the registry failed, trying again');
        }
        this.#retryLater(entry.name);
        break;
      }
    } while (entry.again);
    entry.rereading = false;
  }

  /** A store that is away will ask for all tables when it is back; one that failed while it is there is asked again. */
  #retryLater(table: string): void {
    if (this.#closed) return;
    this.#retries.add(table);
    this.#retryTimer ??= setTimeout(() => {
      this.#retryTimer = undefined;
      const tables = [...this.#retries];
      this.#retries.clear();
      if (!this.#store.available) return;
      for (const name of tables) {
        const entry = this.#tables.peek(name);
        if (entry !== undefined) this.#reread(entry);
      }
    }, RETRY_AFTER_MS);
  }

  /** Takes in what a re-read has brought: the one place where a cached route changes. */
  #update(entry: Entry<Target>, stored: StoredRoute | undefined, session: number): void {
    if (stored === undefined) {
      this.#remove(entry);
      return;
    }
    // A server that lags behind the one asked before: what is cached is newer.
    if (stored.version < entry.version) {
      this.#retryLater(entry.name);
      return;
    }
    const isNew = stored.version !== entry.version;
    entry.version = stored.version;
    entry.session = session;
    if (stored.route === undefined) {
      if (isNew) this.#reportUnreadable(entry.name, stored.problem, entry.route);
      return;
    }
    const old = entry.route;
    if (old !== undefined && sameRoute(old, stored.route)) return;
    entry.target = this.#binding.acquire(stored.route);
    entry.route = stored.route;
    if (old !== undefined) this.#binding.release(old);
    this.#metrics.routeChanges.value++;
    const { cluster, metas } = stored.route;
    const fields = { table: entry.name, from: old?.cluster, cluster, metas, version: String(stored.version) };
    this.#logger.info(fields, 'route changed');
  }

  #remove(entry: Entry<Target>): void {
    this.#tables.delete(entry.name);
    this.#missing.set(entry.name, true);
    this.#metrics.cachedTables.value = this.#tables.size;
    this.#metrics.routeChanges.value++;
    this.#logger.info({ table: entry.name, from: entry.route?.cluster }, 'route removed, the table is unknown now');
  }

  #reportUnreadable(table: string, problem: string, kept: Route | undefined): void {
    this.#metrics.unreadableRoutes.value++;
    const fields = { table, problem, cluster: kept?.cluster };
    if (kept === undefined) this.#logger.error(fields, 'route unreadable, answering ERR_INVALID_DATA');
    else this.#logger.error(fields, 'route changed to something unreadable, keeping the last good one');
  }
}
