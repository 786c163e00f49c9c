import { afterEach, describe, expect, it } from 'vitest';
import { SimCluster } from '../../../src/sim/sim-cluster.ts';
import { decodeRequest, encodeRequest } from '../../../src/wire/message-frame.ts';
import { queryCfgRpc } from '../../../src/wire/messages.ts';
import { RawClient } from '../../support/raw-client.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function start() {
  const cluster = await SimCluster.start({ metas: 1, tables: { temp: { partitions: 8 } } });
  open.push({ close: () => cluster.stop() });
  const client = await RawClient.connect(cluster.leader.address);
  open.push(client);
  return { meta: cluster.leader, client };
}

describe('RawClient', () => {
  it.each([
    { headerVersion: 0, strict: true },
    { headerVersion: 0, strict: false },
    { headerVersion: 1, strict: true },
  ] as const)('sends what it is told: version $headerVersion, strict $strict', async (form) => {
    const { meta, client } = await start();
    await client.query('temp', { ...form, seqId: -1, timeoutMs: 500, indices: [3] });
    const args = { app_name: 'temp', partition_indices: [3] };
    expect(decodeRequest(meta.received[0] as Buffer, queryCfgRpc)).toMatchObject({
      ...form,
      seqId: -1,
      timeoutMs: 500,
      args,
    });
  });

  it('sends bytes as they are, and keeps what nobody waited for', async () => {
    const { meta, client } = await start();
    const frame = encodeRequest({ rpc: queryCfgRpc, seqId: 40, args: { app_name: 'temp' } });
    client.sendRaw(frame);
    await client.query('temp', { seqId: 41 });
    expect(meta.received[0]).toEqual(frame);
    expect(client.unclaimed).toEqual([client.frames[0]]);
    expect(await client.response(40)).toBe(client.frames[0]);
    expect(client.unclaimed).toEqual([]);
  });

  it('gives up at the deadline, and takes a late answer for what it is', async () => {
    const { meta, client } = await start();
    meta.setFaults({ hold: true });
    await expect(client.query('temp', { seqId: 1, deadlineMs: 1 })).rejects.toThrow('no answer to seqId 1 within 1 ms');
    await meta.waitForHeld(1);
    meta.clearFaults();
    await client.response(1);
    expect(client.frames).toHaveLength(1);
  });

  it('rejects what waits when the connection closes, and whatever is asked after it', async () => {
    const { meta, client } = await start();
    meta.setFaults({ resetOnRequest: true });
    const waiting = client.query('temp');
    await expect(waiting).rejects.toThrow('the connection closed before the answer to seqId 1');
    await expect(client.response(2)).rejects.toThrow('the connection closed');
    expect((await client.closed).error?.code).toBe('ECONNRESET');
  });

  it('sees an end in good order as one', async () => {
    const { meta, client } = await start();
    await client.query('temp');
    meta.endConnections();
    expect((await client.closed).error).toBeUndefined();
  });

  it('connects from a given address, and to nothing but host:port', async () => {
    const { meta } = await start();
    const client = await RawClient.connect(meta.address, '127.0.0.9');
    open.push(client);
    expect(client.socket.localAddress).toBe('127.0.0.9');
    await expect(RawClient.connect('nowhere')).rejects.toThrow('not host:port: nowhere');
  });
});

describe('a server with many connections', () => {
  it('gives each its own answers, also when a hook lets others go in the middle of a batch', async () => {
    const { meta, client } = await start();
    const other = await RawClient.connect(meta.address);
    open.push(other);
    meta.setFaults({ hold: true });
    for (const seqId of [100, 101]) other.sendQuery('temp', { seqId });
    await meta.waitForHeld(2);
    meta.setFaults({});
    meta.onRequest = () => meta.release(1);
    const batch = [1, 2, 3].map((seqId) => encodeRequest({ rpc: queryCfgRpc, seqId, args: { app_name: 'temp' } }));
    client.sendRaw(Buffer.concat(batch));
    await Promise.all([1, 2, 3].map((seqId) => client.response(seqId)));
    await Promise.all([100, 101].map((seqId) => other.response(seqId)));
    expect({ client: client.frames.length, other: other.frames.length }).toEqual({ client: 3, other: 2 });
  });
});
