import { afterEach, describe, expect, it } from 'vitest';
import { SimCluster, type SimClusterOptions } from '../../../src/sim/sim-cluster.ts';
import { listAppsRpc, negotiationRpc, type Rpc } from '../../../src/wire/messages.ts';
import { RawClient } from '../../support/raw-client.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function start(options: SimClusterOptions = {}): Promise<SimCluster> {
  const cluster = await SimCluster.start({ tables: { temp: { partitions: 8, appId: 2 } }, ...options });
  open.push({ close: () => cluster.stop() });
  return cluster;
}

async function connect(address: string): Promise<RawClient> {
  const client = await RawClient.connect(address);
  open.push(client);
  return client;
}

async function queryOf(cluster: SimCluster, meta: number, table: string, indices?: readonly number[]) {
  const client = await connect(cluster.metas[meta]?.address ?? '');
  const { result } = await client.query(table, indices === undefined ? {} : { indices });
  return result;
}

describe('a leader', () => {
  it('answers with all partitions, each with valid servers', async () => {
    const cluster = await start({ replicas: 3 });
    const result = await queryOf(cluster, 0, 'temp');
    expect(result).toMatchObject({ err: 'ERR_OK', app_id: 2, partition_count: 8, is_stateful: true });
    const addresses = cluster.replicas.map((replica) => replica.address);
    expect(result?.partitions).toHaveLength(8);
    result?.partitions?.forEach((partition, index) => {
      expect(partition.pid).toEqual({ appId: 2, partitionIndex: index });
      expect(partition.ballot).toBe(1n);
      expect(addresses).toContain(partition.primary);
      expect(new Set([partition.primary, ...partition.secondaries]).size).toBe(3);
    });
  });

  it.each([
    { indices: [], expected: 8 },
    { indices: [99, -1], expected: 8 },
    { indices: [0, 3, 7], expected: 3 },
    { indices: [7, 99], expected: 1 },
  ])('answers indices $indices with $expected partitions', async ({ indices, expected }) => {
    const result = await queryOf(await start(), 0, 'temp', indices);
    expect(result?.partition_count).toBe(8);
    expect(result?.partitions).toHaveLength(expected);
  });

  it('answers the same bytes, seqId aside, to every form of the same question', async () => {
    const client = await connect((await start()).leader.address);
    const frames = await Promise.all([
      client.query('temp', { seqId: 7 }),
      client.query('temp', { seqId: 7, indices: [] }),
      client.query('temp', { seqId: 7, headerVersion: 1 }),
      client.query('temp', { seqId: 7, strict: false }),
      client.query('temp', { seqId: 7, indices: [-5] }),
    ]);
    for (const { frame } of frames) expect(frame.equals(frames[0].frame)).toBe(true);
  });

  it('says that a table is unknown, being created, or being dropped', async () => {
    const cluster = await start();
    expect(await queryOf(cluster, 0, 'nope')).toEqual({
      err: 'ERR_OBJECT_NOT_FOUND',
      app_id: 0,
      partition_count: 0,
      is_stateful: false,
      partitions: [],
    });
    cluster.setTableStatus('temp', 'creating');
    expect((await queryOf(cluster, 0, 'temp'))?.err).toBe('ERR_BUSY_CREATING');
    cluster.setTableStatus('temp', 'dropping');
    expect((await queryOf(cluster, 0, 'temp'))?.err).toBe('ERR_BUSY_DROPPING');
    cluster.setTableStatus('temp', 'available');
    expect((await queryOf(cluster, 0, 'temp'))?.err).toBe('ERR_OK');
  });

  it.each([
    ['starting', 'ERR_SERVICE_NOT_ACTIVE'],
    ['recovering', 'ERR_UNDER_RECOVERY'],
  ] as const)('while %s answers %s', async (kind, err) => {
    const cluster = await start();
    cluster.metas[0]?.setRole({ kind });
    expect((await queryOf(cluster, 0, 'temp'))?.err).toBe(err);
  });

  it('lists its tables, by status', async () => {
    const cluster = await start({ tables: { temp: { partitions: 8 }, stat: { partitions: 4 } } });
    cluster.setTableStatus('stat', 'dropping');
    const client = await connect(cluster.leader.address);
    const all = await client.call(listAppsRpc, { status: 'AS_INVALID' });
    expect(all.result?.infos?.map((info) => [info.app_name, info.status, info.partition_count])).toEqual([
      ['temp', 'AS_AVAILABLE', 8],
      ['stat', 'AS_DROPPING', 4],
    ]);
    const available = await client.call(listAppsRpc, { status: 'AS_AVAILABLE' });
    expect(available.result?.infos?.map((info) => info.app_name)).toEqual(['temp']);
  });

  it('answers a negotiation with SASL_AUTH_DISABLE', async () => {
    const client = await connect((await start()).leader.address);
    const answer = await client.call(negotiationRpc, { status: 'SASL_LIST_MECHANISMS', msg: Buffer.alloc(0) });
    expect(answer.result).toEqual({ status: 'SASL_AUTH_DISABLE', msg: Buffer.alloc(0) });
  });

  it('has no handler for other RPCs, and keeps the connection', async () => {
    const client = await connect((await start()).leader.address);
    const unknown: Rpc<unknown, unknown> = { ...listAppsRpc, name: 'RPC_CM_DROP_APP' } as Rpc<unknown, unknown>;
    const answer = await client.call(unknown, { status: 'AS_INVALID' }, { seqId: -3 });
    expect(answer).toMatchObject({ headerError: 'ERR_HANDLER_NOT_FOUND', name: 'RPC_CM_DROP_APP_ACK', seqId: -3 });
    expect(answer.resultBytes).toHaveLength(0);
    expect((await client.query('temp')).result?.err).toBe('ERR_OK');
  });

  it('closes the connection on a malformed frame, after the answers due before it', async () => {
    const client = await connect((await start()).leader.address);
    const answer = client.query('temp');
    client.sendRaw(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    expect((await answer).result?.err).toBe('ERR_OK');
    await client.closed;
  });
});

describe('a follower', () => {
  it('forwards to the leader', async () => {
    const cluster = await start();
    const result = await queryOf(cluster, 1, 'temp');
    expect(result).toMatchObject({ err: 'ERR_FORWARD_TO_OTHERS', is_stateful: false, partition_count: 0 });
    expect(result?.partitions?.map((partition) => partition.primary)).toEqual([cluster.metaAddresses[0]]);
    expect(result?.partitions?.[0]).not.toHaveProperty('hp_primary');
  });

  it('names the leader by host name, too, with FQDN support', async () => {
    const cluster = await start({ hostPorts: true });
    expect((await queryOf(cluster, 1, 'temp'))?.partitions?.[0]).toMatchObject({
      primary: cluster.leader.address,
      hp_primary: `localhost:${cluster.leader.port}`,
    });
    expect((await queryOf(cluster, 0, 'temp'))?.partitions?.[0]?.hp_secondaries).toHaveLength(2);
  });

  it('names nobody where it knows no leader, or there is none', async () => {
    const silent = await start({ followersKnowLeader: false });
    expect((await queryOf(silent, 1, 'temp'))?.partitions).toEqual([]);
    const headless = await start({ metas: 3 });
    headless.changeLeader(undefined);
    expect(() => headless.leader).toThrow(/no leader/);
    for (const meta of [0, 1, 2]) {
      expect(await queryOf(headless, meta, 'temp')).toMatchObject({ err: 'ERR_FORWARD_TO_OTHERS', partitions: [] });
    }
  });

  it('becomes the leader, and the leader a follower of it', async () => {
    const cluster = await start();
    cluster.changeLeader(1);
    expect((await queryOf(cluster, 1, 'temp'))?.err).toBe('ERR_OK');
    expect((await queryOf(cluster, 0, 'temp'))?.partitions?.[0]?.primary).toBe(cluster.metaAddresses[1]);
    expect(() => cluster.changeLeader(2)).toThrow(RangeError);
  });
});

describe('tables', () => {
  it('are created, split, made anew and dropped', async () => {
    const cluster = await start();
    cluster.createTable('wide', { partitions: 1024 });
    expect(await queryOf(cluster, 0, 'wide')).toMatchObject({ app_id: 3, partition_count: 1024 });
    cluster.splitTable('temp');
    const split = await queryOf(cluster, 0, 'temp');
    expect(split).toMatchObject({ app_id: 2, partition_count: 16 });
    expect(split?.partitions?.[15]?.ballot).toBe(2n);
    cluster.recreate('temp', { partitions: 4 });
    expect(await queryOf(cluster, 0, 'temp')).toMatchObject({ app_id: 4, partition_count: 4 });
    cluster.dropTable('temp');
    expect((await queryOf(cluster, 0, 'temp'))?.err).toBe('ERR_OBJECT_NOT_FOUND');
    expect(() => cluster.splitTable('temp')).toThrow(/no table temp/);
  });
});
