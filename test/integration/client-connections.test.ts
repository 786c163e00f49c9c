import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SimCluster } from '../../src/sim/sim-cluster.ts';
import { parseHostPort } from '../../src/wire/host-port.ts';
import { TestProxy } from '../support/proxy.ts';
import { RawClient } from '../support/raw-client.ts';
import { requestVector } from '../support/vectors.ts';
import { waitFor } from '../support/wait-for.ts';

describe('a client connection', () => {
  let cluster: SimCluster;
  let proxy: TestProxy;

  beforeEach(async () => {
    cluster = await SimCluster.start({
      name: 'a',
      metas: 1,
      tables: { temp: { partitions: 8 }, large: { partitions: 1024 } },
    });
  });

  afterEach(async () => {
    await proxy.stop();
    await cluster.stop();
  });

  async function start(settings: Readonly<Record<string, unknown>> = {}): Promise<RawClient> {
    const place = { cluster: 'a', metas: cluster.metaAddresses };
    proxy = await TestProxy.start({ temp: place, large: place }, settings);
    return proxy.connect();
  }

  const meta = () => cluster.metas[0] as SimCluster['metas'][0];
  const { frame } = requestVector('go-query-temp-all-seq1');

  it('may pipeline; answers come as they come', async () => {
    const client = await start();
    meta().setFaults({ hold: true, table: 'large' });
    const large = client.query('large');
    for (let i = 0; i < 50; i++) expect((await client.query('temp')).result?.err).toBe('ERR_OK');
    meta().release();
    expect((await large).result?.partitions).toHaveLength(1024);
  });

  it('over its limit in flight is not read on until answers have gone, and loses nothing', async () => {
    const client = await start({ client: { max_in_flight: 10 } });
    await client.query('temp');
    meta().setFaults({ hold: true });
    // In one write, and so in one chunk: the proxy stops reading only behind it.
    client.socket.cork();
    const queries = Array.from({ length: 15 }, () => client.query('temp', { timeoutMs: 4000 }));
    client.socket.uncork();
    await meta().waitForHeld(15);
    // These come in chunks of their own, and stay unread.
    const more = Array.from({ length: 15 }, () => client.query('temp', { timeoutMs: 4000 }));
    meta().clearFaults();
    meta().release();
    for (const answer of await Promise.all([...queries, ...more])) expect(answer.result?.err).toBe('ERR_OK');
  });

  it('far over its limit in one chunk is told to come back', async () => {
    const client = await start({ client: { max_in_flight: 10 } });
    await client.query('temp');
    meta().setFaults({ hold: true });
    client.sendRaw(Buffer.concat(Array.from({ length: 30 }, () => frame)));
    await waitFor(() => client.frames.length === 1 + 10, { what: 'ten answers' });
    expect(client.frames.slice(1).every((one) => one.includes('ERR_SERVICE_NOT_ACTIVE'))).toBe(true);
    expect(meta().heldCount).toBe(20);
    meta().release();
    await waitFor(() => client.frames.length === 1 + 30, { what: 'the rest' });
  });

  it('that does not read its answers is cut off, and others are served meanwhile', async () => {
    const client = await start({ client: { max_queued_bytes: 1024 * 1024 } });
    const { deaf, closed } = await askAndNotRead(200);
    expect(proxy.daemon.metrics.clientConnectionsClosed.get('slow_reader')).toBe(1);
    expect((await client.query('large')).result?.partitions).toHaveLength(1024);
    deaf.resume();
    await closed;
    expect(proxy.log.filter(({ reason }) => reason === 'slow_reader')).toHaveLength(1);
  });

  it('that takes nothing of its answers for long is cut off, however few they are', async () => {
    const client = await start({ client: { write_timeout_ms: 300 } });
    const { deaf, closed } = await askAndNotRead(200);
    expect((await client.query('large')).result?.partitions).toHaveLength(1024);
    deaf.resume();
    await closed;
  });

  /** A client that asks so often for a large answer, all of which come at once, and reads none of it until it is cut. */
  async function askAndNotRead(times: number) {
    const deaf = connect(parseHostPort(proxy.address) as { host: string; port: number });
    deaf.on('error', () => {});
    await once(deaf, 'connect');
    deaf.pause();
    const head = Buffer.from(requestVector('go-query-stat-all-seq1').frame);
    const large = Buffer.from(head.toString('latin1').replace('\x04stat', '\x05large'), 'latin1');
    large.writeInt32BE(large.length - 48, 16);
    const closed = once(deaf, 'close');
    meta().setFaults({ hold: true });
    deaf.write(Buffer.concat(Array.from({ length: times }, () => large)));
    await meta().waitForHeld(times);
    meta().clearFaults();
    meta().release();
    const { clientConnectionsClosed } = proxy.daemon.metrics;
    await waitFor(() => clientConnectionsClosed.get('slow_reader') === 1, { what: 'the cut' });
    return { deaf, closed };
  }

  it('that does not finish a frame in time is closed, however slowly it goes on; an idle one never is', async () => {
    const idle = await start({ client: { frame_timeout_ms: 200 } });
    const slow = await RawClient.connect(proxy.address);
    let at = 0;
    const drip = setInterval(() => slow.sendRaw(frame.subarray(at, ++at)), 20);
    await slow.closed;
    clearInterval(drip);
    expect(at).toBeGreaterThan(5);
    expect(at).toBeLessThan(frame.length);
    expect(proxy.daemon.metrics.clientConnectionsClosed.get('frame_timeout')).toBe(1);
    expect((await idle.query('temp')).result?.err).toBe('ERR_OK');
  });

  it('over the limit of connections is closed, the others stay', async () => {
    const client = await start({ client: { max_connections: 2 } });
    const second = await proxy.connect();
    const third = await RawClient.connect(proxy.address);
    await third.closed;
    expect((await second.query('temp')).result?.err).toBe('ERR_OK');
    await second.close();
    await waitFor(() => proxy.daemon.metrics.clientConnections.value === 1, { what: 'the second to be gone' });
    const fourth = await proxy.connect();
    expect((await fourth.query('temp')).result?.err).toBe('ERR_OK');
    expect((await client.query('temp')).result?.err).toBe('ERR_OK');
    expect(proxy.daemon.metrics.clientConnectionsRefused.get('client.max_connections')).toBe(1);
  });

  it('over the limit of its address is closed, those from elsewhere are not', async () => {
    const client = await start({ client: { max_connections_per_address: 1 } });
    const second = await RawClient.connect(proxy.address);
    await second.closed;
    const elsewhere = await RawClient.connect(proxy.address, '127.0.0.9');
    expect((await elsewhere.query('temp')).result?.err).toBe('ERR_OK');
    await elsewhere.close();
    expect((await client.query('temp')).result?.err).toBe('ERR_OK');
    await client.close();
    await waitFor(() => proxy.daemon.metrics.clientConnections.value === 0, { what: 'both to be gone' });
    expect((await (await proxy.connect()).query('temp')).result?.err).toBe('ERR_OK');
    const limits = proxy.log.filter(({ limit }) => limit === 'client.max_connections_per_address');
    expect(limits).toHaveLength(1);
  });

  it('that is idle is closed where that is configured, but not while it waits for an answer', async () => {
    const client = await start({ client: { idle_timeout_ms: 100 } });
    meta().setFaults({ hold: true });
    const answer = client.query('temp', { timeoutMs: 4000 });
    await meta().waitForHeld(1);
    const idle = await RawClient.connect(proxy.address);
    await idle.closed;
    meta().release();
    expect((await answer).result?.err).toBe('ERR_OK');
    await client.closed;
    expect(proxy.daemon.metrics.clientConnectionsClosed.get('idle_timeout')).toBe(2);
  });

  it('that closes its half after asking is answered first', async () => {
    await start();
    const socket = connect({
      ...(parseHostPort(proxy.address) as { host: string; port: number }),
      allowHalfOpen: true,
    });
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.end(frame);
    await once(socket, 'end');
    expect(Buffer.concat(chunks).toString('latin1')).toContain('ERR_OK');
    socket.destroy();
  });

  it('that goes away at any moment leaves nothing behind', async () => {
    const client = await start();
    meta().setFaults({ hold: true });
    for (let cut = 0; cut <= frame.length; cut += 10) {
      const one = await RawClient.connect(proxy.address);
      one.sendRaw(frame.subarray(0, cut));
      await one.reset();
    }
    const gone = await RawClient.connect(proxy.address);
    gone.sendQuery('temp');
    await meta().waitForHeld(1);
    await gone.reset();
    meta().clearFaults();
    meta().release();
    await waitFor(() => proxy.daemon.metrics.clientConnections.value === 1, { what: 'the others to be gone' });
    expect((await client.query('temp')).result?.err).toBe('ERR_OK');
  });
});

