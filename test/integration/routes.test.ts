import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SimCluster } from '../../src/sim/sim-cluster.ts';
import { TestProxy } from '../support/proxy.ts';
import type { RawClient } from '../support/raw-client.ts';

describe("a table's route", () => {
  let a: SimCluster;
  let b: SimCluster;
  let proxy: TestProxy;
  let client: RawClient;

  beforeEach(async () => {
    a = await SimCluster.start({ name: 'a', tables: { temp: { partitions: 8, appId: 1 } } });
    b = await SimCluster.start({ name: 'b', tables: { temp: { partitions: 16, appId: 2 } } });
    proxy = await TestProxy.start({ temp: onA() });
    client = await proxy.connect();
  });

  afterEach(async () => {
    await proxy.stop();
    await a.stop();
    await b.stop();
  });

  const onA = () => ({ cluster: 'a', metas: a.metaAddresses });
  const onB = () => ({ cluster: 'b', metas: b.metaAddresses });
  const appId = async () => (await client.query('temp')).result?.app_id;

  it('is followed when it changes, on the same connection, there and back', async () => {
    expect(await appId()).toBe(1);
    await proxy.setTable('temp', onB());
    expect(await appId()).toBe(2);
    await proxy.setTable('temp', onA());
    expect(await appId()).toBe(1);
    const changes = proxy.log.filter(({ msg }) => msg === 'route changed');
    expect(changes).toMatchObject([
      { level: 30, table: 'temp', from: 'a', cluster: 'b', metas: b.metaAddresses },
      { level: 30, table: 'temp', from: 'b', cluster: 'a', metas: a.metaAddresses },
    ]);
    expect(client.socket.destroyed).toBe(false);
  });

  it('changes while a query is in flight: that one may finish, the next goes the new way', async () => {
    expect(await appId()).toBe(1);
    a.metas[0]?.setFaults({ hold: true });
    const old = client.query('temp', { timeoutMs: 4000 });
    await a.metas[0]?.waitForHeld(1);
    await proxy.setTable('temp', onB());
    expect(await appId()).toBe(2);
    a.metas[0]?.release();
    expect((await old).result?.app_id).toBeOneOf([1, 2]);
    expect(await appId()).toBe(2);
  });

  it('changes while the old cluster is dark: a query that waits there goes the new way', async () => {
    expect(await appId()).toBe(1);
    await Promise.all(a.metas.map((meta) => meta.refuse()));
    const waiting = client.query('temp', { timeoutMs: 4000 });
    await proxy.setTable('temp', onB());
    expect((await waiting).result?.app_id).toBe(2);
  });

  it('is unknown once the entry is deleted, and known again once it is back', async () => {
    expect(await appId()).toBe(1);
    await proxy.setTable('temp', undefined);
    expect((await client.query('temp')).result?.err).toBe('ERR_OBJECT_NOT_FOUND');
    await proxy.setTable('temp', onB());
    expect(await appId()).toBe(2);
  });

  it('stays what it was when the entry becomes rubbish, with an error line and a metric', async () => {
    expect(await appId()).toBe(1);
    for (const raw of [{ cluster: 'b' }, { cluster: 'b', 'meta-addrs': [] }, 'no_such_cluster', 42]) {
      const before = proxy.daemon.metrics.unreadableRoutes.value;
      await proxy.setTable('temp', { raw });
      expect(await appId()).toBe(1);
      expect(proxy.daemon.metrics.unreadableRoutes.value).toBe(before + 1);
    }
    const errors = proxy.log.filter(
      ({ level, table, msg }) => level === 50 && table === 'temp' && msg.startsWith('route'),
    );
    expect(errors).toHaveLength(4);
    expect(errors[0]?.msg).toMatch(/keeping the last good one/);
    await proxy.setTable('temp', onB());
    expect(await appId()).toBe(2);
  });

  it('is not in the way of requests at info level: no line is logged for one', async () => {
    await appId();
    const lines = () => proxy.log.filter(({ level }) => Number(level) >= 30).length;
    const before = lines();
    for (let i = 0; i < 100; i++) await appId();
    expect(lines()).toBe(before);
  });
});

describe('many tables', () => {
  it('are read once each however many clients ask at once, and kept up to the capacity', async () => {
    const names = Array.from({ length: 20 }, (_, i) => `table_${i}`);
    const cluster = await SimCluster.start({
      name: 'a',
      metas: 1,
      tables: Object.fromEntries(names.map((name) => [name, { partitions: 4 }])),
    });
    const place = { cluster: 'a', metas: cluster.metaAddresses };
    const proxy = await TestProxy.start(Object.fromEntries(names.map((name) => [name, place])), {
      zookeeper: { table_watcher_cache_capacity: 10 },
    });
    const clients = await Promise.all(Array.from({ length: 20 }, () => proxy.connect()));
    const first = names.slice(0, 10);
    const reads = () => proxy.daemon.metrics.registryReads.get('found');
    const answers = await Promise.all(clients.flatMap((client) => first.map((name) => client.query(name))));
    expect(answers.every(({ result }) => result?.err === 'ERR_OK')).toBe(true);
    expect(reads()).toBe(10);

    const client = clients[0] as RawClient;
    await client.query('table_0');
    await client.query('table_10');
    expect(proxy.daemon.metrics.cachedTables.value).toBe(10);
    expect(proxy.daemon.isCached('table_0')).toBe(true);
    expect(proxy.daemon.isCached('table_1')).toBe(false);
    expect((await client.query('table_1')).result?.err).toBe('ERR_OK');
    expect(reads()).toBe(12);
    expect(cluster.metas[0]?.connectionsAccepted).toBe(1);
    await proxy.stop();
    await cluster.stop();
  });
});
