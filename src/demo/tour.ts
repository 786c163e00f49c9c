import { setTimeout as delay } from 'node:timers/promises';
import type { TableAnswer } from './demo-client.ts';
import { DemoClient } from './demo-client.ts';
import { type ClusterName, FIRST_PLACES } from './demo-clusters.ts';
import { DemoFailure, within } from './demo-failure.ts';
import type { Screen } from './screen.ts';
import type { Stage } from './stage.ts';

const MOVED_TABLE = 'orders';
const UNKNOWN_TABLE = 'no_such_table';
const MOVE_TIMEOUT_MS = 15_000;
const ELECTION_TIMEOUT_MS = 10_000;
/** Queries sent after the move, to see that none goes the old way. */
const QUERIES_AFTER_MOVE = 100;
/** How often a query meets a cluster without a leader before one is elected. */
const ROUNDS_WITHOUT_LEADER = 3;

/** The demo's steps after the start. Each one asserts what it claims, and throws `DemoFailure` where it isn't so. */
export class Tour {
  readonly #stage: Stage;
  readonly #screen: Screen;
  #moveMs = 0;
  /** The tour's own direct questions to followers, which are not the proxy's doing. */
  #directQuestions = 0;

  constructor(stage: Stage) {
    this.#stage = stage;
    this.#screen = stage.screen;
  }