describe('a proxy that stops', () => {
  it('answers what is in flight, closes idle connections, and takes no new ones', async () => {
    const cluster = await SimCluster.start({ name: 'a', metas: 1, tables: { temp: { partitions: 8 } } });
    const proxy = await TestProxy.start({ temp: { cluster: 'a', metas: cluster.metaAddresses } });
    const [idle, busy] = [await proxy.connect(), await proxy.connect()];
    await busy.query('temp');
    cluster.metas[0]?.setFaults({ hold: true });
    const answer = busy.query('temp', { timeoutMs: 4000 });
    await cluster.metas[0]?.waitForHeld(1);
    const stopped = proxy.daemon.stop();
    await idle.closed;
    await expect(RawClient.connect(proxy.address)).rejects.toThrow(/ECONNREFUSED/);
    cluster.metas[0]?.release();
    expect((await answer).result?.err).toBe('ERR_OK');
    await busy.closed;
    await stopped;
    await proxy.stop();
    await waitFor(() => cluster.metas[0]?.connectionCount === 0, { what: 'the meta connection to be closed' });
    await cluster.stop();
  });

  it('waits no longer than its grace time', async () => {
    const cluster = await SimCluster.start({ name: 'a', metas: 1, tables: { temp: { partitions: 8 } } });
    const place = { cluster: 'a', metas: cluster.metaAddresses };
    const proxy = await TestProxy.start({ temp: place }, { shutdown: { grace_ms: 100 } });
    const client = await proxy.connect();
    cluster.metas[0]?.setFaults({ stall: true });
    const lost = client.query('temp', { timeoutMs: 4000 });
    const closed = expect(lost).rejects.toThrow(/closed before/);
    await cluster.metas[0]?.waitForRequests(1);
    const start = performance.now();
    await proxy.daemon.stop();
    expect(performance.now() - start).toBeLessThan(1000);
    await closed;
    await proxy.stop();
    await cluster.stop();
  });
});
