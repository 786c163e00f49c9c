import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SimCluster } from '../../src/sim/sim-cluster.ts';
import { negotiationRpc } from '../../src/wire/messages.ts';
import { TestProxy } from '../support/proxy.ts';
import { RawClient } from '../support/raw-client.ts';
import { withSeqId } from '../support/scripted-meta.ts';
import { requestVector, requestVectors, responseVector } from '../support/vectors.ts';
import { waitFor } from '../support/wait-for.ts';

describe('an answer that the proxy gives itself', () => {
  let cluster: SimCluster;
  let proxy: TestProxy;
  let client: RawClient;

  beforeAll(async () => {
    cluster = await SimCluster.start({ name: 'a', metas: 1, tables: { temp: { partitions: 8 } } });
    proxy = await TestProxy.start({
      temp: { cluster: 'a', metas: cluster.metaAddresses },
      broken: { raw: { cluster: 'a', 'meta-addrs': 'not an address' } },
    });
    client = await proxy.connect();
  });

  afterAll(async () => {
    await proxy.stop();
    await cluster.stop();
  });

  const reads = () => [...proxy.daemon.metrics.registryReads.values.values()].reduce((sum, count) => sum + count, 0);

  async function stillServes(one = client): Promise<void> {
    expect((await one.query('temp')).result?.err).toBe('ERR_OK');
  }

  it('to an unknown table is ERR_OBJECT_NOT_FOUND, byte for byte as a server writes it', async () => {
    const { frame } = await client.query('no_such_table', { seqId: 77 });
    expect(frame.toString('hex')).toBe(withSeqId(responseVector('err-object-not-found').frame, 77).toString('hex'));
    await stillServes();
  });

  it.each([
    ['empty', ''],
    ['of one dot', '.'],
    ['of dots alone', '..'],
    ['with a slash', 'a/b'],
    ['that climbs', '../zookeeper/quota'],
    ['with a blank', 'a b'],
    ['with a NUL', 'a\0b'],
    ['outside ASCII', 'таблица'],
    ['of 256 characters', 'x'.repeat(256)],
    ['with a line break', 'temp\n'],
  ])('to a name %s is ERR_OBJECT_NOT_FOUND, and the registry is not asked', async (_what, name) => {
    const before = reads();
    const answer = await client.query(name);
    expect(answer.result).toMatchObject({ err: 'ERR_OBJECT_NOT_FOUND', is_stateful: false, partitions: [] });
    expect(reads()).toBe(before);
    await stillServes();
  });

  it("to the clients' own frames with odd names is the same", async () => {
    for (const id of ['java-query-utf8-all-seq1', 'python-query-utf8-all-seq2', 'nodejs-query-empty-absent-seq0']) {
      const { frame, seqId } = requestVector(id);
      client.sendRaw(frame);
      const answer = await client.response(seqId);
      expect(answer.toString('hex')).toBe(
        withSeqId(responseVector('err-object-not-found').frame, seqId).toString('hex'),
      );
    }
  });

  it('to a table whose entry was never readable is ERR_INVALID_DATA, told once to the operator', async () => {
    for (let i = 0; i < 3; i++) expect((await client.query('broken')).result?.err).toBe('ERR_INVALID_DATA');
    const lines = proxy.log.filter(({ table, msg }) => table === 'broken' && msg.startsWith('route unreadable'));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ problem: expect.stringContaining('not a host:port') });
    expect(proxy.daemon.metrics.unreadableRoutes.value).toBe(1);
    await stillServes();
  });

  it('to a negotiation is SASL_AUTH_DISABLE', async () => {
    const vector = requestVector('java-rpc-negotiation-first-frame');
    client.sendRaw(vector.frame);
    const answer = await client.response(vector.seqId);
    const expected = withSeqId(responseVector('negotiation-auth-disable').frame, vector.seqId);
    expect(answer.toString('hex')).toBe(expected.toString('hex'));
    const { result } = await client.call(negotiationRpc, { request: { status: 'SASL_LIST_MECHANISMS' } } as never);
    expect(JSON.stringify(result)).toContain('SASL_AUTH_DISABLE');
    await stillServes();
  });

  it('to any other RPC is ERR_HANDLER_NOT_FOUND of the RPC layer, and the connection stays', async () => {
    const others = requestVectors.filter(
      ({ rpc }) => rpc.startsWith('RPC_') && !/QUERY_PARTITION|NEGOTIATION/.test(rpc),
    );
    expect(others.length).toBeGreaterThan(8);
    for (const { frame, seqId, rpc } of others) {
      client.sendRaw(frame);
      const answer = (await client.response(seqId)).toString('latin1');
      expect(answer).toContain('ERR_HANDLER_NOT_FOUND');
      expect(answer).toContain(`${rpc}_ACK`);
    }
    await stillServes();
  });

  it.each([
    ['another magic', 'magic', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['an RDSN frame', 'magic', Buffer.concat([Buffer.from('RDSN'), Buffer.alloc(100)])],
    ['an unknown header version', 'header', Buffer.from('544846540000000700000030', 'hex')],
    ['a body beyond the limit', 'too_long', Buffer.from('5448465400000000000000300000000000020000', 'hex')],
    ['a negative length', 'header', Buffer.from('5448465400000000000000300000000080000000', 'hex')],
    [
      'no message',
      'message',
      Buffer.concat([Buffer.from('5448465400000000000000300000000000000000', 'hex'), Buffer.alloc(28)]),
    ],
  ])('is none to %s: the connection is closed, logged and counted', async (_what, reason, bytes) => {
    const one = await RawClient.connect(proxy.address);
    const peer = `127.0.0.1:${one.socket.localPort}`;
    const { rejectedFrames } = proxy.daemon.metrics;
    const before = rejectedFrames.get(reason);
    one.sendRaw(bytes);
    await one.closed;
    expect(one.frames).toHaveLength(0);
    expect(rejectedFrames.get(reason)).toBe(before + 1);
    const lines = proxy.log.filter((line) => line.peer === peer);
    expect(lines).toEqual([expect.objectContaining({ level: 40, reason, msg: 'malformed frame, connection closed' })]);
    await stillServes();
  });

  it('precedes the end of a connection whose next frame is malformed', async () => {
    const one = await RawClient.connect(proxy.address);
    one.sendRaw(Buffer.concat([requestVector('go-query-temp-all-seq1').frame, Buffer.from('rubbish rubbish rubbish')]));
    await one.closed;
    await stillServes();
  });
});

describe('while the registry can not be read', () => {
  it('unknown tables get ERR_SERVICE_NOT_ACTIVE at once, and the connection stays', async () => {
    const cluster = await SimCluster.start({ name: 'a', metas: 1, tables: { temp: { partitions: 8 } } });
    const proxy = await TestProxy.start(
      { temp: { cluster: 'a', metas: cluster.metaAddresses } },
      {},
      { withFile: false },
    );
    const client = await proxy.connect();
    const start = performance.now();
    const answer = await client.query('temp');
    expect(answer.result).toMatchObject({ err: 'ERR_SERVICE_NOT_ACTIVE', is_stateful: false, partitions: [] });
    expect(performance.now() - start).toBeLessThan(300);
    await proxy.writeTables();
    await waitFor(async () => (await client.query('temp')).result?.err === 'ERR_OK', {
      what: 'the table to be served',
    });
    await proxy.stop();
    await cluster.stop();
  });
});
