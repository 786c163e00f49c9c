import { expect } from 'vitest';
import type { SimCluster } from '../../src/sim/sim-cluster.ts';
import type { ClientKind } from './clients.ts';
import type { Client, Stage } from './stage.ts';

/** What the clients' users are ready to wait for an answer that needs no waiting. */
const PROMPT_MS = 1_000;
const FOLLOW_LIMIT_MS = 15_000;
const PARTITIONS = 8;
const HASH_KEYS = ['h1', 'user-1', 'hash', '0123456789'];

/** What a scenario has measured: how long the thing took that it is about, and what else is worth a word. */
export interface Finding {
  readonly ms: number;
  readonly note: string;
}

/** One thing that every official client is put through. */
export interface Scenario {
  readonly name: string;
  /** Why this client can't be put through it; undefined where it can. */
  readonly unfit?: (client: ClientKind) => string | undefined;
  /** Takes so long with this client, for reasons of the client's own, that not every run can wait for it. */
  readonly isLong?: (client: ClientKind) => boolean;
  readonly run: (stage: Stage, kind: ClientKind) => Promise<Finding>;
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'open a table by one address; set, get, ttl, del',
    async run(stage) {
      await stage.route('t', await stage.cluster('a', { t: { partitions: PARTITIONS } }));
      const client = await stage.client();
      const { ms } = await client.do('open', 't');
      await expectOperations(client, 't');
      return { ms, note: 'time: open' };
    },
  },
  {
    name: 'open a table by host name',
    unfit: ({ takesHostNames }) => (takesHostNames ? undefined : 'takes nothing but IPv4 addresses'),
    async run(stage) {
      await stage.route('t', await stage.cluster('a', { t: { partitions: PARTITIONS } }));
      const client = await stage.client('localhost');
      const { ms } = await client.do('open', 't');
      await expectOperations(client, 't');
      return { ms, note: 'time: open' };
    },
  },
  {
    name: 'tables on different clusters through one client',
    async run(stage) {
      const a = await stage.cluster('a', { t1: { partitions: PARTITIONS }, t3: { partitions: PARTITIONS * 2 } });
      const b = await stage.cluster('b', { t2: { partitions: PARTITIONS }, t4: { partitions: PARTITIONS / 2 } });
      const homes: readonly [string, SimCluster][] = [
        ['t1', a],
        ['t2', b],
        ['t3', a],
        ['t4', b],
      ];
      for (const [table, cluster] of homes) await stage.route(table, cluster);
      const client = await stage.client();
      const start = performance.now();
      for (const [table] of homes) await client.do('open', table);
      const ms = performance.now() - start;
      // Both clusters number their tables from 1: a value in the wrong one would be overwritten by the next table's.
      for (const [table] of homes) await setAll(client, table, table);
      for (const [table] of homes) await expectAll(client, table, table);
      return { ms, note: 'time: open of 4 tables on 2 clusters' };
    },
  },
  {
    name: "unknown table: the client's own not-found",
    async run(stage, kind) {
      await stage.route('t', await stage.cluster('a', { t: { partitions: PARTITIONS } }));
      const client = await stage.client();
      const unknown = await client.attempt('open', 'nobody_has_it');
      expect(unknown).toMatchObject({ ok: false, error: expect.stringMatching(kind.unknownTable.error) });
      expect(client.log).toMatch(kind.unknownTable.log);
      expect(unknown.ms).toBeLessThan(PROMPT_MS);
      const impossible = await client.attempt('open', 'not/a/name');
      expect(impossible).toMatchObject({ ok: false, error: expect.stringMatching(kind.unknownTable.error) });
      expect(impossible.ms).toBeLessThan(PROMPT_MS);
      await client.do('open', 't');
      await expectOperations(client, 't');
      return { ms: unknown.ms, note: `says "${lastWords(unknown.error)}"` };
    },
  },
  {
    name: 'table moved: znode repointed, old replicas ERR_INVALID_STATE',
    async run(stage) {
      const open = await openOnA(stage);
      const finding = await moveToB(stage, open, FOLLOW_LIMIT_MS);
      await expectOperations(open.client, 't');
      return finding;
    },
  },
  {
    name: 'leader of the MetaServers changes between two opens',
    async run(stage) {
      const a = await stage.cluster('a', { t1: { partitions: PARTITIONS }, t2: { partitions: PARTITIONS } });
      await stage.route('t1', a);
      await stage.route('t2', a);
      const client = await stage.client();
      await client.do('open', 't1');
      a.changeLeader(0);
      const { ms } = await client.do('open', 't2');
      await expectOperations(client, 't2');
      await expectOperations(client, 't1');
      return { ms, note: 'time: the second open' };
    },
  },
  {
    name: 'table of 1,024 partitions',
    async run(stage) {
      await stage.route('t', await stage.cluster('a', { t: { partitions: 1024 } }));
      const client = await stage.client();
      const { ms } = await client.do('open', 't');
      await setAll(client, 't', 'v');
      await expectAll(client, 't', 'v');
      return { ms, note: 'time: open' };
    },
  },
  {
    name: 'ZooKeeper killed: open clients go on, new ones open cached tables',
    async run(stage) {
      await stage.route('t', await stage.cluster('a', { t: { partitions: PARTITIONS } }));
      const old = await stage.client();
      await old.do('open', 't');
      await stage.site.killZooKeeper();
      try {
        await expectOperations(old, 't');
        const fresh = await stage.client();
        const { ms } = await fresh.do('open', 't');
        await expectOperations(fresh, 't');
        const uncached = await fresh.attempt('open', 'nobody_asked_before');
        expect(uncached).toMatchObject({ ok: false });
        expect(uncached.ms).toBeLessThan(PROMPT_MS);
        return { ms, note: `time: open by the new client; an uncached table: "${lastWords(uncached.error)}"` };
      } finally {
        await stage.site.restartZooKeeper();
      }
    },
  },
  {
    name: 'proxy restarted: an open client goes on, a new one opens the table',
    async run(stage) {
      await stage.route('t', await stage.cluster('a', { t: { partitions: PARTITIONS } }));
      const old = await stage.client();
      await old.do('open', 't');
      await stage.site.stopDaemon();
      try {
        await expectOperations(old, 't');
      } finally {
        await stage.site.startDaemon();
      }
      await expectOperations(old, 't');
      const fresh = await stage.client();
      const { ms } = await fresh.do('open', 't');
      await expectOperations(fresh, 't');
      return { ms, note: 'time: open by the new client' };
    },
  },
  {
    name: 'proxy restarted, then the table moved',
    isLong: ({ reconnectMs }) => reconnectMs > FOLLOW_LIMIT_MS,
    async run(stage, kind) {
      const open = await openOnA(stage);
      await stage.site.stopDaemon();
      await stage.site.startDaemon();
      await expectAll(open.client, 't', 'on a');
      return await moveToB(stage, open, kind.reconnectMs + FOLLOW_LIMIT_MS);
    },
  },
];