  /** Step 2. */
  async queryTables(): Promise<void> {
    const { client, clusters, proxy } = this.#stage;
    this.#screen.say(
      `A client that knows one address only, ${client.address}, opens one connection and asks what every Pegasus ` +
        'client asks first: "where are the partitions of this table?". The proxy looks the table up in the registry ' +
        "and relays the question to a MetaServer of that table's cluster, and the answer back, byte for byte. The first " +
        'question for each cluster takes longer: the proxy reads the registry, connects, and finds out who leads there.',
    );
    const rows: string[][] = [];
    const reads: [string, string][] = [];
    for (const table of Object.keys(FIRST_PLACES)) {
      const answer = await client.query(table);
      rows.push(this.#row(answer));
      reads.push([table, await clusters.readValue(answer)]);
    }
    this.#table(rows);
    for (const [table, cluster] of Object.entries(FIRST_PLACES)) {
      const row = rows.find(([name]) => name === table);
      this.#expect(row?.[1] === cluster, `${table} should be answered by ${cluster}, not by ${row?.[1]}`);
    }
    this.#confirm(true, 'three tables on two clusters, through one address, on one connection');
    this.#screen.say(
      'With that answer the client goes to the replica servers by itself; the proxy is not in the way of the data. ' +
        'Reading one value of each table from the server that the answer names:',
    );
    this.#screen.facts(reads.map(([table, value]) => [table, `"written on ${value}"`]));
    const isRight = reads.every(([table, value]) => value === FIRST_PLACES[table as keyof typeof FIRST_PLACES]);
    this.#confirm(isRight, 'the data is that of the right cluster');
    for (const cluster of ['east', 'west']) await proxy.logged('leader found', (line) => line.cluster === cluster);
  }

  /** Step 3. */
  async showRedirect(): Promise<void> {
    const { client, clusters, proxy } = this.#stage;
    const [follower = '', leader = ''] = clusters.metaAddresses('east');
    const followed = clusters.redirects;
    const direct = await DemoClient.once(follower, (meta) => meta.query('user_profile'));
    this.#directQuestions++;
    this.#screen.say(
      `The registry lists ${follower} first for east, but that MetaServer is a follower. A client that asks it ` +
        'directly is sent away:',
    );
    this.#screen.facts([
      ['asked', follower],
      ['answer', `${direct.err}: ask ${direct.primaries.join(', ')}`],
    ]);
    this.#expect(direct.err === 'ERR_FORWARD_TO_OTHERS', `a follower should redirect, it says ${direct.err}`);
    this.#expect(direct.primaries[0] === leader, `the redirect should name the leader ${leader}`);
    this.#screen.say(
      'A client that followed this would leave the proxy, and stay with a cluster that its table may leave one day. ' +
        "So the proxy follows it on the client's behalf, and remembers the leader for the next query:",
    );
    this.#screen.log(proxy.takeLines());
    this.#confirm(followed >= 2, `the proxy was redirected (${followed} times so far) and followed`);
    const seen = client.outcomes.get('ERR_FORWARD_TO_OTHERS') ?? 0;
    this.#confirm(seen === 0, 'the client has seen none of it: all of its answers were ERR_OK');
  }

  /** Step 4. */
  async moveTable(): Promise<void> {
    const { client, clusters, registry, proxy } = this.#stage;
    this.#screen.say(
      `${MOVED_TABLE} has been copied to west and is to be served from there. The operator changes one entry of ` +
        `${registry.name}; the client goes on asking meanwhile, on the same connection. Before:`,
    );
    const before = await client.query(MOVED_TABLE);
    this.#table([this.#row(before)]);
    const { localPort } = client;
    const start = performance.now();
    await registry.assign(MOVED_TABLE, 'west');
    const { answer, asked } = await this.#untilAnsweredBy('west', start);
    this.#moveMs = performance.now() - start;
    await proxy.logged('route changed', (line) => line.table === MOVED_TABLE && line.cluster === 'west');
    this.#screen.say('The registry now:');
    this.#screen.verbatim(await registry.content());
    this.#screen.say('The proxy noticed it by itself:');
    this.#screen.log(proxy.takeLines());
    this.#screen.say('After:');
    this.#table([this.#row(answer)]);
    this.#confirm(
      before.appId !== answer.appId,
      `${formatMs(this.#moveMs)} from the write to the first answer from west; ${asked} queries meanwhile, all answered`,
    );
    for (let i = 0; i < QUERIES_AFTER_MOVE; i++) {
      const next = clusters.clusterOf(await client.query(MOVED_TABLE));
      this.#expect(next === 'west', `after the move a query was answered by ${next}`);
    }
    this.#confirm(true, `the next ${QUERIES_AFTER_MOVE} queries all landed on west`);
    const value = await clusters.readValue(answer);
    this.#confirm(value === 'west', `a value read from ${MOVED_TABLE} now is the one "written on west"`);
    const isSame = !client.isClosed && client.localPort === localPort && proxy.isRunning;
    this.#confirm(isSame, 'the same TCP connection, the same client, the same proxy process: nothing was restarted');
  }

  /** Step 5. */
  async makeTrouble(): Promise<void> {
    await this.#askUnknown();
    await this.#killLeader();
  }

  /** Step 6. */
  sumUp(): void {
    const { client, clusters } = this.#stage;
    const { outcomes, sent } = client;
    const ok = outcomes.get('ERR_OK') ?? 0;
    const unknown = outcomes.get('ERR_OBJECT_NOT_FOUND') ?? 0;
    const followed = clusters.redirects - this.#directQuestions;
    this.#screen.facts([
      ['queries', `${sent}, on one TCP connection to one address`],
      ['answers', `${ok} ERR_OK, ${unknown} ERR_OBJECT_NOT_FOUND (the table that does not exist)`],
      ['redirects', `${followed} followed by the proxy, 0 seen by the client`],
      ['table moved', `east to west in ${formatMs(this.#moveMs)}, without a restart`],
      ['leader lost', '1, unnoticed by the client but for the wait'],
    ]);
    const isWhole = ok + unknown === sent && unknown === 1 && !client.isClosed;
    this.#confirm(isWhole, 'every query was answered as it should be, and the connection is still open');
  }

  async #askUnknown(): Promise<void> {
    const { client } = this.#stage;
    this.#screen.say(
      'A table that the registry does not know: the proxy answers by itself, in a form that every official client ' +
        'understands, and the connection stays open.',
    );
    const answer = await client.query(UNKNOWN_TABLE);
    this.#screen.facts([[answer.table, `${answer.err}, by the proxy, in ${formatMs(answer.tookMs)}`]]);
    this.#confirm(answer.err === 'ERR_OBJECT_NOT_FOUND' && !client.isClosed, 'told so, and still connected');
  }

  async #killLeader(): Promise<void> {
    const { client, clusters, proxy } = this.#stage;
    const west = clusters.get('west');
    const [follower] = west.metas;
    if (follower === undefined) throw new DemoFailure('west has no MetaServers');
    const killed = west.leader.address;
    this.#screen.say(
      `Now the leading MetaServer of west, ${killed}, is killed, and a table of west is asked for at that moment. ` +
        'Until the other MetaServer takes over, nobody in that cluster can answer; the proxy keeps asking.',
    );
    await west.leader.refuse();
    const wanted = follower.requestCount + ROUNDS_WITHOUT_LEADER;
    const answering = client.query('clickstream');
    // Elected only once the query has been turned down a few times; an answer before that is looked at below.
    const turnedDown = Promise.race([follower.waitForRequests(wanted), answering]);
    await within(ELECTION_TIMEOUT_MS, 'the proxy asks the MetaServer that is left', turnedDown);
    const inVain = follower.requestCount - wanted + ROUNDS_WITHOUT_LEADER;
    west.changeLeader(0);
    const answer = await answering;
    await proxy.logged('leader found', (line) => line.meta === follower.address);
    this.#screen.log(proxy.takeLines());
    this.#table([this.#row(answer)]);
    this.#confirm(
      answer.err === 'ERR_OK' && clusters.clusterOf(answer) === 'west',
      `answered all the same: turned down ${inVain} times, then ${follower.address} had become the leader`,
    );
  }

  /** Asks for the moved table without a pause until this cluster answers. */
  async #untilAnsweredBy(cluster: ClusterName, start: number): Promise<{ answer: TableAnswer; asked: number }> {
    const { client, clusters } = this.#stage;
    for (let asked = 1; ; asked++) {
      const answer = await client.query(MOVED_TABLE);
      this.#expect(answer.err === 'ERR_OK', `while the table was moved, a query was answered ${answer.err}`);
      if (clusters.clusterOf(answer) === cluster) return { answer, asked };
      if (performance.now() - start > MOVE_TIMEOUT_MS) {
        throw new DemoFailure(`${MOVED_TABLE} is still not answered by ${cluster}, ${MOVE_TIMEOUT_MS / 1000} s on`);
      }
      await delay(1);
    }
  }

  #row(answer: TableAnswer): string[] {
    const { table, err, appId, partitionCount, primaries, tookMs } = answer;
    const cluster = this.#stage.clusters.clusterOf(answer);
    this.#expect(err === 'ERR_OK' && cluster !== undefined, `the query for ${table} was answered ${err}`);
    const servers = [...new Set(primaries)].join(', ');
    return [table, cluster ?? '', String(appId), String(partitionCount), servers, formatMs(tookMs)];
  }

  #table(rows: readonly string[][]): void {
    this.#screen.table(['table', 'answered by', 'app id>', 'partitions>', 'primaries on', 'took>'], rows);
  }

  #confirm(holds: boolean, claim: string): void {
    this.#expect(holds, `this is not so: ${claim}`);
    this.#screen.confirmed(claim);
  }

  #expect(holds: boolean, failure: string): void {
    if (!holds) throw new DemoFailure(failure);
  }
}

function formatMs(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
