import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RouteStoreListener, StoreUnavailableError } from '../../src/routing/route-store.ts';
import { ZookeeperRouteStore, type ZookeeperRouteStoreOptions } from '../../src/routing/zookeeper-route-store.ts';
import { waitFor } from '../support/wait-for.ts';
import { ZooKeeperAdmin } from '../support/zookeeper-admin.ts';
import { ZooKeeperForwarder } from '../support/zookeeper-forwarder.ts';
import { captureLog, type LogLine } from '../support/zookeeper-harness.ts';
import type { ZooKeeperProcess } from '../support/zookeeper-process.ts';
import { startZooKeeper } from '../support/zookeeper-server.ts';

const OP_SET_WATCHES = 101;
const WATCHED = 2_000;

const RFC = '{"cluster": "c3srv-ad", "meta-addrs": ["127.0.0.1:34601", "127.0.0.1:34602"]}';
const DEPLOYED = '{"cluster_name": "c3srv-ad", "meta_addrs": "127.0.0.1:34601,127.0.0.1:34602"}';
const ROUTE = { cluster: 'c3srv-ad', metas: ['127.0.0.1:34601', '127.0.0.1:34602'] };

/** A store, and what it has told: `+`, `-`, and the names of the tables changed. */
interface Opened {
  readonly store: ZookeeperRouteStore;
  readonly told: string[];
  readonly lines: LogLine[];
  live(times?: number): Promise<void>;
  changed(table: string): Promise<void>;
}

