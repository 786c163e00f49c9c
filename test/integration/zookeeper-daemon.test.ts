import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { SimCluster } from '../../src/sim/sim-cluster.ts';
import { DaemonProcess } from '../support/daemon-process.ts';
import { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { startZooKeeper, ZooKeeperAdmin, type ZooKeeperProcess } from '../support/zookeeper-server.ts';

const ROOT = '/pegasus/c3srv-pegasus';

/** The Go daemon's configuration file, its keys and no others, on top of ours for the port. */
const goConfig = (zookeeper: string, more = '') => `
zookeeper:
  address: [${zookeeper}]
  root: ${ROOT}
  timeout: 1000 # ms
  table_watcher_cache_capacity: 1024
metric:
  type: prometheus # or falcon
  tags: [region=local_tst,service=meta_proxy]
${more}`;

const onFreePort = 'listen: 127.0.0.1:0\nadmin: { listen: 127.0.0.1:0 }\n';

describe('the daemon on a real ZooKeeper', () => {
  let zookeeper: ZooKeeperProcess;
  let admin: ZooKeeperAdmin;
  let a: SimCluster;
  let b: SimCluster;
  let daemon: DaemonProcess;
  let client: RawClient;

  beforeAll(async () => {
    zookeeper = await startZooKeeper();
    admin = new ZooKeeperAdmin(zookeeper.address);
    a = await SimCluster.start({ name: 'a', metas: 2, tables: { temp: { partitions: 8, appId: 1 } } });
    b = await SimCluster.start({ name: 'b', metas: 1, tables: { temp: { partitions: 16, appId: 2 } } });
  });

  afterAll(async () => {
    await admin.close();
    await Promise.all([a.stop(), b.stop(), zookeeper.stop()]);
  });

  beforeEach(async () => {
    await admin.put(`${ROOT}/temp`, deployed(a));
    daemon = await DaemonProcess.start({ config: goConfig(zookeeper.address, onFreePort) });
    client = await RawClient.connect(await daemon.address());
    await daemon.logged('registry can be read');
  });

  afterEach(async () => {
    await client.close();
    expect(await daemon.stop()).toBe(0);
    expect(daemon.stderr).toBe('');
  });

  const deployed = ({ name, metaAddresses }: SimCluster) =>
    JSON.stringify({ cluster_name: name, meta_addrs: metaAddresses.join(',') });
  const rfc = ({ name, metaAddresses }: SimCluster) => JSON.stringify({ cluster: name, 'meta-addrs': metaAddresses });
  const appId = async () => (await client.query('temp')).result?.app_id;
  const becomes = (id: number) => waitFor(async () => (await appId()) === id, { what: `app id ${id}` });

  it('follows a table through both layouts, rubbish, deletion and creation, on one connection', async () => {
    expect(await appId()).toBe(1);

    await admin.put(`${ROOT}/temp`, rfc(b));
    await becomes(2);
    await admin.put(`${ROOT}/temp`, deployed(a));
    await becomes(1);

    await admin.put(`${ROOT}/temp`, '{"cluster_name": "b", "meta_addrs"');
    await daemon.logged('route changed to something unreadable, keeping the last good one');
    expect(await appId()).toBe(1);

    await admin.delete(`${ROOT}/temp`);
    await waitFor(async () => (await client.query('temp')).result?.err === 'ERR_OBJECT_NOT_FOUND', {
      what: 'the table to be unknown',
    });
    await admin.put(`${ROOT}/temp`, rfc(b));
    await becomes(2);

    const changes = (await daemon.log()).filter(({ msg }) => msg.startsWith('route '));
    expect(changes.map(({ level, msg, cluster }) => [level, msg, cluster])).toEqual([
      ['info', 'route changed', 'b'],
      ['info', 'route changed', 'a'],
      ['error', 'route changed to something unreadable, keeping the last good one', 'a'],
      ['info', 'route removed, the table is unknown now', undefined],
    ]);
  });

  it('shows a table that was asked for before it was created as soon as it is there', async () => {
    expect((await client.query('not_yet')).result?.err).toBe('ERR_OBJECT_NOT_FOUND');
    a.createTable('not_yet', { partitions: 4 });
    await admin.put(`${ROOT}/not_yet`, deployed(a));
    await waitFor(async () => (await client.query('not_yet')).result?.err === 'ERR_OK', { timeoutMs: 900 });
    await admin.delete(`${ROOT}/not_yet`);
  });

  it('answers ERR_INVALID_DATA to a znode that was never readable, and serves it once it is', async () => {
    await admin.put(`${ROOT}/temp2`, 'rubbish');
    expect((await client.query('temp2')).result?.err).toBe('ERR_INVALID_DATA');
    a.createTable('temp2', { partitions: 4 });
    await admin.put(`${ROOT}/temp2`, rfc(a));
    await waitFor(async () => (await client.query('temp2')).result?.err === 'ERR_OK', { what: 'the table' });
    await admin.delete(`${ROOT}/temp2`);
  });

  it('reads a table once, however many clients wait for it', async () => {
    const names = Array.from({ length: 20 }, (_, i) => `herd_${i}`);
    for (const name of names) {
      a.createTable(name, { partitions: 4 });
      await admin.put(`${ROOT}/${name}`, deployed(a));
    }
    const clients = await Promise.all(
      Array.from({ length: 20 }, async () => RawClient.connect(await daemon.address())),
    );
    const answers = await Promise.all(clients.flatMap((one) => names.map((name) => one.query(name))));
    expect(answers.map(({ result }) => result?.err)).toEqual(answers.map(() => 'ERR_OK'));
    await Promise.all(clients.map((one) => one.close()));
  });

  it('serves what it has while ZooKeeper is away, tells the rest to come back, and catches up after', async () => {
    expect(await appId()).toBe(1);
    await zookeeper.kill();
    await daemon.logged('registry can not be read, serving the cached tables as they are');
    for (let i = 0; i < 10; i++) expect(await appId()).toBe(1);
    const start = performance.now();
    expect((await client.query('unheard_of')).result?.err).toBe('ERR_SERVICE_NOT_ACTIVE');
    expect(performance.now() - start).toBeLessThan(300);
    await zookeeper.restart();
    await admin.put(`${ROOT}/temp`, rfc(b));
    await becomes(2);
    await waitFor(async () => (await client.query('unheard_of')).result?.err === 'ERR_OBJECT_NOT_FOUND', {
      what: 'the registry to be read again',
    });
  });

  it('loses nothing in a storm of changes: what is served in the end is what was written last', async () => {
    expect(await appId()).toBe(1);
    for (let round = 0; round < 20; round++) {
      const target = round % 2 === 0 ? b : a;
      for (const cluster of [a, b, a, b, target]) await admin.put(`${ROOT}/temp`, rfc(cluster));
      await becomes(target === a ? 1 : 2);
    }
  });

  it('finishes what is in flight at SIGTERM', async () => {
    const one = await RawClient.connect(await daemon.address());
    expect((await one.query('temp')).result?.err).toBe('ERR_OK');
    a.metas[0]?.setFaults({ hold: true });
    const answer = one.query('temp', { timeoutMs: 4000 });
    await a.metas[0]?.waitForHeld(1);
    daemon.child.kill('SIGTERM');
    await client.closed;
    a.metas[0]?.clearFaults();
    a.metas[0]?.release();
    expect((await answer).result?.err).toBe('ERR_OK');
    await one.closed;
    expect(await daemon.exited).toBe(0);
  });
});

describe('the daemon as a drop-in for the Go one', () => {
  async function startWithRoot(): Promise<ZooKeeperProcess> {
    const zookeeper = await startZooKeeper();
    const admin = new ZooKeeperAdmin(zookeeper.address);
    await admin.put(ROOT, '');
    await admin.close();
    return zookeeper;
  }

  it('takes CONFIG.yaml LOGFILE, the file unchanged, and listens on its port', async () => {
    const zookeeper = await startWithRoot();
    const daemon = await DaemonProcess.start({ config: goConfig(zookeeper.address), args: ['CONFIG', 'LOG'] });
    expect(await daemon.address()).toBe('0.0.0.0:34601');
    const client = await RawClient.connect('127.0.0.1:34601');
    await daemon.logged('registry can be read');
    expect((await client.query('temp')).result?.err).toBe('ERR_OBJECT_NOT_FOUND');
    expect(daemon.stdout).toBe('');
    await client.close();
    expect(await daemon.stop('SIGINT')).toBe(0);
    await zookeeper.stop();
  });

  it('starts, and says so, while ZooKeeper is not there, and serves as soon as it is', async () => {
    const zookeeper = await startWithRoot();
    await zookeeper.kill();
    const daemon = await DaemonProcess.start({ config: goConfig(zookeeper.address, onFreePort) });
    const client = await RawClient.connect(await daemon.address());
    expect((await client.query('temp')).result?.err).toBe('ERR_SERVICE_NOT_ACTIVE');
    await zookeeper.restart();
    await waitFor(async () => (await client.query('temp')).result?.err === 'ERR_OBJECT_NOT_FOUND', {
      what: 'the registry to be read',
    });
    await client.close();
    expect(await daemon.stop()).toBe(0);
    await zookeeper.stop();
  });

  it('ends with exit code 2 and one line for a mistake in the configuration', async () => {
    const daemon = await DaemonProcess.start({
      config: goConfig('127.0.0.1:1').replace('timeout: 1000', 'timeout: soon'),
    });
    expect(await daemon.exited).toBe(2);
    expect(daemon.stderr.trim().split('\n')).toHaveLength(1);
    expect(daemon.stderr).toMatch(/config\.yaml:5: zookeeper\.timeout: .*soon/);
    await daemon.stop();
  });
});
