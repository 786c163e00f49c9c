import { Random } from '../../fuzz/random.ts';
import { now } from '../clock.ts';
import { CLIENT_TIMEOUT_MS, TABLES } from '../layout.ts';
import type { LoadControl, LoadSetup, LoadStatus, Movement, WindowReport } from './load-control.ts';
import { NOWHERE, Oracle } from './oracle.ts';
import { type ClientOwner, PoliteClient, type Query } from './polite-client.ts';
import { Window } from './window.ts';

const TICK_MS = 5;
/** A tick later than this is a pause of this process. */
const STALL_MS = 20;
const MAX_BURST = 100;
/** So long an answer that comes after its client's timeout is still known for what it is. */
const REMEMBER_MS = 10_000;

interface Sighting {
  firstAt: number | undefined;
  lastSentAt: number;
}

/** Many clients at a steady rate, the next query never waiting for an answer; each answer is judged at once. */
export class LoadGenerator implements LoadControl, ClientOwner {
  readonly #clients: PoliteClient[] = [];
  /** In the order of sending, so that they time out in order, too. */
  readonly #waiting = new Queue();
  readonly #timedOut = new Queue();
  readonly #excusedUntil = new Map<number, number>();
  readonly #goodAt = TABLES.map(() => 0);
  readonly #sightings = TABLES.map(() => new Map<number, Sighting>());
  #oracle = new Oracle(new Map());
  #random = new Random(0);
  #window = new Window(now());
  #rate = 0;
  #mayClose = false;
  #owed = 0;
  #lastTick = now();
  #next = 0;

  start({ address, clients, rate, seed, references }: LoadSetup): void {
    this.#oracle = new Oracle(references);
    this.#random = new Random(seed);
    this.#rate = rate;
    for (let place = 0; place < clients; place++) this.#clients.push(new PoliteClient(address, place, this));
    this.#lastTick = now();
    setInterval(() => this.#tick(), TICK_MS);
  }

  allow(table: number, place: number): void {
    this.#oracle.allow(table, place);
    this.#sightingOf(table, place).firstAt = undefined;
  }

  revoke(table: number, place: number, at: number): void {
    this.#oracle.revoke(table, place, at);
  }

  settle(table: number, place: number, at: number): void {
    this.#oracle.settle(table, place, at);
  }

  excuse(cluster: number, until: number): void {
    this.#excusedUntil.set(cluster, until);
  }

  mayClose(allowed: boolean): void {
    this.#mayClose = allowed;
  }

  begin(): WindowReport {
    return this.end();
  }

  end(): WindowReport {
    const at = now();
    const report = this.#window.report(at);
    this.#window = new Window(at);
    return report;
  }

  status(): LoadStatus {
    const connected = this.#clients.filter(({ isConnected }) => isConnected).length;
    return { worstAgeMs: now() - Math.min(...this.#goodAt), connected };
  }

  movement(table: number, place: number): Movement {
    const others = [...(this.#sightings[table] as Map<number, Sighting>)].filter(([other]) => other !== place);
    return {
      firstAt: this.#sightingOf(table, place).firstAt,
      othersLastSentAt: Math.max(0, ...others.map(([, { lastSentAt }]) => lastSentAt)),
    };
  }

  onAnswer(query: Query, frame: Buffer): void {
    const at = now();
    const { table, sentAt } = query;
    const isInTime = query.state === 'waiting';
    query.state = 'done';
    const verdict = this.#oracle.judge(table, sentAt, frame);
    if (verdict.kind === 'bad') {
      this.#window.violation(verdict.category, verdict.what);
    } else if (verdict.kind === 'error') {
      if (isInTime) this.#error(verdict.name, query);
    } else {
      this.#see(query, verdict.place, at);
      if (!isInTime) return;
      this.#goodAt[table] = at;
      this.#window.good(table, at, at - sentAt);
    }
  }

  onUnasked(what: string): void {
    this.#window.violation('unasked', what);
  }

  onClosed(reason: string, lost: readonly Query[]): void {
    if (!this.#mayClose) this.#window.violation('closed', `the proxy closed a polite client's connection: ${reason}`);
    for (const query of lost) {
      query.state = 'done';
      this.#error('closed', query);
    }
  }

  #tick(): void {
    const at = now();
    const late = at - this.#lastTick - TICK_MS;
    this.#lastTick = at;
    if (late > STALL_MS) {
      this.#window.stalled(late);
      // What has come meanwhile is read before anything is found to be overdue.
      setImmediate(() => this.#expire());
    } else {
      this.#expire();
    }
    this.#owed = Math.min(MAX_BURST, this.#owed + ((late + TICK_MS) * this.#rate) / 1000);
    for (; this.#owed >= 1; this.#owed--) this.#sendOne();
  }

  #sendOne(): void {
    const client = this.#nextClient();
    if (client === undefined) {
      this.#window.error('not-connected', this.#mayClose);
      return;
    }
    this.#window.sent();
    this.#waiting.add(client.send(this.#random.below(TABLES.length)));
  }

  #nextClient(): PoliteClient | undefined {
    for (let i = 0; i < this.#clients.length; i++) {
      this.#next = (this.#next + 1) % this.#clients.length;
      const client = this.#clients[this.#next] as PoliteClient;
      if (client.isConnected) return client;
    }
    return undefined;
  }

  #expire(): void {
    const at = now();
    this.#waiting.takeSentBefore(at - CLIENT_TIMEOUT_MS, (query) => {
      if (query.state !== 'waiting') return;
      query.state = 'timed-out';
      this.#timedOut.add(query);
      this.#error('timeout', query);
    });
    this.#timedOut.takeSentBefore(at - REMEMBER_MS, (query) => query.client.forget(query));
  }

  #error(kind: string, { table, sentAt }: Query): void {
    // A sick cluster that the table has just left is no excuse for longer than the old route may be served.
    const places = this.#oracle.placesFor(table, sentAt);
    // Of a table that is being deleted or created nothing is cached: "not now" is right while the store is away.
    const isExcused = places.some((place) => place === NOWHERE || sentAt <= (this.#excusedUntil.get(place) ?? 0));
    const what = `${kind}: table ${table} at place ${places.join(' or ')}, ${Math.round(now() - sentAt)} ms after the query`;
    this.#window.error(kind, isExcused || (this.#mayClose && kind === 'closed'), what);
  }

  #see({ table, sentAt }: Query, place: number, at: number): void {
    const sighting = this.#sightingOf(table, place);
    sighting.firstAt ??= at;
    sighting.lastSentAt = Math.max(sighting.lastSentAt, sentAt);
  }

  #sightingOf(table: number, place: number): Sighting {
    const sightings = this.#sightings[table] as Map<number, Sighting>;
    const sighting = sightings.get(place) ?? { firstAt: undefined, lastSentAt: 0 };
    sightings.set(place, sighting);
    return sighting;
  }
}

/** Queries in the order of their sending. */
class Queue {
  #queries: Query[] = [];
  #head = 0;

  add(query: Query): void {
    this.#queries.push(query);
  }

  takeSentBefore(before: number, take: (query: Query) => void): void {
    for (; this.#head < this.#queries.length; this.#head++) {
      const query = this.#queries[this.#head] as Query;
      if (query.sentAt >= before) break;
      take(query);
    }
    if (this.#head < MAX_BURST) return;
    this.#queries.splice(0, this.#head);
    this.#head = 0;
  }
}
