import { setTimeout as delay } from 'node:timers/promises';
import { localAnswer } from '../../../src/relay/answers.ts';
import { readTableName } from '../../../src/wire/query-cfg.ts';
import { RequestHead } from '../../../src/wire/request-frame.ts';
import { TestProxy } from '../../support/proxy.ts';
import { ScriptedMeta, withSeqId } from '../../support/scripted-meta.ts';
import { requestVectors, responseVector } from '../../support/vectors.ts';
import { waitFor } from '../../support/wait-for.ts';
import { ALLOWED_GROWTH_BYTES, bytesInUse } from '../heap.ts';
import { must, mustEqual, type Outcome } from '../oracle.ts';
import { mixSeeds, Random } from '../random.ts';
import type { Report, Run } from '../runner.ts';
import { GOOD_TABLE, visit } from './hostile-client.ts';
import { MAX_RESPONSE_BYTES, startHostileMeta } from './hostile-meta.ts';

const HOSTILE_CLIENTS = 8;
const VISITS_PER_ROUND = 64;
/** Frames after which code is compiled and pools are filled. */
const MAX_WARM_UP = 10_000;
const SETTLED_WITHIN_MS = 20_000;
const SETTINGS = {
  deadline: { min_ms: 50, default_ms: 200, max_ms: 10_000 },
  meta: { attempt_timeout_ms: 50, backoff_min_ms: 1, backoff_max_ms: 10, max_response_bytes: MAX_RESPONSE_BYTES },
};

/**
 * A whole proxy, in this process but over real sockets, between hostile clients and hostile MetaServers. Next to them
 * a client that behaves asks for a table of a cluster that behaves, all the time.
 */
export async function fuzzLiveServer({ seed, frames, until }: Run): Promise<Report> {
  // One generator each: what the clients send must not hang on the order in which answers are made.
  const [clients, ...servers] = [5, 6, 7].map((part) => new Random(mixSeeds(seed, part))) as [Random, ...Random[]];
  const good = await startGoodMeta();
  const redirects: string[] = [];
  const hostile = await Promise.all(servers.map((random) => startHostileMeta(random, () => redirects)));
  redirects.push(...hostile.map(({ address }) => address), good.address, '127.0.0.1:1', '127.99.0.1:34601');
  const proxy = await TestProxy.start(tables(good, hostile), SETTINGS);
  try {
    return await new LiveRun(proxy, clients).run(frames, until);
  } finally {
    await proxy.stop();
    await Promise.all([good, ...hostile].map((meta) => meta.stop()));
  }
}

/** The tables that the vectors ask for are all on the hostile cluster. */
function tables(good: ScriptedMeta, hostile: readonly ScriptedMeta[]) {
  const names = new Set(requestVectors.flatMap(({ appName }) => (/^[\w.:]+$/.test(appName ?? '') ? [appName] : [])));
  const place = { cluster: 'hostile', metas: hostile.map(({ address }) => address) };
  return {
    ...Object.fromEntries([...names].map((name) => [name as string, place])),
    [GOOD_TABLE]: { cluster: 'good', metas: [good.address] },
  };
}

const goodAnswer = responseVector('ok-64-hp').frame;

/** Whatever the proxy sends it must be readable: it throws otherwise, and with that the test fails. */
async function startGoodMeta(): Promise<ScriptedMeta> {
  const meta = await ScriptedMeta.start();
  const head = new RequestHead();
  meta.script = ({ frame, seqId }, socket) => {
    meta.received.length = 0;
    head.read(frame);
    const isGood = readTableName(frame, head) === GOOD_TABLE;
    socket.write(isGood ? withSeqId(goodAnswer, seqId) : localAnswer('unknown_table', seqId));
  };
  return meta;
}

class LiveRun {
  readonly #proxy: TestProxy;
  readonly #random: Random;
  readonly #outcomes = new Map<Outcome, number>();
  readonly #rejections = new Map<string, number>();
  #frames = 0;
  #slowestMs = 0;
  #asking = true;
  /** Why the client that behaves has given up. */
  #failure: unknown;

  constructor(proxy: TestProxy, random: Random) {
    this.#proxy = proxy;
    this.#random = random;
  }

