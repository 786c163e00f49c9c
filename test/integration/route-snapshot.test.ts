import { readdirSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { decodeSnapshot, encodeSnapshot, type RegistryIdentity } from '../../src/routing/route-snapshot-format.ts';
import { SimCluster } from '../../src/sim/sim-cluster.ts';
import { DaemonProcess } from '../support/daemon-process.ts';
import { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { freePort, startZooKeeper, ZooKeeperAdmin } from '../support/zookeeper-server.ts';

const ROOT = '/tables';
const STARTS = 3;
/** A second on a machine that has a processor to spare for it. */
const startBoundMs = () => ((loadavg()[0] ?? 0) < availableParallelism() / 2 ? 1_000 : 5_000);

describe('the snapshot of routes', () => {
  let a: SimCluster;
  let b: SimCluster;
  let folder: string;
  let snapshot: string;
  /** Where ZooKeeper is, or will be. */
  let port: number;
  let registry: RegistryIdentity;

  beforeAll(async () => {
    a = await SimCluster.start({ name: 'a', metas: 1, tables: { one: { partitions: 4 }, two: { partitions: 4 } } });
    b = await SimCluster.start({ name: 'b', metas: 1, tables: { one: { partitions: 8 }, two: { partitions: 8 } } });
  });

  afterAll(async () => {
    await Promise.all([a.stop(), b.stop()]);
  });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'snapshot-'));
    snapshot = join(folder, 'routes');
    port = await freePort();
    registry = { kind: 'zookeeper', places: [`127.0.0.1:${port}`], root: ROOT };
  });

  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  const startDaemon = () =>
    DaemonProcess.start({
      config: `
listen: 127.0.0.1:0
admin: { listen: 127.0.0.1:0 }
zookeeper:
  address: 127.0.0.1:${port}
  root: ${ROOT}
  timeout: 1000
  table_watcher_cache_capacity: 40000
snapshot: { path: ${snapshot}, interval_ms: 20 }
`,
    });
  const znode = ({ name, metaAddresses }: SimCluster) => JSON.stringify({ cluster: name, 'meta-addrs': metaAddresses });
  const known = (cluster: SimCluster, names: readonly string[]) =>
    names.map((table) => ({
      table,
      route: { cluster: cluster.name, metas: cluster.metaAddresses },
      version: 1n,
      verifiedAt: Date.now() - 3_600_000,
    }));
  const writeSnapshot = (names: readonly string[]) =>
    writeFile(snapshot, Buffer.concat([...encodeSnapshot({ program: 'test', registry }, known(a, names))]));
  const partitions = async (client: RawClient, table: string) => (await client.query(table)).result?.partition_count;
  const readTables = async () => decodeSnapshot(await readFile(snapshot), registry).routes.map(({ table }) => table);

  it('is served from within a second of the start, with ZooKeeper down and 30,000 tables', async () => {
    const others = Array.from({ length: 30_000 }, (_, i) => `table_${i}`);
    const times: number[] = [];
    for (let i = 0; i < STARTS; i++) {
      await writeSnapshot([...others, 'one']);
      const start = performance.now();
      const daemon = await startDaemon();
      const client = await RawClient.connect(await daemon.address());
      expect(await partitions(client, 'one')).toBe(4);
      times.push(performance.now() - start);
      expect((await client.query('unheard_of')).result?.err).toBe('ERR_SERVICE_NOT_ACTIVE');
      const restored = await daemon.logged('routes restored');
      expect(restored.cached).toBe(30_001);
      expect(restored.oldestS).toBeGreaterThanOrEqual(3600);
      await client.close();
      expect(await daemon.stop()).toBe(0);
      expect(daemon.stderr).toBe('');
    }
    const took = Math.min(...times);
    process.stdout.write(`from the start of the process to the first answer: ${times.map(Math.round).join(', ')} ms\n`);
    expect(took).toBeLessThan(startBoundMs());
  });

  it('carries the routes over to the next start, until ZooKeeper is there and says otherwise', async () => {
    const zookeeper = await startZooKeeper({ port });
    const admin = new ZooKeeperAdmin(zookeeper.address);
    for (const table of ['one', 'two']) await admin.put(`${ROOT}/${table}`, znode(a));
    let daemon = await startDaemon();
    let client = await RawClient.connect(await daemon.address());
    await daemon.logged('registry can be read');
    expect(await partitions(client, 'two')).toBe(4);
    expect(await partitions(client, 'one')).toBe(4);
    await waitFor(async () => (await readTables()).length === 2, { what: 'the snapshot' });
    await client.close();
    expect(await daemon.stop()).toBe(0);
    expect(await readTables()).toEqual(['one', 'two']);
    await admin.put(`${ROOT}/two`, znode(b));
    await admin.close();
    await zookeeper.kill();

    daemon = await startDaemon();
    client = await RawClient.connect(await daemon.address());
    expect(await partitions(client, 'one')).toBe(4);
    expect(await partitions(client, 'two')).toBe(4);
    await zookeeper.restart();
    await waitFor(async () => (await partitions(client, 'two')) === 8, { what: 'what changed meanwhile' });
    expect(await daemon.logged('all cached tables are verified')).toMatchObject({ changed: 1 });
    const later = new ZooKeeperAdmin(zookeeper.address);
    await later.put(`${ROOT}/one`, znode(b));
    await waitFor(async () => (await partitions(client, 'one')) === 8, { what: 'what changes now' });
    await later.delete(`${ROOT}/two`);
    await waitFor(async () => (await client.query('two')).result?.err === 'ERR_OBJECT_NOT_FOUND', { what: 'the end' });
    await later.close();
    await client.close();
    expect(await daemon.stop()).toBe(0);
    expect(await readTables()).toEqual(['one']);
    await zookeeper.stop();
  });

  it('is refused when it is corrupt: the start goes on without, and says so', async () => {
    await writeSnapshot(['one']);
    const content = await readFile(snapshot);
    content[content.length >> 1] = (content[content.length >> 1] as number) ^ 0xff;
    await writeFile(snapshot, content);
    const daemon = await startDaemon();
    const client = await RawClient.connect(await daemon.address());
    expect((await client.query('one')).result?.err).toBe('ERR_SERVICE_NOT_ACTIVE');
    const line = await daemon.logged('snapshot of routes refused');
    expect(line).toMatchObject({ level: 'error', reason: 'it is corrupt: its checksum differs' });
    await client.close();
    expect(await daemon.stop()).toBe(0);
    expect(await readdir(folder)).toEqual(['routes.rejected']);
    expect(await readFile(`${snapshot}.rejected`)).toEqual(content);
  });

  it('is whole whenever the process is killed', async () => {
    const names = Array.from({ length: 5_000 }, (_, i) => `table_${i}`);
    const tables = join(folder, 'tables.yaml');
    const writeTables = async (cluster: string) => {
      const entries = names.map((name) => `  ${name}: { cluster: ${cluster}, meta-addrs: [127.0.0.1:1] }\n`);
      await writeFile(`${tables}.new`, `tables:\n${entries.join('')}`);
      await rename(`${tables}.new`, tables);
    };
    registry = { kind: 'file', places: [tables], root: '' };
    await writeTables('a');
    await writeSnapshot(names);
    for (let round = 0; round < 3; round++) {
      const daemon = await DaemonProcess.start({
        config: `
listen: 127.0.0.1:0
admin: { listen: 127.0.0.1:0 }
registry: file
file: { path: ${tables} }
zookeeper: { table_watcher_cache_capacity: 10000 }
snapshot: { path: ${snapshot}, interval_ms: 10 }
`,
      });
      await daemon.logged('all cached tables are verified');
      await writeTables(`c${round}`);
      // While the next one is being written: it never lasts long, so it is looked for in one turn.
      await waitFor(() => readdirSync(folder).some((name) => name.endsWith('.tmp')) && daemon.child.kill('SIGKILL'), {
        what: 'a write',
      });
      await daemon.stop('SIGKILL');
      expect((await readTables()).toSorted()).toEqual(names.toSorted());
    }
  });
});
