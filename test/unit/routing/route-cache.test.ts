import { pino } from 'pino';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { type Lookup, RouteCache, type RouteCacheLimits } from '../../../src/routing/route-cache.ts';
import type { KnownRoute } from '../../../src/routing/route-snapshot-format.ts';
import {
  type RouteStore,
  type RouteStoreListener,
  type StoredRoute,
  StoreUnavailableError,
} from '../../../src/routing/route-store.ts';
import { createMetrics, type Metrics } from '../../../src/telemetry/metrics.ts';
import type { LogLine } from '../../support/proxy.ts';
import { waitFor } from '../../support/wait-for.ts';

/** A store whose every read waits until the test answers it. */
class HeldStore implements RouteStore {
  readonly kind = 'held';
  available = true;
  listener: RouteStoreListener | undefined;
  readonly reads: { table: string; resolve: (stored?: StoredRoute) => void; reject: (error: Error) => void }[] = [];

  start(listener: RouteStoreListener): void {
    this.listener = listener;
  }

  read(table: string): Promise<StoredRoute | undefined> {
    return new Promise((resolve, reject) => this.reads.push({ table, resolve, reject }));
  }

  async close(): Promise<void> {}

  /** Answers the oldest read, which has to be of that table. */
  async answer(table: string, stored?: StoredRoute): Promise<void> {
    const read = await waitFor(() => this.reads.shift(), { what: `a read of ${table}` });
    expect(read.table).toBe(table);
    read.resolve(stored);
    await settle();
  }
}

const settle = () => new Promise((resolve) => setImmediate(resolve));
/** Until the clock of the milliseconds has moved on. */
async function laterClock(): Promise<void> {
  const start = Date.now();
  await waitFor(() => Date.now() > start, { what: 'the clock' });
}
const route = (cluster: string, version: bigint): StoredRoute => ({ version, route: { cluster, metas: ['m:1'] } });

