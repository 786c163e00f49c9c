import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MetaChannel } from '../../src/relay/meta-channel.ts';
import { type AskedMeta, PendingQuery, type QueryCarrier, type Response } from '../../src/relay/pending-query.ts';
import { TurnBatch } from '../../src/relay/turn-batch.ts';
import { SimCluster } from '../../src/sim/sim-cluster.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { encodeRequest } from '../../src/wire/message-frame.ts';
import { queryCfgRpc } from '../../src/wire/messages.ts';
import { RequestHead } from '../../src/wire/request-frame.ts';
import { waitFor } from '../support/wait-for.ts';

/** Loopback has as many addresses as one wants: the same port on two of them is the same service, moved. */
const [OLD, NEW] = ['127.0.0.1', '127.0.0.2'];

describe('a MetaServer named by a host name', () => {
  let before: SimCluster;
  let after: SimCluster;
  let addresses: string[];
  let lookups: number;
  let channel: MetaChannel;
  let outcomes: string[];

  beforeEach(async () => {
    before = await SimCluster.start({ metas: 1, host: OLD, tables: { temp: { partitions: 8 } } });
    const port = before.metas[0]?.port as number;
    after = await SimCluster.start({ metas: 1, host: NEW, metaPorts: [port], tables: { temp: { partitions: 8 } } });
    addresses = [OLD];
    lookups = 0;
    outcomes = [];
    channel = new MetaChannel(`meta.example:${port}`, {
      options: {
        maxInFlight: 100,
        maxResponseBytes: 1_000_000,
        connectTimeoutMs: 1000,
        backoffMinMs: 1,
        backoffMaxMs: 1,
        silenceMs: 10_000,
        resolveEveryMs: 1000,
        maxDeadlineMs: 10_000,
      },
      batch: new TurnBatch(),
      resolve: async () => {
        lookups++;
        if (addresses.length === 0) throw Object.assign(new Error('no answer'), { code: 'EAI_AGAIN' });
        return [...addresses];
      },
      metrics: createMetrics(),
      logger: pino({ level: 'silent' }),
    });
  });

  afterEach(async () => {
    channel.end();
    await Promise.all([before.stop(), after.stop()]);
  });

  const carrier: QueryCarrier = {
    onAnswer: (_query: PendingQuery, _meta: AskedMeta, { head }: Response) => outcomes.push(head.ok ? 'ok' : 'error'),
    onAttemptFailed: (_query: PendingQuery, _meta: AskedMeta, reason: string) => outcomes.push(reason),
    onAttemptSlow: () => outcomes.push('slow'),
  };

  async function ask(): Promise<string> {
    const frame = encodeRequest({ rpc: queryCfgRpc, seqId: 1, args: { app_name: 'temp' } });
    const client = { send: () => {}, queryDone: () => {} };
    const head = new RequestHead();
    head.read(frame);
    const query = new PendingQuery(client, frame, head.seqId, head.seqIdOffset, 'temp', 0, () => {});
    query.carrier = carrier;
    const count = outcomes.length;
    // After a lost connection the channel may pause for a moment.
    await waitFor(() => channel.send(query, performance.now()), { what: 'the channel' });
    await waitFor(() => outcomes.length > count, { what: 'the end of an attempt' });
    return outcomes.at(-1) as string;
  }

  const asked = () => [before, after].map(({ metas }) => metas[0]?.requestCount);

  it('is looked up again on a schedule, and left for its new address when the name leads there', async () => {
    expect(await ask()).toBe('ok');
    const start = performance.now();
    channel.check(start + 500);
    expect(lookups).toBe(1);
    addresses = [NEW];
    channel.check(start + 1500);
    await waitFor(() => channel.state === 'idle', { what: 'the old connection to be retired' });
    expect(await ask()).toBe('ok');
    expect(asked()).toEqual([1, 1]);
    channel.check(start + 1600);
    await waitFor(() => before.metas[0]?.connectionCount === 0, { what: 'the old connection to be closed' });
  });

  it('keeps the connection while the name still leads there, or can not be looked up', async () => {
    expect(await ask()).toBe('ok');
    const start = performance.now();
    addresses = [NEW, OLD];
    channel.check(start + 1500);
    await waitFor(() => lookups === 2, { what: 'the look-up' });
    addresses = [];
    channel.check(start + 3000);
    await waitFor(() => lookups === 3, { what: 'the look-up' });
    expect(await ask()).toBe('ok');
    expect(asked()).toEqual([2, 0]);
  });

  it('lets the queries on the old connection finish', async () => {
    expect(await ask()).toBe('ok');
    before.metas[0]?.setFaults({ hold: true });
    const waiting = ask();
    await before.metas[0]?.waitForHeld(1);
    addresses = [NEW];
    channel.check(performance.now() + 1500);
    await waitFor(() => channel.state === 'idle', { what: 'the old connection to be retired' });
    channel.check(performance.now() + 1600);
    before.metas[0]?.release();
    expect(await waiting).toBe('ok');
  });

  it('is looked up again at every dial', async () => {
    expect(await ask()).toBe('ok');
    await before.metas[0]?.refuse();
    await waitFor(() => channel.state !== 'open', { what: 'the loss' });
    addresses = [NEW];
    await waitFor(async () => (await ask()) === 'ok', { what: 'an answer from the new address' });
    expect(asked()).toEqual([1, 1]);
  });

  it('tells why, where the name can not be looked up', async () => {
    addresses = [];
    expect(await ask()).toBe('EAI_AGAIN');
  });
});
