import { afterEach, describe, expect, it } from 'vitest';
import { SimCluster } from '../../../src/sim/sim-cluster.ts';
import type { SimMetaServer } from '../../../src/sim/sim-meta-server.ts';
import { decodeResponse } from '../../../src/wire/message-frame.ts';
import { listAppsRpc } from '../../../src/wire/messages.ts';
import { RawClient } from '../../support/raw-client.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function startMeta(): Promise<SimMetaServer> {
  const cluster = await SimCluster.start({
    metas: 1,
    tables: { temp: { partitions: 8 }, stat: { partitions: 4 }, wide: { partitions: 512 } },
  });
  open.push({ close: () => cluster.stop() });
  return cluster.leader;
}

async function connect(meta: SimMetaServer): Promise<RawClient> {
  const client = await RawClient.connect(meta.address);
  open.push(client);
  return client;
}

function seqIds(client: RawClient): number[] {
  return client.frames.map((frame) => decodeResponse(frame).seqId);
}

/** Resolves once so many response frames have come. */
async function frames(client: RawClient, count: number): Promise<void> {
  while (client.frames.length < count) await new Promise((resolve) => client.socket.once('data', resolve));
}

describe('what answers say', () => {
  it('a header error, for whatever is asked, and for so many requests', async () => {
    const meta = await startMeta();
    const client = await connect(meta);
    meta.setFaults({ headerError: 'ERR_BUSY', times: 2 });
    expect((await client.query('temp')).headerError).toBe('ERR_BUSY');
    const listed = await client.call(listAppsRpc, { status: 'AS_INVALID' });
    expect(listed).toMatchObject({ headerError: 'ERR_BUSY', name: 'RPC_CM_LIST_APPS_ACK' });
    expect(listed.result).toBeUndefined();
    expect((await client.query('temp')).result?.err).toBe('ERR_OK');
  });

  it('a body error of one table', async () => {
    const meta = await startMeta();
    const client = await connect(meta);
    meta.setFaults({ bodyError: 'ERR_ACL_DENY', table: 'temp' });
    const { result } = await client.query('temp');
    expect(result).toEqual({ err: 'ERR_ACL_DENY', app_id: 0, partition_count: 0, is_stateful: false, partitions: [] });
    expect((await client.query('stat')).result?.err).toBe('ERR_OK');
  });

  it('a redirect to any address, or to none', async () => {
    const meta = await startMeta();
    const client = await connect(meta);
    meta.setFaults({ redirectTo: '192.0.2.7:34601' });
    const { result } = await client.query('temp');
    expect(result).toMatchObject({ err: 'ERR_FORWARD_TO_OTHERS', partitions: [{ primary: '192.0.2.7:34601' }] });
    expect(() => meta.setFaults({ redirectTo: 'localhost:34601' })).toThrow(RangeError);
    meta.setFaults({ redirectTo: '' });
    expect((await client.query('temp')).result).toMatchObject({ err: 'ERR_FORWARD_TO_OTHERS', partitions: [] });
  });

  it('another seqId', async () => {
    const meta = await startMeta();
    const client = await connect(meta);
    meta.setFaults({ seqIdOffset: 1000 });
    client.sendQuery('temp', { seqId: 5 });
    expect(decodeResponse(await client.response(1005)).name).toBe('RPC_CM_QUERY_PARTITION_CONFIG_BY_INDEX_ACK');
  });

  it('rubbish, or an absurd length', async () => {
    const meta = await startMeta();
    meta.setFaults({ rubbish: Buffer.from('HTTP/1.1 200 OK\r\n') });
    const first = await connect(meta);
    first.sendQuery('temp');
    expect((await first.closed).error?.message).toMatch(/1213486160 bytes/);
    meta.setFaults({ absurdLength: 0x7fffffff });
    const second = await connect(meta);
    second.sendQuery('temp');
    expect((await second.closed).error?.message).toMatch(/2147483647 bytes/);
  });
});

