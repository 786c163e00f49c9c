import { pino } from 'pino';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { type Lookup, RouteCache } from '../../../src/routing/route-cache.ts';
import {
  type RouteStore,
  type RouteStoreListener,
  type StoredRoute,
  StoreUnavailableError,
} from '../../../src/routing/route-store.ts';
import { createMetrics, type Metrics } from '../../../src/telemetry/metrics.ts';
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
const route = (cluster: string, version: bigint): StoredRoute => ({ version, route: { cluster, metas: ['m:1'] } });

describe('RouteCache', () => {
  let store: HeldStore;
  let cache: RouteCache<string, string>;
  let metrics: Metrics;
  let loaded: { waiters: readonly string[]; lookup: Lookup<string> }[];
  let held: string[];

  function make(limits: { capacity?: number; missingCapacity?: number; missingTtlMs?: number } = {}): void {
    store = new HeldStore();
    metrics = createMetrics();
    loaded = [];
    held = [];
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
      { capacity: 100, missingCapacity: 100, missingTtlMs: 60_000, ...limits },
      metrics,
      pino({ level: 'silent' }),
    );
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
