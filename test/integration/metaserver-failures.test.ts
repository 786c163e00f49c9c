import { afterEach, describe, expect, it } from 'vitest';
import { SimCluster, type SimClusterOptions } from '../../src/sim/sim-cluster.ts';
import { TestProxy } from '../support/proxy.ts';
import type { QueryAnswer, RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait-for.ts';

const TABLES = { temp: { partitions: 8 } };
const DEADLINE_MS = 900;
/** The default ones. */
const DEADLINES = { default_ms: DEADLINE_MS, min_ms: 500, max_ms: 4000 };

describe('a cluster whose MetaServers', () => {
  let cluster: SimCluster;
  let proxy: TestProxy;
  let client: RawClient;

  async function start(
    options: SimClusterOptions = {},
    settings: Readonly<Record<string, unknown>> = {},
    metas?: (cluster: SimCluster) => string[],
  ): Promise<void> {
    cluster = await SimCluster.start({ name: 'a', metas: 3, tables: TABLES, ...options });
    const addresses = metas?.(cluster) ?? cluster.metaAddresses;
    proxy = await TestProxy.start({ temp: { cluster: 'a', metas: addresses } }, { deadline: DEADLINES, ...settings });
    client = await proxy.connect();
  }

  afterEach(async () => {
    await proxy.stop();
    await cluster.stop();
  });

  const meta = (place: number) => cluster.metas[place] as SimCluster['metas'][0];
  const requests = () => cluster.metas.map(({ requestCount }) => requestCount);
  const errOf = (answer: QueryAnswer) => answer.result?.err;

  async function expectOk(): Promise<number> {
    const start = performance.now();
    const answer = await client.query('temp');
    expect(errOf(answer)).toBe('ERR_OK');
    expect(answer.result?.partitions).toHaveLength(8);
    return performance.now() - start;
  }

  /** "Not now" is said when the deadline comes: not long before, and in time for the client to hear it. */
  async function expectNotNow(): Promise<void> {
    const start = performance.now();
    const answer = await client.query('temp');
    const took = performance.now() - start;
    expect(answer.headerError).toBe('ERR_OK');
    expect(answer.result).toMatchObject({ err: 'ERR_SERVICE_NOT_ACTIVE', is_stateful: false, partitions: [] });
    expect(took).toBeGreaterThan(DEADLINE_MS - 5);
    expect(took).toBeLessThan(DEADLINE_MS + 500);
  }

  it('has a leader that is not the first: the redirect is followed, and the leader remembered', async () => {
    await start();
    cluster.changeLeader(2);
    await expectOk();
    expect(requests()).toEqual([1, 0, 1]);
    await expectOk();
    await expectOk();
    expect(requests()).toEqual([1, 0, 3]);
    expect(proxy.daemon.metrics.redirects.value).toBe(1);
  });

  it('does not name its leader: the others are tried', async () => {
    await start({ followersKnowLeader: false });
    cluster.changeLeader(2);
    await expectOk();
    expect(requests()).toEqual([1, 1, 1]);
    await expectOk();
    expect(requests()).toEqual([1, 1, 2]);
  });

  it('has a leader that no route lists: it is asked and remembered', async () => {
    await start({}, {}, ({ metaAddresses }) => metaAddresses.slice(0, 1));
    cluster.changeLeader(1);
    await expectOk();
    await expectOk();
    expect(requests()).toEqual([1, 2, 0]);
  });

  it('changes its leader: the new one is found by the next query', async () => {
    await start();
    for (const leader of [0, 1, 2, 1, 0]) {
      cluster.changeLeader(leader);
      await expectOk();
      expect(errOf(await client.query('temp'))).toBe('ERR_OK');
    }
    expect(client.frames.every((frame) => !frame.includes('ERR_FORWARD'))).toBe(true);
  });

  it('has two that take themselves for the leader: both answer, and the log is not flooded', async () => {
    await start();
    meta(1).setRole({ kind: 'leader' });
    for (let i = 0; i < 50; i++) {
      meta(i % 2).setFaults({ headerError: 'ERR_BUSY', times: 1 });
      await expectOk();
    }
    const lines = proxy.log.filter(({ msg }) => msg.startsWith('leader found'));
    expect(lines.length).toBeLessThanOrEqual(10);
    expect(proxy.daemon.metrics.leaderChanges.value).toBeGreaterThan(20);
  });

  it('has no leader for a moment: the query waits for one', async () => {
    await start();
    cluster.changeLeader(undefined);
    const answer = client.query('temp');
    await Promise.all(cluster.metas.map((one) => one.waitForRequests(2)));
    cluster.changeLeader(1);
    expect(errOf(await answer)).toBe('ERR_OK');
  });

  it('has no leader: the client is told to come back, after a bounded number of tries', async () => {
    await start();
    cluster.changeLeader(undefined);
    await expectNotNow();
    for (const count of requests()) expect(count).toBeLessThan(8);
  });

  it('sends the query in a circle: it ends at the deadline, after a bounded number of tries', async () => {
    await start({ metas: 2 });
    meta(0).setFaults({ redirectTo: meta(1).address });
    meta(1).setFaults({ redirectTo: meta(0).address });
    await expectNotNow();
    for (const count of requests()) expect(count).toBeLessThan(8);
  });

  it('redirects to itself, or to a dead address: the others are tried', async () => {
    await start();
    cluster.changeLeader(1);
    meta(0).setFaults({ redirectTo: meta(0).address });
    await expectOk();
    await meta(2).refuse();
    meta(1).setFaults({ redirectTo: meta(2).address, times: 1 });
    meta(0).setFaults({ redirectTo: meta(2).address, times: 1 });
    await expectOk();
  });

  it('names a great many leaders: no more of them are followed than there is room for', async () => {
    await start({ metas: 1 });
    const gone = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const other = await SimCluster.start({ metas: 1 });
        await other.stop();
        return other;
      }),
    );
    for (const other of gone) {
      meta(0).setFaults({ redirectTo: other.metas[0]?.address ?? '', times: 1 });
      await expectOk();
    }
    meta(0).clearFaults();
    await expectOk();
  });

  it('loses its leader: the next one answers', async () => {
    await start();
    await expectOk();
    await meta(0).refuse();
    cluster.changeLeader(1);
    expect(await expectOk()).toBeLessThan(300);
    await meta(0).listen();
    cluster.changeLeader(0);
    await expectOk();
  });

  it('has a leader that stalls: another one is asked before the client gives up', async () => {
    await start();
    await expectOk();
    meta(0).setFaults({ stall: true });
    cluster.changeLeader(1);
    expect(await expectOk()).toBeLessThan(DEADLINE_MS);
    const asked = meta(0).requestCount;
    // From then on the new leader is asked first.
    await expectOk();
    expect(meta(0).requestCount).toBe(asked);
    expect(meta(1).requestCount).toBe(2);
  });

  it('answers fast as a rule and then stalls: another one is asked as soon as that is clear', async () => {
    await start({}, { meta: { hedge_min_ms: 20, attempt_timeout_ms: 800 } });
    for (let i = 0; i < 50; i++) await expectOk();
    meta(0).setFaults({ stall: true });
    cluster.changeLeader(1);
    expect(await expectOk()).toBeLessThan(500);
  });

  it('answers slowly as a rule: it is given that time, and nobody else is asked', async () => {
    await start({}, { meta: { hedge_min_ms: 10, attempt_timeout_ms: 800 } });
    meta(0).setFaults({ delayMs: 100 });
    for (let i = 0; i < 10; i++) await expectOk();
    expect(requests()).toEqual([10, 0, 0]);
  });

  it('has more to answer than may be in flight: the rest waits for a place, and nobody else is asked', async () => {
    await start({}, { meta: { max_in_flight: 50 }, client: { max_in_flight: 100_000 } });
    await expectOk();
    meta(0).setFaults({ delayMs: 20 });
    const answers = await Promise.all(Array.from({ length: 300 }, () => client.query('temp', { timeoutMs: 4000 })));
    for (const answer of answers) expect(errOf(answer)).toBe('ERR_OK');
    expect(requests()).toEqual([301, 0, 0]);
  });

  it('fails for long: each query costs it little more than one, and it is served again when it is well', async () => {
    await start({ metas: 2 }, { client: { max_in_flight: 100_000 }, deadline: { default_ms: 300, min_ms: 100 } });
    for (const one of cluster.metas) one.setFaults({ headerError: 'ERR_BUSY' });
    const count = 20_000;
    for (let sent = 0; sent < count; sent += 1000) {
      const answers = await Promise.all(Array.from({ length: 1000 }, () => client.query('temp')));
      for (const answer of answers) expect(errOf(answer)).toBe('ERR_SERVICE_NOT_ACTIVE');
    }
    const asked = requests().reduce((sum, one) => sum + one, 0);
    expect(asked).toBeLessThan(1.25 * count + 5000 + 1000);
    expect(proxy.daemon.metrics.retriesRefused.value).toBeGreaterThan(0);
    for (const one of cluster.metas) one.clearFaults();
    await expectOk();
  });

  it('has a leader that answers late: the client gets one answer, and nobody else gets the other', async () => {
    await start();
    meta(0).setFaults({ hold: true, times: 1 });
    meta(1).setFaults({ bodyError: 'ERR_ACL_DENY' });
    const first = await client.query('temp');
    expect(errOf(first)).toBe('ERR_ACL_DENY');
    const next = client.query('temp');
    meta(0).release();
    expect(errOf(await next)).toBe('ERR_ACL_DENY');
    await waitFor(() => proxy.daemon.metrics.lateAnswers.value === 1, { what: 'the late answer' });
    expect(client.frames).toHaveLength(2);
    expect(client.unclaimed).toHaveLength(0);
  });

  it('has one address, and its connection is reset: the query is sent again', async () => {
    await start({ metas: 1 });
    await expectOk();
    meta(0).setFaults({ resetOnRequest: true, times: 1 });
    await expectOk();
    expect(meta(0).connectionsAccepted).toBe(2);
  });

  it.each([
    ['resets in the middle of an answer', { cutAfterBytes: 200 }],
    ['ends in the middle of an answer', { cutAfterBytes: 200, cutWith: 'end' as const }],
    ['resets before it answers', { resetOnRequest: true }],
    ['answers rubbish', { rubbish: Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n') }],
    ['answers an absurd length', { absurdLength: 0x7fffffff }],
    ['answers a negative length', { absurdLength: -1 }],
    ['answers a header error', { headerError: 'ERR_BUSY' }],
    ['has no handler', { headerError: 'ERR_HANDLER_NOT_FOUND' }],
    ['answers another seqId', { seqIdOffset: 1000 }],
    ['answers nothing', { stall: true }],
    ['reads nothing', { freezeReading: true }],
  ])('has a leader that %s: the next one answers, whole', async (_what, faults) => {
    await start();
    await expectOk();
    meta(0).setFaults(faults);
    cluster.changeLeader(1);
    await expectOk();
    await expectOk();
  });

  it.each([
    ['answer rubbish', { rubbish: Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n') }],
    ['answer header errors', { headerError: 'ERR_HANDLER_NOT_FOUND' }],
    ['reset every connection', { resetOnRequest: true }],
    ['answer other seqIds', { seqIdOffset: 1000 }],
    ['say nothing', { stall: true }],
  ])('all %s: the client is told to come back', async (_what, faults) => {
    await start();
    for (const one of cluster.metas) one.setFaults(faults);
    await expectNotNow();
    for (const count of requests()) expect(count).toBeLessThan(12);
    for (const one of cluster.metas) one.clearFaults();
    await expectOk();
  });

  it('are all gone: the client is told to come back, and served as soon as they are there again', async () => {
    await start();
    await Promise.all(cluster.metas.map((one) => one.refuse()));
    await expectNotNow();
    const waiting = client.query('temp', { timeoutMs: 4000 });
    await Promise.all(cluster.metas.map((one) => one.listen()));
    expect(errOf(await waiting)).toBe('ERR_OK');
  });

  it('answer errors of their own: those pass, and the leader stays', async () => {
    await start();
    for (const err of ['ERR_UNDER_RECOVERY', 'ERR_BUSY_CREATING', 'ERR_ACL_DENY', 'ERR_SERVICE_NOT_ACTIVE']) {
      meta(0).setFaults({ bodyError: err, times: 1 });
      expect(errOf(await client.query('temp'))).toBe(err);
    }
    await expectOk();
    expect(requests()).toEqual([5, 0, 0]);
  });

  it('are named by host names', async () => {
    await start({}, {}, ({ metas }) => metas.map(({ port }) => `localhost:${port}`));
    cluster.changeLeader(1);
    await expectOk();
  });

  it('is dark does not slow the clients of another one', async () => {
    await start();
    const dark = await SimCluster.start({ name: 'dark', metas: 2, tables: { lost: { partitions: 8 } } });
    for (const one of dark.metas) one.setFaults({ stall: true });
    await proxy.setTable('lost', { cluster: 'dark', metas: dark.metaAddresses });
    await expectOk();
    // On the same connection, many of them, all waiting.
    const lost = Array.from({ length: 100 }, () => client.query('lost'));
    for (let i = 0; i < 20; i++) expect(await expectOk()).toBeLessThan(200);
    for (const answer of await Promise.all(lost)) expect(errOf(answer)).toBe('ERR_SERVICE_NOT_ACTIVE');
    await dark.stop();
  });

  it('share one connection each among all clients, closed when no table needs it any more', async () => {
    await start({}, { meta: { idle_linger_ms: 20 } });
    const clients = await Promise.all(Array.from({ length: 30 }, () => proxy.connect()));
    await Promise.all(clients.map((one) => one.query('temp')));
    expect(meta(0).connectionsAccepted).toBe(1);
    expect(meta(0).requestCount).toBe(30);
    await proxy.setTable('temp', undefined);
    await waitFor(() => meta(0).connectionCount === 0, { what: 'the connection to be closed' });
    expect(proxy.daemon.metrics.metaConnections.value).toBe(0);
    expect(clients.every(({ socket }) => !socket.destroyed)).toBe(true);
  });

  it('has gone silent on an open connection: that is replaced, and the next query gets through', async () => {
    await start({ metas: 1 }, { meta: { silence_ms: 300 } });
    await expectOk();
    meta(0).setFaults({ freezeReading: true });
    const waiting = client.query('temp', { timeoutMs: 4000 });
    await waitFor(() => proxy.daemon.metrics.metaConnectionsLost.get('silent') > 0, {
      what: 'the connection to be given up',
    });
    meta(0).clearFaults();
    expect(errOf(await waiting)).toBe('ERR_OK');
  });

  it.each([
    ['0, as Node.js sends', { timeoutMs: 0 }, 900],
    ['2 s, as Python sends', { timeoutMs: 2000 }, 1800],
    ['5 s in a v1 header, as Java sends', { timeoutMs: 5000, headerVersion: 1 as const }, 4000],
    ['58 ms, as Go can send by mistake', { timeoutMs: 58 }, 500],
    ['-5', { timeoutMs: -5 }, 900],
  ])(
    "stall, and the client's timeout is %s: the answer comes before the client gives up",
    async (_what, options, due) => {
      await start({ metas: 1 });
      meta(0).setFaults({ stall: true });
      const start_ = performance.now();
      expect(errOf(await client.query('temp', options))).toBe('ERR_SERVICE_NOT_ACTIVE');
      const took = performance.now() - start_;
      expect(took).toBeGreaterThan(due - 5);
      expect(took).toBeLessThan(due + 400);
    },
  );
});