describe('when answers come', () => {
  it('held ones on release, in any order and number', async () => {
    const meta = await startMeta();
    const client = await connect(meta);
    meta.setFaults({ hold: true });
    for (const seqId of [1, 2, 3, 4]) client.sendQuery('temp', { seqId });
    await meta.waitForHeld(4);
    expect(client.frames).toHaveLength(0);
    expect(meta.release(1)).toBe(1);
    await client.response(1);
    expect(meta.release(2, { reversed: true })).toBe(2);
    await Promise.all([client.response(2), client.response(3)]);
    meta.clearFaults();
    await client.response(4);
    expect(seqIds(client)).toEqual([1, 3, 2, 4]);
    expect((await client.query('temp')).result?.err).toBe('ERR_OK');
  });

  it('held ones of a connection that is gone are nobody’s', async () => {
    const meta = await startMeta();
    meta.setFaults({ hold: true });
    const client = await connect(meta);
    client.sendQuery('temp');
    await meta.waitForHeld(1);
    await client.reset();
    await meta.waitForConnections(0);
    expect(meta.release()).toBe(1);
    meta.clearFaults();
    expect((await (await connect(meta)).query('temp')).result?.err).toBe('ERR_OK');
  });

  it('in reversed order', async () => {
    const meta = await startMeta();
    const client = await connect(meta);
    meta.setFaults({ reverse: 3 });
    for (const seqId of [1, 2, 3]) client.sendQuery('temp', { seqId });
    await frames(client, 3);
    expect(seqIds(client)).toEqual([3, 2, 1]);
  });

  it('late, or never', async () => {
    const meta = await startMeta();
    const client = await connect(meta);
    meta.setFaults({ delayMs: 1 });
    expect((await client.query('temp')).result?.err).toBe('ERR_OK');
    meta.setFaults({ stall: true });
    client.sendQuery('temp', { seqId: 77 });
    await meta.waitForRequests(2);
    meta.clearFaults();
    // Answers keep their order on a connection, so the next one proves that none came before it.
    await client.query('temp', { seqId: 78 });
    expect(seqIds(client)).not.toContain(77);
  });

  it('not while reading is frozen, all of them after it', async () => {
    const meta = await startMeta();
    const client = await connect(meta);
    await client.query('temp');
    meta.setFaults({ freezeReading: true });
    const later = await connect(meta);
    await meta.waitForConnections(2);
    const answers = [client.query('temp'), later.query('temp')];
    // More turns than it would take to read and answer them.
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    expect(meta.requestCount).toBe(1);
    meta.clearFaults();
    for (const answer of await Promise.all(answers)) expect(answer.result?.err).toBe('ERR_OK');
    expect(meta.requestCount).toBe(3);
  });
});

describe('how answers travel', () => {
  it('in pieces, whole in the end and in order', async () => {
    const meta = await startMeta();
    const client = await connect(meta);
    const chunks: number[] = [];
    client.socket.on('data', (chunk: Buffer) => chunks.push(chunk.length));
    meta.setFaults({ splitAt: [1, 3, 10], times: 1 });
    const answers = [client.query('temp'), client.query('stat'), client.query('wide')];
    for (const answer of await Promise.all(answers)) expect(answer.result?.err).toBe('ERR_OK');
    expect(seqIds(client)).toEqual([1, 2, 3]);
    expect(chunks.slice(0, 3)).toEqual([1, 3, 10]);
  });

  it.each([
    { cutWith: 'reset', code: 'ECONNRESET' },
    { cutWith: 'end', code: undefined },
  ] as const)('cut off with a $cutWith after n bytes', async ({ cutWith, code }) => {
    const meta = await startMeta();
    const client = await connect(meta);
    let bytes = 0;
    client.socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    meta.setFaults({ cutAfterBytes: 30, cutWith });
    client.sendQuery('temp');
    expect((await client.closed).error?.code).toBe(code);
    expect(bytes).toBe(30);
    expect(client.frames).toHaveLength(0);
    await meta.waitForConnections(0);
  });

  it('not at all: a request resets its connection, and that alone', async () => {
    const meta = await startMeta();
    const [other, client] = [await connect(meta), await connect(meta)];
    meta.setFaults({ resetOnRequest: true, times: 1 });
    client.sendQuery('temp');
    expect((await client.closed).error?.code).toBe('ECONNRESET');
    expect((await other.query('temp')).result?.err).toBe('ERR_OK');
  });

  it('many at once, large ones among them, whole', async () => {
    const meta = await startMeta();
    const client = await connect(meta);
    const answers = Array.from({ length: 300 }, (_, at) => client.query(at % 10 === 0 ? 'wide' : 'temp'));
    for (const [at, { result }] of (await Promise.all(answers)).entries()) {
      expect(result?.partition_count).toBe(at % 10 === 0 ? 512 : 8);
    }
    expect(seqIds(client)).toEqual(Array.from({ length: 300 }, (_, at) => at + 1));
  });
});

