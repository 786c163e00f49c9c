import { afterEach, describe, expect, it } from 'vitest';
import { SimCluster } from '../../../src/sim/sim-cluster.ts';
import { decodeRequest, decodeResponse } from '../../../src/wire/message-frame.ts';
import { getRpc, putRpc, type Rpc, removeRpc, ttlRpc } from '../../../src/wire/messages.ts';
import { RawClient } from '../../support/raw-client.ts';
import { requestVectors } from '../../support/vectors.ts';

const EPOCH_BEGIN_SECONDS = 1_451_606_400;
const TEMP = 2;
const open: { close(): Promise<void> }[] = [];
let nowMs = 0;

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function start(): Promise<SimCluster> {
  nowMs = 1_800_000_000_000;
  const cluster = await SimCluster.start({
    replicas: 2,
    tables: { temp: { partitions: 4, appId: TEMP }, stat: { partitions: 2, appId: 7 } },
    now: () => nowMs,
  });
  open.push({ close: () => cluster.stop() });
  return cluster;
}

/** A client of the primary of a partition, as the cluster's leader names it. */
async function clientOf(cluster: SimCluster, partitionIndex: number): Promise<RawClient> {
  const client = await RawClient.connect(cluster.catalog.primaryOf(partitionIndex) ?? '');
  open.push(client);
  return client;
}

function keyOf(hashKey: string, sortKey: string): Buffer {
  const key = Buffer.concat([Buffer.alloc(2), Buffer.from(hashKey), Buffer.from(sortKey)]);
  key.writeUInt16BE(hashKey.length);
  return key;
}

const KEY = keyOf('h1', 's1');
const AT = { appId: TEMP, partitionIndex: 0 };

describe('data', () => {
  it('is stored, read, and removed', async () => {
    const client = await clientOf(await start(), 0);
    const put = await client.call(putRpc, { key: KEY, value: Buffer.from([0, 255]), expire_ts_seconds: 0 }, AT);
    expect(put.result).toMatchObject({ error: 0, app_id: TEMP, partition_index: 0, decree: 1n });
    expect((await client.call(getRpc, KEY, AT)).result).toMatchObject({ error: 0, value: Buffer.from([0, 255]) });
    expect((await client.call(ttlRpc, KEY, AT)).result).toMatchObject({ error: 0, ttl_seconds: -1 });
    expect((await client.call(removeRpc, KEY, AT)).result).toMatchObject({ error: 0, decree: 2n });
    expect((await client.call(removeRpc, KEY, AT)).result).toMatchObject({ error: 0 });
    expect((await client.call(getRpc, KEY, AT)).result).toMatchObject({ error: 1, value: Buffer.alloc(0) });
    expect((await client.call(ttlRpc, KEY, AT)).result).toMatchObject({ error: 1 });
  });

  it('expires', async () => {
    const client = await clientOf(await start(), 0);
    const expireAt = nowMs / 1000 - EPOCH_BEGIN_SECONDS + 10;
    await client.call(putRpc, { key: KEY, value: Buffer.from('v'), expire_ts_seconds: expireAt }, AT);
    nowMs += 9_000;
    expect((await client.call(ttlRpc, KEY, AT)).result).toMatchObject({ error: 0, ttl_seconds: 1 });
    nowMs += 1_000;
    expect((await client.call(getRpc, KEY, AT)).result?.error).toBe(1);
    expect((await client.call(ttlRpc, KEY, AT)).result?.error).toBe(1);
  });

  it('is each table’s own, outlives a split, and not a table made anew', async () => {
    const cluster = await start();
    const client = await clientOf(cluster, 0);
    await client.call(putRpc, { key: KEY, value: Buffer.from('v') }, { ...AT, headerVersion: 1 });
    expect((await client.call(getRpc, KEY, { appId: 7 })).result?.error).toBe(1);
    cluster.splitTable('temp');
    const other = await clientOf(cluster, 7);
    expect((await other.call(getRpc, KEY, { appId: TEMP, partitionIndex: 7 })).result?.error).toBe(0);
    cluster.recreate('temp', { partitions: 4 });
    expect((await client.call(getRpc, KEY, AT)).headerError).toBe('ERR_OBJECT_NOT_FOUND');
    expect((await client.call(getRpc, KEY, { appId: 8 })).result?.error).toBe(1);
  });
});