  async run(frames: number, until: number): Promise<Report> {
    const asking = this.#askGoodTable().catch((error: unknown) => {
      this.#failure = error;
    });
    const start = performance.now();
    let bytesBefore = 0;
    while (this.#frames < frames && performance.now() < until && this.#failure === undefined) {
      await this.#visits();
      if (bytesBefore === 0 && this.#frames >= Math.min(MAX_WARM_UP, frames / 5)) bytesBefore = await this.#settled();
    }
    const seconds = (performance.now() - start) / 1000;
    this.#asking = false;
    await asking;
    if (this.#failure !== undefined) throw this.#failure;
    const bytesAfter = await this.#settled();
    this.#verifyCounts();
    if (bytesBefore > 0)
      must(bytesAfter - bytesBefore < ALLOWED_GROWTH_BYTES, `${bytesAfter - bytesBefore} bytes more`);
    const [outcomes, slowestMs] = [this.#outcomes, this.#slowestMs];
    return { target: 'live server', frames: this.#frames, seconds, outcomes, bytesBefore, bytesAfter, slowestMs };
  }

  /** Some hostile clients at a time, each with a seed of its own, so that it sends the same whatever the others do. */
  async #visits(): Promise<void> {
    const seeds = Array.from({ length: VISITS_PER_ROUND }, () => this.#random.u32());
    const client = async (): Promise<void> => {
      for (let seed = seeds.pop(); seed !== undefined; seed = seeds.pop()) {
        const { frames, expected } = await visit(this.#proxy.address, new Random(seed));
        this.#frames += frames;
        const isRejected = expected !== 'accepted' && expected !== 'incomplete';
        this.#count(this.#outcomes, 'accepted', expected === 'accepted' ? frames : frames - 1);
        if (expected !== 'accepted') this.#count(this.#outcomes, expected, 1);
        if (isRejected) this.#count(this.#rejections, expected, 1);
      }
    };
    await Promise.all(Array.from({ length: HOSTILE_CLIENTS }, client));
    // The test's own log of the proxy is no growth of the proxy.
    (this.#proxy.log as unknown[]).length = 0;
  }

  #count(counts: Map<string, number>, label: string, n: number): void {
    if (n > 0) counts.set(label, (counts.get(label) ?? 0) + n);
  }

  /** The client that behaves: every one of its answers has to be the right one. */
  async #askGoodTable(): Promise<void> {
    const client = await this.#proxy.connect();
    while (this.#asking) {
      const start = performance.now();
      const seqId = client.sendQuery(GOOD_TABLE, { timeoutMs: 10_000 });
      const frame = await client.response(seqId);
      this.#slowestMs = Math.max(this.#slowestMs, performance.now() - start);
      must(frame.equals(withSeqId(goodAnswer, seqId)), `another answer: ${frame.toString('latin1', 0, 200)}`);
      client.frames.length = 0;
      await delay(1);
    }
    mustEqual(client.unclaimed.length, 0, 'answers to nothing that was asked');
    await client.close();
  }

  /** Waits until every query has been answered and every hostile connection is gone; the bytes then in use. */
  async #settled(): Promise<number> {
    const { metrics } = this.#proxy.daemon;
    const expected = this.#asking ? 1 : 0;
    const gone = () => metrics.clientConnections.value === expected;
    await waitFor(gone, { timeoutMs: SETTLED_WITHIN_MS, what: 'the end of the hostile connections' });
    await waitFor(() => this.#unsettled() <= expected, {
      timeoutMs: SETTLED_WITHIN_MS,
      what: 'the end of all queries',
    });
    return await bytesInUse();
  }

  /** Queries taken and not answered; every one has to be answered once, whether its client is there or not. */
  #unsettled(): number {
    const { queries, relayedAnswers, localAnswers } = this.#proxy.daemon.metrics;
    const others = localAnswers.get('negotiation') + localAnswers.get('handler_not_found');
    return queries.value - sum(relayedAnswers.values) - (sum(localAnswers.values) - others);
  }

  #verifyCounts(): void {
    const { rejectedFrames, clientConnectionsClosed } = this.#proxy.daemon.metrics;
    mustEqual(this.#unsettled(), 0, 'queries not answered');
    mustEqual(sorted(rejectedFrames.values), sorted(this.#rejections), 'frames rejected, by reason');
    mustEqual(clientConnectionsClosed.get('malformed'), sum(this.#rejections), 'connections closed for them');
  }
}

function sum(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((total, n) => total + n, 0);
}

function sorted(counts: ReadonlyMap<string, number>): [string, number][] {
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
}