describe('RouteCache', () => {
  let store: HeldStore;
  let cache: RouteCache<string, string>;
  let metrics: Metrics;
  let loaded: { waiters: readonly string[]; lookup: Lookup<string> }[];
  let held: string[];

  let log: LogLine[];
  const lines = (text: string) => log.filter(({ msg }) => msg.startsWith(text));

  function make(limits: Partial<RouteCacheLimits> = {}, isStarted = true): void {
    store = new HeldStore();
    metrics = createMetrics();
    loaded = [];
    held = [];
    log = [];
    const binding = {
      acquire: ({ cluster }: { cluster: string }) => {
        held.push(cluster);
        return `to ${cluster}`;
      },
      release: ({ cluster }: { cluster: string }) => {
        expect(held).toContain(cluster);
        held.splice(held.indexOf(cluster), 1);
      },
    };
    cache = new RouteCache(
      store,
      binding,
      (waiters, lookup) => loaded.push({ waiters: [...waiters], lookup }),
      { capacity: 100, missingCapacity: 100, missingTtlMs: 60_000, verifyRate: 1e6, verifyJitterMs: 0, ...limits },
      metrics,
      pino({ level: 'info' }, { write: (line: string) => void log.push(JSON.parse(line)) }),
    );
    if (!isStarted) return;
    cache.start();
    store.listener?.onAvailable();
  }

  beforeEach(() => make());

  async function fill(table: string, stored: StoredRoute): Promise<void> {
    expect(cache.load(table, 'x')).toBeUndefined();
    await store.answer(table, stored);
  }

  it('reads a table once however many wait, and hands the route to all of them', async () => {
    for (const waiter of ['a', 'b', 'c']) expect(cache.load('t', waiter)).toBeUndefined();
    expect(store.reads).toHaveLength(1);
    await store.answer('t', route('one', 1n));
    expect(loaded).toMatchObject([{ waiters: ['a', 'b', 'c'], lookup: { outcome: 'found' } }]);
    expect(cache.get('t')).toMatchObject({ target: 'to one', version: 1n });
    expect(held).toEqual(['one']);
  });

  it('takes a changed route over, in the order of versions, never an older one', async () => {
    await fill('t', route('one', 5n));
    store.listener?.onChanged('t');
    await store.answer('t', route('old', 4n));
    expect(cache.get('t')?.target).toBe('to one');
    store.listener?.onChanged('t');
    await store.answer('t', route('two', 6n));
    expect(cache.get('t')?.target).toBe('to two');
    expect(held).toEqual(['two']);
    expect(metrics.routeChanges.value).toBe(1);
  });

  it('asks again, later, a store that answered with something older', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      cache.load('t', 'x');
      store.reads.shift()?.resolve(route('one', 5n));
      await settle();
      store.listener?.onChanged('t');
      store.reads.shift()?.resolve(route('old', 4n));
      await settle();
      expect(store.reads).toHaveLength(0);
      vi.advanceTimersByTime(5000);
      store.reads.shift()?.resolve(route('two', 6n));
      await settle();
      expect(cache.get('t')?.target).toBe('to two');
    } finally {
      vi.useRealTimers();
    }
  });

  it('reads again when something changes during a read, first or not: no event is lost', async () => {
    cache.load('t', 'x');
    store.listener?.onChanged('t');
    await store.answer('t', route('one', 1n));
    await store.answer('t', route('two', 2n));
    expect(cache.get('t')?.target).toBe('to two');

    store.listener?.onChanged('t');
    store.listener?.onChanged('t');
    await store.answer('t', route('three', 3n));
    await store.answer('t', route('four', 4n));
    expect(cache.get('t')?.target).toBe('to four');
    expect(store.reads).toHaveLength(0);
  });

  it('does not remember a table as missing that was created while it was read', async () => {
    cache.load('t', 'x');
    store.listener?.onChanged('t');
    await store.answer('t', undefined);
    expect(loaded.at(-1)?.lookup).toEqual({ outcome: 'missing' });
    expect(cache.load('t', 'y')).toBeUndefined();
    await store.answer('t', route('one', 1n));
    expect(cache.get('t')?.target).toBe('to one');
  });

  it('remembers that a table is missing, until it is created', async () => {
    cache.load('t', 'x');
    await store.answer('t', undefined);
    expect(cache.load('t', 'y')).toEqual({ outcome: 'missing' });
    store.listener?.onChanged('t');
    expect(cache.load('t', 'z')).toBeUndefined();
    await store.answer('t', route('one', 1n));
    expect(cache.get('t')?.target).toBe('to one');
  });

  it('remembers missing names for a time only, and only so many', async () => {
    make({ missingTtlMs: 1, missingCapacity: 2 });
    cache.load('t', 'x');
    await store.answer('t', undefined);
    await waitFor(() => cache.load('t', 'y') === undefined, { what: 'the name to be forgotten' });
    make({ missingCapacity: 2 });
    for (const table of ['a', 'b', 'c']) {
      cache.load(table, 'x');
      await store.answer(table, undefined);
    }
    expect(cache.load('c', 'y')).toEqual({ outcome: 'missing' });
    expect(cache.load('a', 'y')).toBeUndefined();
  });

  it('takes a deleted table away, and lets its cluster go', async () => {
    await fill('t', route('one', 1n));
    store.listener?.onChanged('t');
    await store.answer('t', undefined);
    expect(cache.get('t')).toBeUndefined();
    expect(cache.load('t', 'x')).toEqual({ outcome: 'missing' });
    expect(held).toEqual([]);
  });

  it('keeps the last good route when the content becomes rubbish, and knows first rubbish for what it is', async () => {
    await fill('t', route('one', 1n));
    store.listener?.onChanged('t');
    await store.answer('t', { version: 2n, problem: 'not JSON' });
    expect(cache.get('t')).toMatchObject({ target: 'to one', version: 2n });
    await fill('u', { version: 3n, problem: 'not JSON' });
    expect(cache.get('u')).toMatchObject({ target: undefined, version: 3n });
    expect(metrics.unreadableRoutes.value).toBe(2);
    store.listener?.onChanged('u');
    await store.answer('u', route('two', 4n));
    expect(cache.get('u')?.target).toBe('to two');
    expect(held.sort()).toEqual(['one', 'two']);
  });

  it('changes nothing, and says nothing, when content is written again as it was', async () => {
    await fill('t', route('one', 1n));
    store.listener?.onChanged('t');
    await store.answer('t', route('one', 2n));
    expect(cache.get('t')).toMatchObject({ target: 'to one', version: 2n });
    expect(metrics.routeChanges.value).toBe(0);
    expect(held).toEqual(['one']);
  });

  it('evicts the table not asked for longest, and lets its cluster go', async () => {
    make({ capacity: 2 });
    await fill('a', route('one', 1n));
    await fill('b', route('two', 2n));
    cache.get('a');
    await fill('c', route('three', 3n));
    expect(cache.has('b')).toBe(false);
    expect(cache.has('a')).toBe(true);
    expect(held.sort()).toEqual(['one', 'three']);
    // What is said of an evicted table is of no interest.
    store.listener?.onChanged('b');
    await settle();
    expect(store.reads).toHaveLength(0);
  });

  it('answers at once while the store is away: what it knows is served, marked stale, what it does not know is not', async () => {
    await fill('t', route('one', 1n));
    expect(cache.isStale('t')).toBe(false);
    store.available = false;
    store.listener?.onUnavailable('test');
    expect(cache.get('t')?.target).toBe('to one');
    expect(cache.isStale('t')).toBe(true);
    expect(cache.load('u', 'x')).toEqual({ outcome: 'unavailable' });
    expect(store.reads).toHaveLength(0);
  });

  it('tells those that wait when the store fails while it reads', async () => {
    cache.load('t', 'a');
    store.reads.shift()?.reject(new StoreUnavailableError('gone'));
    await settle();
    expect(loaded).toEqual([{ waiters: ['a'], lookup: { outcome: 'unavailable' } }]);
    expect(cache.load('t', 'b')).toBeUndefined();
    store.reads.shift()?.reject(new TypeError('a bug'));
    await settle();
    expect(loaded[1]).toEqual({ waiters: ['b'], lookup: { outcome: 'unavailable' } });
  });

  it('verifies every cached table when the store is back, what is used most first, in bounded batches', async () => {
    make({ capacity: 1000 });
    for (let i = 0; i < 200; i++) await fill(`t${i}`, route('one', BigInt(i)));
    cache.get('t7');
    store.available = false;
    store.listener?.onUnavailable('test');
    store.available = true;
    store.listener?.onAvailable();
    expect(store.reads.length).toBeLessThanOrEqual(64);
    expect(store.reads[0]?.table).toBe('t7');
    // A client's read does not wait behind the others.
    cache.load('new', 'x');
    expect(store.reads.at(-1)?.table).toBe('new');
    let most = 0;
    for (let i = 0; i < 201; i++) {
      const read = await waitFor(() => store.reads.shift(), { what: 'a read' });
      most = Math.max(most, store.reads.length);
      read.resolve(read.table === 't9' ? undefined : route('two', 1000n));
      await settle();
    }
    expect(most).toBeLessThanOrEqual(64);
    expect(cache.size).toBe(200);
    expect(cache.get('t7')?.target).toBe('to two');
    expect(cache.has('t9')).toBe(false);
    expect(cache.isStale('t7')).toBe(false);
    expect(held).toHaveLength(200);
  });

  describe('with routes restored from a snapshot', () => {
    const AN_HOUR = 3_600_000;
    const known = (table: string, cluster: string, version: bigint): KnownRoute => ({
      table,
      route: { cluster, metas: ['m:1'] },
      version,
      verifiedAt: Date.now() - AN_HOUR,
    });

    beforeEach(() => {
      make({ capacity: 3 }, false);
      expect(cache.restore(['a', 'b', 'c', 'd'].map((table) => known(table, 'old', 100n)))).toBe(3);
      cache.start();
    });

    it('serves those used last at once, and says how stale they are', () => {
      expect(cache.get('a')).toMatchObject({ target: 'to old', version: 100n });
      expect(cache.isStale('a')).toBe(true);
      expect(cache.has('d')).toBe(false);
      expect(held).toEqual(['old', 'old', 'old']);
      expect(metrics.cachedTables.value).toBe(3);
      expect(metrics.staleTables.value).toBe(3);
      expect(metrics.routeStaleness.value).toBeGreaterThanOrEqual(3600);
      expect(store.reads).toHaveLength(0);
    });

    it('keeps the order of use', async () => {
      store.listener?.onAvailable();
      for (const table of ['a', 'b', 'c']) await store.answer(table, route('old', 1n));
      await fill('e', route('new', 1n));
      expect(['a', 'b', 'c'].map((table) => cache.has(table))).toEqual([true, true, false]);
    });

    it('believes the store that is there, whatever its versions, deletions and rubbish as ever', async () => {
      store.listener?.onAvailable();
      await store.answer('a', route('new', 3n)); // a ZooKeeper built anew counts from the beginning
      await store.answer('b', undefined);
      await store.answer('c', { version: 5n, problem: 'not JSON' });
      expect(cache.get('a')).toMatchObject({ target: 'to new', version: 3n });
      expect(cache.get('b')).toBeUndefined();
      expect(cache.get('c')).toMatchObject({ target: 'to old', version: 5n });
      expect(held.sort()).toEqual(['new', 'old']);
      expect(metrics.staleTables.value).toBe(0);
      expect(metrics.routeStaleness.value).toBe(0);
      expect(lines('all cached tables are verified')).toMatchObject([{ changed: 2 }]);
      // From now on the order counts.
      store.listener?.onChanged('a');
      await store.answer('a', route('older', 2n));
      expect(cache.get('a')?.target).toBe('to new');
      expect(metrics.staleTables.value).toBe(1);
    });

    it('gives what it knows to the next snapshot, with its times', async () => {
      const before = cache.revision;
      store.listener?.onAvailable();
      await store.answer('a', route('old', 100n));
      expect(cache.revision).toBe(before);
      await store.answer('b', route('new', 101n));
      expect(cache.revision).toBeGreaterThan(before);
      const routes = [...cache.knownRoutes()];
      expect(routes.map(({ table, version }) => [table, version])).toEqual([
        ['a', 100n],
        ['b', 101n],
        ['c', 100n],
      ]);
      expect(Date.now() - (routes[0]?.verifiedAt ?? 0)).toBeLessThan(AN_HOUR / 2);
      expect(Date.now() - (routes[2]?.verifiedAt ?? 0)).toBeGreaterThanOrEqual(AN_HOUR);
    });
  });

  describe('verifying after a reconnect', () => {
    const lose = () => {
      store.available = false;
      store.listener?.onUnavailable('test');
    };
    const regain = () => {
      store.available = true;
      store.listener?.onAvailable();
    };
    const tables = () => store.reads.map(({ table }) => table);

    it('waits a random moment, save for what clients ask for', async () => {
      make({ verifyJitterMs: 60_000 });
      vi.spyOn(Math, 'random').mockReturnValueOnce(0.5);
      for (const table of ['a', 'b', 'c']) await fill(table, route('one', 1n));
      lose();
      cache.get('a');
      regain();
      await settle();
      expect(store.reads).toHaveLength(0);
      cache.get('b');
      cache.get('b');
      await settle();
      expect(tables()).toEqual(['b']);
      await store.answer('b', route('two', 2n));
      expect(cache.get('b')?.target).toBe('to two');
      expect(metrics.staleTables.value).toBe(2);
      expect(lines('all cached tables are verified')).toHaveLength(0);
      await cache.close();
    });

    it('reads so many per second at most, and what is asked for meanwhile next', async () => {
      make({ verifyRate: 20 });
      for (let i = 0; i < 6; i++) await fill(`t${i}`, route('one', 1n));
      lose();
      const start = performance.now();
      regain();
      expect(tables()).toEqual(['t5']);
      cache.get('t2');
      await store.answer('t5', route('one', 1n));
      await store.answer('t2', route('one', 1n));
      for (const table of ['t4', 't3', 't1', 't0']) await store.answer(table, route('one', 1n));
      expect(performance.now() - start).toBeGreaterThanOrEqual((5 / 20) * 1000 - 10);
      expect(metrics.staleTables.value).toBe(0);
      expect(lines('all cached tables are verified')).toMatchObject([{ changed: 0 }]);
    });

    it('goes on where a short session has left off, so that a flapping store gets to every table', async () => {
      make({ verifyRate: 1000 });
      for (const table of ['a', 'b', 'c', 'd']) await fill(table, route('one', 1n));
      lose();
      await laterClock();
      regain();
      await store.answer('d', route('one', 1n));
      await store.answer('c', route('one', 1n));
      lose();
      for (const { reject } of store.reads.splice(0)) reject(new StoreUnavailableError('gone'));
      await settle();
      regain();
      for (const table of ['b', 'a', 'd', 'c']) await store.answer(table, route('one', 1n));
      expect(lines('registry can not be read')).toHaveLength(2);
      expect(lines('all cached tables are verified')).toHaveLength(1);
    });

    it('believes no read that was begun before the loss, and repeats it', async () => {
      await fill('a', route('one', 1n));
      lose();
      regain();
      const read = store.reads.shift();
      lose();
      regain();
      read?.resolve(route('one', 1n));
      await settle();
      expect(cache.isStale('a')).toBe(true);
      await store.answer('a', route('two', 2n));
      expect(cache.isStale('a')).toBe(false);
      expect(cache.get('a')?.target).toBe('to two');
    });

    it('says once that a table can not be read, keeps it stale, and tries again', async () => {
      await fill('a', route('one', 1n));
      await fill('b', route('one', 1n));
      lose();
      regain();
      for (const { reject } of store.reads.splice(0)) reject(new StoreUnavailableError('no permission'));
      await settle();
      expect(lines('a cached table could not be verified')).toMatchObject([{ table: 'b', reason: 'no permission' }]);
      expect(metrics.staleTables.value).toBe(2);
      await store.answer('b', route('one', 1n));
      await store.answer('a', route('one', 1n));
      expect(metrics.staleTables.value).toBe(0);
      expect(lines('all cached tables are verified')).toHaveLength(1);
    });

    it('forgets doubt about a table that is evicted while it is read', async () => {
      make({ capacity: 1 });
      await fill('a', route('one', 1n));
      lose();
      regain();
      cache.load('b', 'x');
      const [a, b] = store.reads.splice(0);
      b?.resolve(route('one', 1n));
      await settle();
      a?.reject(new StoreUnavailableError('no answer'));
      await settle();
      expect(metrics.staleTables.value).toBe(0);
      expect(lines('all cached tables are verified')).toHaveLength(1);
    });
  });

  it('refuses what can not be queued, and serves again when the queue is shorter', async () => {
    make({ capacity: 20_000 });
    const lookups = Array.from({ length: 10_100 }, (_, i) => cache.load(`t${i}`, 'x'));
    expect(lookups.filter((lookup) => lookup?.outcome === 'overloaded')).toHaveLength(10_100 - 64 - 10_000);
    await store.answer('t0', route('one', 1n));
    expect(cache.load('t10099', 'x')).toBeUndefined();
  });

  it('lets every cluster go when it is closed', async () => {
    await fill('a', route('one', 1n));
    await fill('b', route('one', 1n));
    cache.load('c', 'x');
    await cache.close();
    expect(held).toEqual([]);
  });
});