describe('the server', () => {
  it('refuses, and comes back on the same port', async () => {
    const meta = await startMeta();
    const { address } = meta;
    const client = await connect(meta);
    await client.query('temp');
    await meta.refuse();
    expect((await client.closed).error?.code).toBe('ECONNRESET');
    await expect(RawClient.connect(address)).rejects.toThrow(/ECONNREFUSED/);
    await meta.listen();
    expect(meta.address).toBe(address);
    expect((await (await connect(meta)).query('temp')).result?.err).toBe('ERR_OK');
  });

  it('can be rid of a peer that does not read', async () => {
    const meta = await startMeta();
    const client = await connect(meta);
    client.socket.pause();
    for (let seqId = 1; seqId <= 200; seqId++) client.sendQuery('wide', { seqId });
    await meta.waitForRequests(200);
    meta.resetConnections();
    await meta.waitForConnections(0);
    client.socket.resume();
    expect(client.frames.length).toBeLessThan(200);
  });

  it('records the exact frames, the last ones, and counts', async () => {
    const meta = await startMeta();
    const seen: Buffer[] = [];
    meta.onRequest = (frame) => seen.push(frame);
    const client = await connect(meta);
    await client.query('temp', { seqId: 9, timeoutMs: 2000, headerVersion: 1 });
    expect(meta.received).toEqual(seen);
    expect(meta.received[0]?.subarray(0, 8).toString('hex')).toBe('5448465400000001');
    expect({ open: meta.connectionCount, all: meta.connectionsAccepted }).toEqual({ open: 1, all: 1 });
    await client.close();
    await meta.waitForConnections(0);
    meta.clearReceived();
    expect({ requests: meta.requestCount, frames: meta.received.length }).toEqual({ requests: 0, frames: 0 });
    expect(meta.connectionsAccepted).toBe(1);
  });

  it('keeps no more frames than it may', async () => {
    const cluster = await SimCluster.start({ metas: 1, tables: { temp: { partitions: 2 } }, recordLimit: 2 });
    open.push({ close: () => cluster.stop() });
    const client = await connect(cluster.leader);
    for (const seqId of [1, 2, 3]) await client.query('temp', { seqId });
    expect(cluster.leader.received).toHaveLength(2);
    expect(cluster.leader.requestCount).toBe(3);
  });

  it('reads a request split at every byte, and many in one chunk', async () => {
    const meta = await startMeta();
    const client = await connect(meta);
    await client.query('temp', { seqId: 1 });
    const frame = meta.received[0] as Buffer;
    for (const byte of frame) {
      client.sendRaw(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    expect((await client.response(1)).equals(client.frames[0] as Buffer)).toBe(true);
    client.sendRaw(Buffer.concat([frame, frame, frame]));
    await frames(client, 5);
    expect(seqIds(client)).toEqual([1, 1, 1, 1, 1]);
  });
});