describe('the ZooKeeper route store', { timeout: 60_000 }, () => {
  let server: ZooKeeperProcess;
  let admin: ZooKeeperAdmin;
  let root: string;
  let roots = 0;
  let cleanups: (() => Promise<unknown>)[];

  beforeAll(async () => {
    server = await startZooKeeper();
    admin = new ZooKeeperAdmin(server.address);
  }, 60_000);

  afterAll(async () => {
    await admin.close();
    await server.stop();
  });

  beforeEach(async () => {
    roots += 1;
    root = `/deployment-${roots}/c3srv-pegasus`;
    await admin.put(root, '');
    cleanups = [];
  });

  afterEach(async () => {
    server.thaw();
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  function open(options: Partial<ZookeeperRouteStoreOptions> = {}): Opened {
    const { log, lines } = captureLog();
    const store = new ZookeeperRouteStore(
      {
        servers: server.address,
        root,
        sessionTimeoutMs: 2_000,
        operationTimeoutMs: 2_000,
        backoffMinMs: 20,
        backoffMaxMs: 200,
        connectTimeoutMs: 500,
        ...options,
      },
      log,
    );
    cleanups.push(() => store.close());
    const told: string[] = [];
    const listener: RouteStoreListener = {
      onChanged: (table) => told.push(table),
      onAvailable: () => told.push('+'),
      onUnavailable: () => told.push('-'),
    };
    store.start(listener);
    return {
      store,
      told,
      lines,
      live: (times = 1) =>
        waitFor(() => store.available && told.filter((word) => word === '+').length >= times, {
          timeoutMs: 30_000,
          what: 'the store',
        }).then(() => {}),
      changed: (table) => waitFor(() => told.includes(table), { what: `the change of ${table}` }).then(() => {}),
    };
  }

  it.each([
    ['the RFC', RFC],
    ['the Go meta-proxy', DEPLOYED],
  ])('reads the layout of %s, with the transaction as the version', async (_name, content) => {
    await admin.put(`${root}/temp`, content);
    const { store, live } = open();
    await live();
    const { mzxid } = (await admin.get(`${root}/temp`))!;
    expect(await store.read('temp')).toEqual({ version: mzxid, route: ROUTE });
  });

  it('tells of a change once for each read, and reads the new route with a greater version', async () => {
    await admin.put(`${root}/temp`, RFC);
    const { store, live, told, changed } = open();
    await live();
    const first = (await store.read('temp'))!;
    await admin.put(`${root}/temp`, '{"cluster":"other","meta-addrs":["10.0.0.1:34601"]}');
    await changed('temp');
    await admin.put(`${root}/temp`, RFC);
    await admin.put(`${root}/temp`, DEPLOYED);
    const second = (await store.read('temp'))!;
    expect(second.route).toEqual(ROUTE);
    expect(second.version).toBeGreaterThan(first.version);
    expect(told).toEqual(['+', 'temp']);
    expect(store.stats).toEqual({ reads: 2, watchEvents: 1 });
  });

  it('tells of a table created, deleted and created again', async () => {
    await admin.put(`${root}/other`, RFC);
    const { store, live, told } = open();
    await live();
    expect(await store.read('temp')).toBeUndefined();
    expect(store.missingWatches).toBe(1);
    for (let round = 1; round <= 2; round += 1) {
      await admin.put(`${root}/temp`, RFC);
      await waitFor(() => told.length === round * 2, { what: 'the creation' });
      expect(store.missingWatches).toBe(0);
      expect((await store.read('temp'))?.route).toEqual(ROUTE);
      await admin.delete(`${root}/temp`);
      await waitFor(() => told.length === round * 2 + 1, { what: 'the deletion' });
      expect(await store.read('temp')).toBeUndefined();
    }
    expect(told).toEqual(['+', 'temp', 'temp', 'temp', 'temp']);
  });

  it('can not be read while the root does not exist, says so in the log, and can as soon as it does', async () => {
    await admin.delete(root);
    const { store, live, lines, told } = open();
    await waitFor(() => told.includes('-'), { what: 'word of the missing root' });
    expect(lines.map((line) => line.msg)).toContain('the root znode does not exist in ZooKeeper, waiting for it');
    expect(store.available).toBe(false);
    await expect(store.read('temp')).rejects.toThrow(StoreUnavailableError);
    await admin.put(`${root}/temp`, RFC);
    await live();
    expect((await store.read('temp'))?.route).toEqual(ROUTE);
    expect(await store.read('other')).toBeUndefined();
    expect(told).toEqual(['-', '+']);
  });

  it('does not take a wiped ZooKeeper for the deletion of every table', async () => {
    await admin.put(`${root}/temp`, RFC);
    const { store, live, told } = open();
    await live();
    expect((await store.read('temp'))?.route).toEqual(ROUTE);
    await admin.delete(`${root}/temp`);
    await admin.delete(root);
    await waitFor(() => told.includes('temp'), { what: 'the deletion' });
    await expect(store.read('temp')).rejects.toThrow(StoreUnavailableError);
    expect(store.available).toBe(false);
    await admin.put(`${root}/temp`, RFC);
    await live(2);
    expect((await store.read('temp'))?.route).toEqual(ROUTE);
    expect(told).toEqual(['+', 'temp', '-', '+']);
  });

  it.each([
    ['empty content', '', /empty/],
    ['no JSON', '{"cluster": "c3srv-ad"', /not JSON/],
    ['bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22]), /not JSON/],
    ['a JSON list', '[]', /not an object/],
    ['no addresses', '{"cluster": "c3srv-ad"}', /MetaServer/],
    ['more than 64 KB', `{"cluster":"c","meta-addrs":["h:1"],"x":"${'x'.repeat(65_536)}"}`, /65\d{3} bytes/],
    ['nearly 1 MB', 'x'.repeat(1_000_000), /1000000 bytes/],
  ])('calls %s a problem of that version, and goes on watching it', async (_name, content, problem) => {
    await admin.put(`${root}/temp`, content);
    const { store, live, told, changed } = open();
    await live();
    const bad = (await store.read('temp'))!;
    expect(bad.problem).toMatch(problem);
    expect(bad.version).toBe((await admin.get(`${root}/temp`))!.mzxid);
    await admin.put(`${root}/temp`, RFC);
    await changed('temp');
    expect((await store.read('temp'))?.route).toEqual(ROUTE);
    expect(told).toEqual(['+', 'temp']);
  });

  it('arms no more watches for missing tables than its bound, and frees their places', async () => {
    await admin.put(`${root}/other`, RFC);
    const { store, live, told, changed } = open({ maxMissingWatches: 3 });
    await live();
    const missing = Array.from({ length: 20 }, (_, i) => `missing_${i}`);
    expect(await Promise.all(missing.map((table) => store.read(table)))).toEqual(missing.map(() => undefined));
    for (const table of missing) expect(await store.read(table)).toBeUndefined();
    expect(store.missingWatches).toBe(3);
    expect(await server.command('wchs')).toMatch(/Total watches:3\b/);
    for (const table of missing) await admin.put(`${root}/${table}`, RFC);
    await waitFor(() => told.length === 4, { what: 'three creations' });
    expect(store.missingWatches).toBe(0);
    expect((await store.read('missing_19'))?.route).toEqual(ROUTE);
    expect(await store.read('yet_another')).toBeUndefined();
    await admin.put(`${root}/yet_another`, RFC);
    await changed('yet_another');
  });

  it.each(['', '.', '..', 'a/b', '../secret', 'a b', 'a\0', 'x'.repeat(256), 'tä'])(
    'lets no %j reach ZooKeeper',
    async (name) => {
      const { store, live } = open();
      await live();
      await expect(store.read(name)).rejects.toThrow(TypeError);
      expect(store.stats.reads).toBe(0);
    },
  );

  it('reads below the root of all', async () => {
    await admin.put('/top-level-table', RFC).catch(() => {});
    await admin.put('/top.level', RFC);
    const { store, live } = open({ root: '/' });
    await live();
    expect((await store.read('top.level'))?.route).toEqual(ROUTE);
  });

  it('refuses a root that is no absolute path', () => {
    for (const bad of ['', 'pegasus', '/a//b', '/a/../b', '/.']) {
      expect(() => open({ root: bad })).toThrow(/not an absolute znode path/);
    }
  });

  it('rejects at once while ZooKeeper is away, and reads, watches and tells again afterwards', async () => {
    await admin.put(`${root}/temp`, RFC);
    const { store, live, told } = open();
    expect(store.available).toBe(false);
    await expect(store.read('temp')).rejects.toThrow(StoreUnavailableError);
    await live();
    await store.read('temp');
    await store.read('missing');
    await server.kill();
    await waitFor(() => !store.available, { what: 'the loss' });
    const askedAt = performance.now();
    await expect(store.read('temp')).rejects.toThrow(StoreUnavailableError);
    expect(performance.now() - askedAt).toBeLessThan(50);
    expect(store.missingWatches).toBe(0);
    await server.restart();
    await live(2);
    expect(told).toEqual(['+', '-', '+']);
    expect((await store.read('temp'))?.route).toEqual(ROUTE);
    expect(await store.read('missing')).toBeUndefined();
    await admin.put(`${root}/temp`, DEPLOYED);
    await admin.put(`${root}/missing`, DEPLOYED);
    await waitFor(() => told.length === 5, { what: 'both changes' });
    expect(told.slice(3).sort()).toEqual(['missing', 'temp']);
  });

  it('keeps its read deadline over both steps of reading a missing table, on a server that freezes', async () => {
    const { store, live } = open({ operationTimeoutMs: 300, sessionTimeoutMs: 20_000 });
    await live();
    server.freeze();
    const askedAt = performance.now();
    await expect(store.read('missing')).rejects.toThrow(StoreUnavailableError);
    expect(performance.now() - askedAt).toBeLessThan(900);
    server.thaw();
    await waitFor(async () => (await store.read('missing')) === undefined && store.missingWatches === 1);
  });

  it(`has ${WATCHED} tables watched again after a lost connection, without SetWatches`, async () => {
    const tables = Array.from({ length: WATCHED }, (_, i) => `table_${i}`);
    for (let i = 0; i < WATCHED; i += 250) {
      await Promise.all(tables.slice(i, i + 250).map((table) => admin.put(`${root}/${table}`, RFC)));
    }
    const forwarder = await ZooKeeperForwarder.start(server.port);
    cleanups.push(() => forwarder.stop());
    const { store, live, told, changed } = open({ servers: forwarder.address });
    await live();
    await Promise.all(tables.map((table) => store.read(table)));
    forwarder.drop();
    await live(2);
    expect(forwarder.connections).toHaveLength(2);
    const routes = await Promise.all(tables.map((table) => store.read(table)));
    expect(routes.every((stored) => stored?.route?.cluster === ROUTE.cluster)).toBe(true);
    expect(await server.command('wchs')).toMatch(new RegExp(`Total watches:${WATCHED}\\b`));
    expect(forwarder.connections.flatMap((c) => c.operations)).not.toContain(OP_SET_WATCHES);
    await Promise.all(tables.map((table) => admin.put(`${root}/${table}`, DEPLOYED)));
    await changed('table_1999');
    await waitFor(() => told.length === 3 + WATCHED, { what: 'every change' });
  });
});
