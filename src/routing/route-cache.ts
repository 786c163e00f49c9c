import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { Metrics } from '../telemetry/metrics.ts';
import { ReadQueue } from './read-queue.ts';
import { type Route, sameRoute } from './route.ts';
import { type Loaded, RouteLoading } from './route-loading.ts';
import type { KnownRoute } from './route-snapshot-format.ts';
import type { RouteStore, RouteStoreListener, StoredRoute } from './route-store.ts';
import {
  type Reread,
  RouteVerification,
  UNVERIFIED,
  type Verifiable,
  type VerificationLimits,
} from './route-verification.ts';

export interface RouteCacheLimits extends VerificationLimits {
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

interface Entry<Target> extends CachedTable<Target>, Verifiable {
  route: Route | undefined;
  target: Target | undefined;
  version: bigint;
  /** From the snapshot, and not read since: its version is no measure for what the store says now. */
  restored: boolean;
}

const READS_AT_ONCE = 64;
const MAX_WAITING_LOADS = 10_000;

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
  readonly #metrics: Metrics;
  readonly #logger: Logger;
  readonly #tables: LRUCache<string, Entry<Target>>;
  readonly #missing: LRUCache<string, true>;
  readonly #loading: RouteLoading<Waiter>;
  readonly #verification: RouteVerification<Entry<Target>>;
  #revision = 0;
  /** The unavailability has been told of. */
  #isAway = false;
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
    this.#metrics = metrics;
    this.#logger = logger;
    this.#tables = new LRUCache({
      max: limits.capacity,
      dispose: (entry) => {
        this.#verification.forget(entry);
        if (entry.route !== undefined) this.#binding.release(entry.route);
      },
    });
    this.#missing = new LRUCache({ max: limits.missingCapacity, ttl: Math.max(1, limits.missingTtlMs) });
    const reads = new ReadQueue(READS_AT_ONCE, MAX_WAITING_LOADS);
    this.#loading = new RouteLoading(
      reads,
      (table) => this.#read(table),
      (table, waiters, loaded) => onLoaded(waiters, this.#onRead(table, loaded)),
      logger,
    );
    this.#verification = new RouteVerification(
      () => this.#tables.values(),
      reads,
      (entry) => this.#reread(entry),
      limits,
      logger,
    );
    metrics.staleTables.from(() => this.#verification.terms.doubted);
    metrics.routeStaleness.from(() => this.stalenessMs / 1000);
  }

  /**
   * Takes over what was known before, the last used first; called before `start`. Such routes are served until the
   * store is there to verify them. Returns how many fitted in.
   */
  restore(routes: readonly KnownRoute[]): number {
    const now = Date.now();
    const fitting = routes.slice(0, this.#tables.max);
    for (const { table, route, version, verifiedAt } of fitting.toReversed()) {
      const entry = this.#add(table, { route, version });
      entry.restored = true;
      this.#verification.addOld(entry, Math.min(now, verifiedAt));
    }
    this.#metrics.cachedTables.value = this.#tables.size;
    return fitting.length;
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
    const entry = this.#tables.get(table);
    if (entry !== undefined && this.#verification.terms.isDoubted(entry)) this.#verification.hasten(entry);
    return entry;
  }

  /**
   * Looks up a table that `get` does not know: the answer where there is one already, else undefined, and `waiter`
   * is handed to `onLoaded` when it has been read. `table` must be a valid table name.
   */
  load(table: string, waiter: Waiter): Lookup<Target> | undefined {
    if (this.#missing.has(table)) return MISSING;
    if (this.#loading.join(table, waiter)) return undefined;
    if (!this.#store.available) return UNAVAILABLE;
    return this.#loading.begin(table, waiter) ? undefined : OVERLOADED;
  }

  /** Whether what is cached of the table can have been overtaken: the store is away, or not yet asked again. */
  isStale(table: string): boolean {
    const entry = this.#tables.peek(table);
    return entry !== undefined && this.#verification.terms.isDoubted(entry);
  }

  /** For how long the table longest in doubt has not been verified, in ms; 0 where none is in doubt. */
  get stalenessMs(): number {
    const since = this.#verification.terms.oldestDoubt();
    return since === undefined ? 0 : Math.max(0, Date.now() - since);
  }

  /** Grows with every change of what `knownRoutes` gives, its times and order aside. */
  get revision(): number {
    return this.#revision;
  }

  /** Every table that has a route, the last used first, with the content it has when the walk comes to it. */
  *knownRoutes(): Generator<KnownRoute> {
    // Copied, so that the walk may be interrupted: references alone, which takes a few ms for 30,000.
    for (const entry of [...this.#tables.values()]) {
      const { name: table, route, version } = entry;
      if (route !== undefined)
        yield { table, route, version, verifiedAt: this.#verification.terms.verifiedUntil(entry) };
    }
  }

  onChanged(table: string): void {
    this.#metrics.registryEvents.value++;
    this.#missing.delete(table);
    // The event can come in one chunk with the read's own answer, and be told of before that answer is worked off.
    this.#loading.changed(table);
    const entry = this.#tables.peek(table);
    if (entry !== undefined) this.#verification.changed(entry);
  }

  onAvailable(): void {
    this.#isAway = false;
    this.#metrics.registryAvailable.value = 1;
    this.#missing.clear();
    this.#loading.allChanged();
    const fields = { registry: this.#store.kind, cached: this.#tables.size };
    this.#logger.info(fields, 'registry can be read, verifying the cached tables');
    this.#verification.begin();
  }

  onUnavailable(reason: string): void {
    this.#metrics.registryAvailable.value = 0;
    this.#loading.allChanged();
    this.#verification.suspend();
    if (this.#isAway) return; // for yet another reason, which the store itself logs
    this.#isAway = true;
    const fields = { registry: this.#store.kind, reason, cached: this.#tables.size };
    this.#logger.warn(fields, 'registry can not be read, serving the cached tables as they are');
  }

  /** Stops reading and closes the store. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#verification.close();
    await this.#store.close();
    this.#verification.close(); // whatever the end of the session may have set going
    this.#tables.clear();
  }

  #onRead(table: string, loaded: Loaded): Lookup<Target> {
    return loaded.outcome === 'failed' ? UNAVAILABLE : this.#take(table, loaded.stored, loaded.changed);
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
    const entry = this.#add(table, stored);
    this.#verification.addRead(entry);
    if (stored.route === undefined) this.#reportUnreadable(table, stored.problem, undefined);
    else this.#logger.debug({ table, cluster: stored.route.cluster, metas: stored.route.metas }, 'route read');
    this.#metrics.cachedTables.value = this.#tables.size;
    if (changed) this.#verification.changed(entry);
    return { outcome: 'found', table: entry };
  }

  #add(
    table: string,
    { route, version }: { readonly route?: Route | undefined; readonly version: bigint },
  ): Entry<Target> {
    const entry: Entry<Target> = {
      name: table,
      route,
      target: route === undefined ? undefined : this.#binding.acquire(route),
      version,
      restored: false,
      ...UNVERIFIED,
    };
    this.#tables.set(table, entry);
    this.#revision++;
    return entry;
  }

  async #reread(entry: Entry<Target>): Promise<Reread> {
    // It may have been evicted, or the daemon stopped, while the read was queued or under way.
    const isGone = () => this.#closed || this.#tables.peek(entry.name) !== entry;
    if (isGone()) return 'gone';
    try {
      const stored = await this.#read(entry.name);
      return isGone() ? 'gone' : this.#update(entry, stored);
    } catch (error) {
      if (isGone()) return 'gone';
      throw error;
    }
  }

  /** Takes in what a re-read has brought: the one place where a cached route changes. */
  #update(entry: Entry<Target>, stored: StoredRoute | undefined): Reread {
    if (stored === undefined) {
      this.#remove(entry);
      return 'changed';
    }
    // A server that lags behind the one asked before: what is cached is newer.
    if (stored.version < entry.version && !entry.restored) return 'older';
    const isNew = stored.version !== entry.version;
    if (isNew) this.#revision++;
    entry.version = stored.version;
    entry.restored = false;
    if (stored.route === undefined) {
      if (isNew) this.#reportUnreadable(entry.name, stored.problem, entry.route);
      return 'same';
    }
    const old = entry.route;
    if (old !== undefined && sameRoute(old, stored.route)) return 'same';
    entry.target = this.#binding.acquire(stored.route);
    entry.route = stored.route;
    this.#revision++;
    if (old !== undefined) this.#binding.release(old);
    this.#metrics.routeChanges.value++;
    const { cluster, metas } = stored.route;
    const fields = { table: entry.name, from: old?.cluster, cluster, metas, version: String(stored.version) };
    this.#logger.info(fields, 'route changed');
    return 'changed';
  }

  #remove(entry: Entry<Target>): void {
    this.#tables.delete(entry.name);
    this.#revision++;
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