interface OpenOnA {
  readonly client: Client;
  readonly a: SimCluster;
  readonly b: SimCluster;
}

/** A client with table "t" open on cluster A, and what duplication would have brought to cluster B. */
async function openOnA(stage: Stage): Promise<OpenOnA> {
  // Different app ids, as tables of two clusters have: a client that mixed them up would be told so by the replicas.
  const a = await stage.cluster('a', { t: { partitions: PARTITIONS, appId: 3 } });
  const b = await stage.cluster('b', { t: { partitions: PARTITIONS, appId: 7 } });
  await stage.route('t', a);
  const duplication = await stage.directClient(b);
  await duplication.do('open', 't');
  await setAll(duplication, 't', 'on b');
  await duplication.close();
  const client = await stage.client();
  await client.do('open', 't');
  await setAll(client, 't', 'on a');
  await expectAll(client, 't', 'on a');
  return { client, a, b };
}

/** Moves table "t" as an operator does, and sees to it that the same client object finds its data in B. */
async function moveToB(stage: Stage, { client, a, b }: OpenOnA, limitMs: number): Promise<Finding> {
  const queriesBefore = b.leader.requestCount;
  const start = performance.now();
  let askedMs = Number.NaN;
  void b.leader
    .waitUntil(() => b.leader.requestCount > queriesBefore)
    .then(() => {
      askedMs = performance.now() - start;
    });
  await stage.route('t', b);
  a.deny('reconfig*all');
  const missed = await client.reads('on b', 't', 'h1', limitMs);
  const ms = performance.now() - start;
  await expectAll(client, 't', 'on b');
  const asked = `asked for B's routing after ${askedMs.toFixed(0)} ms`;
  return { ms, note: `time: repoint to first read from B; ${asked}, ${missed} reads failed` };
}

async function setAll(client: Client, table: string, value: string): Promise<void> {
  for (const hashKey of HASH_KEYS) await client.set(table, hashKey, value);
}

async function expectAll(client: Client, table: string, value: string): Promise<void> {
  for (const hashKey of HASH_KEYS) expect(await client.get(table, hashKey), `${table} ${hashKey}`).toBe(value);
}

/** Everything that a client does with an open table. */
async function expectOperations(client: Client, table: string): Promise<void> {
  const ttl = async (sortKey: string) => (await client.do('ttl', table, 'k', sortKey)).value;
  await client.do('set', table, 'k', 's', 'välue');
  expect(await client.get(table, 'k')).toBe('välue');
  expect(await ttl('s')).toBe(-1);
  await client.do('set', table, 'k', 'short', 'lived', '100');
  expect(await ttl('short')).toBeGreaterThan(90);
  expect(await ttl('short')).toBeLessThanOrEqual(100);
  await client.do('del', table, 'k', 's');
  expect(await client.get(table, 'k')).toBeUndefined();
  expect(await ttl('s')).toBe(-2);
}

/** The end of an error's text, without the parts that differ from run to run. */
function lastWords(error = ''): string {
  return error.split(': ').at(-1) ?? error;
}