describe('what the official clients send', () => {
  it.each(requestVectors.filter((vector) => vector.rpc === getRpc.name))(
    '$id is answered',
    async ({ frame, seqId }) => {
      const { appId, partitionIndex, args: key } = decodeRequest(frame, getRpc);
      const partitions = 2 * Math.max(1, partitionIndex);
      const cluster = await SimCluster.start({ replicas: 1, tables: { temp: { partitions, appId } } });
      open.push({ close: () => cluster.stop() });
      const client = await clientOf(cluster, partitionIndex);
      await client.call(putRpc, { key, value: Buffer.from('v') }, { appId, partitionIndex, seqId: seqId + 1 });
      client.sendRaw(frame);
      expect(decodeResponse(await client.response(seqId), getRpc).result).toMatchObject({
        error: 0,
        value: Buffer.from('v'),
      });
    },
  );
});

describe('errors of the RPC layer', () => {
  it('no such table, partition or handler; not the primary', async () => {
    const client = await clientOf(await start(), 0);
    expect((await client.call(getRpc, KEY, { appId: 99 })).headerError).toBe('ERR_OBJECT_NOT_FOUND');
    expect((await client.call(getRpc, KEY, { ...AT, partitionIndex: 4 })).headerError).toBe('ERR_OBJECT_NOT_FOUND');
    const incr: Rpc<Buffer, unknown> = { ...getRpc, name: 'RPC_RRDB_RRDB_INCR' };
    const unhandled = await client.call(incr, KEY, AT);
    expect(unhandled).toMatchObject({ headerError: 'ERR_HANDLER_NOT_FOUND', name: 'RPC_RRDB_RRDB_INCR_ACK' });
    const elsewhere = { ...AT, partitionIndex: 1 };
    expect((await client.call(getRpc, KEY, elsewhere)).headerError).toBe('ERR_INVALID_STATE');
    const backup = { ...elsewhere, headerVersion: 1, isBackupRequest: true } as const;
    expect((await client.call(getRpc, KEY, backup)).headerError).toBe('ERR_OK');
  });

  it.each([
    { value: 'reconfig*all', get: 'ERR_INVALID_STATE', put: 'ERR_INVALID_STATE' },
    { value: 'reconfig*write', get: 'ERR_OK', put: 'ERR_INVALID_STATE' },
    { value: 'reconfig*read', get: 'ERR_INVALID_STATE', put: 'ERR_OK' },
  ])('$value denies what it says, to its table alone', async ({ value, get, put }) => {
    const cluster = await start();
    const client = await clientOf(cluster, 0);
    const write = { key: KEY, value: Buffer.from('v') };
    cluster.deny(value, 'temp');
    const denied = await client.call(getRpc, KEY, AT);
    expect(denied.headerError).toBe(get);
    if (get !== 'ERR_OK') expect(denied.resultBytes).toHaveLength(0);
    expect((await client.call(putRpc, write, AT)).headerError).toBe(put);
    expect((await client.call(putRpc, write, { appId: 7 })).headerError).toBe('ERR_OK');
    cluster.deny(undefined, 'temp');
    expect((await client.call(putRpc, write, AT)).headerError).toBe('ERR_OK');
    cluster.deny(value);
    expect((await client.call(getRpc, KEY, { appId: 7 })).headerError).toBe(get);
  });

  it('timeout*write leaves writes unanswered', async () => {
    const cluster = await start();
    const client = await clientOf(cluster, 0);
    cluster.deny('timeout*write');
    client.send(putRpc, { key: KEY, value: Buffer.from('v') }, { ...AT, seqId: 50 });
    // Answered in order, so the read's answer proves that there is none to the write.
    expect((await client.call(getRpc, KEY, AT)).result?.error).toBe(1);
    expect(client.frames).toHaveLength(1);
    expect(() => cluster.deny('never')).toThrow(/deny_client_request/);
  });
});
