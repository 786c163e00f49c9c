import type { Logger } from 'pino';
import type { CachedTable, Lookup } from '../routing/route-cache.ts';
import { LogLimiter } from '../telemetry/log-limiter.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { handlerNotFound, NEGOTIATION, negotiationAuthDisabled } from '../wire/local-response.ts';
import { isQueryCfg, readTableName } from '../wire/query-cfg.ts';
import { RequestHead } from '../wire/request-frame.ts';
import { isTableName } from '../wire/table-name.ts';
import { type LocalAnswer, localAnswer } from './answers.ts';
import type { Cluster, ClusterClient } from './cluster.ts';
import type { DeadlineWheel } from './deadline-wheel.ts';
import { type Asker, PendingQuery, type Response } from './pending-query.ts';

/** The route cache, as far as the relay uses it. */
export interface Routes {
  get(table: string): CachedTable<Cluster> | undefined;
  load(table: string, waiter: PendingQuery): Lookup<Cluster> | undefined;
}

export interface DeadlineRange {
  readonly minMs: number;
  readonly maxMs: number;
  /** For requests that name none. */
  readonly defaultMs: number;
}

/** The client that a request came from, as far as the relay deals with it. */
export interface RelayClient extends Asker {
  /** More queries are in flight for it than may be. */
  readonly overloaded: boolean;
  /** One query more is in flight. */
  queryBegun(): void;
}

/** Answered this much before the client's own timeout is over, so that the answer still finds it waiting. */
const SHARE_OF_TIMEOUT = 0.9;

/** Pauses between a query's rounds through its cluster: 25 ms, then twice that each time, up to 400 ms. */
const FIRST_PAUSE_MS = 25;
const MAX_PAUSE_MS = 400;

// Read synchronously, one frame at a time, so one head serves all connections.
const head = new RequestHead();
const NO_REST: readonly Buffer[] = [];
const authDisabled = negotiationAuthDisabled();

/**
 * A request's biography: what kind it is, which table, which cluster, how often it is tried, and what the client is
 * told in the end. The one place where a failure becomes an answer.
 */
export class RequestRelay implements ClusterClient {
  readonly #wheel: DeadlineWheel;
  readonly #deadlines: DeadlineRange;
  readonly #metrics: Metrics;
  readonly #logger: Logger;
  readonly #unanswered = new LogLimiter(5, 10_000);
  #routes: Routes | undefined;
  readonly #onDue = (query: PendingQuery): void => this.#wake(query);

  constructor(wheel: DeadlineWheel, deadlines: DeadlineRange, metrics: Metrics, logger: Logger) {
    this.#wheel = wheel;
    this.#deadlines = deadlines;
    this.#metrics = metrics;
    this.#logger = logger;
  }

  /** Hands in the routes, which in turn need this relay's clusters. Called once, before the first request. */
  useRoutes(routes: Routes): void {
    this.#routes = routes;
  }

  /** Takes one whole request frame. Throws `MalformedFrameError`, after which its connection has to be closed. */
  handle(client: RelayClient, frame: Buffer): void {
    head.read(frame);
    if (isQueryCfg(frame, head)) this.#begin(client, frame);
    else this.#answerOther(client, frame);
  }

  /** Goes on with queries whose table has been read. */
  onLoaded(queries: readonly PendingQuery[], lookup: Lookup<Cluster>): void {
    for (const query of queries) if (!query.done) this.#follow(query, lookup);
  }

  onClusterAnswer(query: PendingQuery, kind: 'ok' | 'body-error', { frame, rest, head }: Response): void {
    frame.writeInt32BE(query.seqId, head.seqIdOffset);
    this.#metrics.relayedAnswers.inc(kind);
    this.#settle(query, frame, rest);
  }

  onRoundOver(query: PendingQuery): void {
    if (query.paused) return;
    // After the pause the route is looked up anew: it may lead to another cluster by then.
    const pause = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (query.rounds - 1));
    query.paused = true;
    this.#wheel.set(query, Math.min(query.answerBy, this.#wheel.now() + pause));
  }

  #begin(client: RelayClient, frame: Buffer): void {
    const table = readTableName(frame, head);
    this.#metrics.queries.value++;
    const answerBy = this.#wheel.now() + this.#deadlineMs(head.clientTimeoutMs);
    const query = new PendingQuery(client, frame, head.seqId, head.seqIdOffset, table, answerBy, this.#onDue);
    client.queryBegun();
    if (client.overloaded) this.#answer(query, 'overloaded');
    else this.#route(query);
  }

  /** The client's timeout is a hint: Go's can be far too small, Node.js sends none, and giving up too early is as bad as too late. */
  #deadlineMs(clientTimeoutMs: number): number {
    const { minMs, maxMs, defaultMs } = this.#deadlines;
    if (clientTimeoutMs <= 0) return defaultMs;
    return Math.min(maxMs, Math.max(minMs, clientTimeoutMs * SHARE_OF_TIMEOUT));
  }

  #route(query: PendingQuery): void {
    const routes = this.#routes as Routes;
    const cached = routes.get(query.table);
    if (cached !== undefined) {
      this.#carry(query, cached);
      return;
    }
    if (!isTableName(query.table)) {
      this.#answer(query, 'bad_table_name');
      return;
    }
    query.carrier = undefined;
    this.#wheel.set(query, query.answerBy);
    const lookup = routes.load(query.table, query);
    if (lookup !== undefined) this.#follow(query, lookup);
  }

  #follow(query: PendingQuery, lookup: Lookup<Cluster>): void {
    switch (lookup.outcome) {
      case 'found':
        this.#carry(query, lookup.table);
        break;
      case 'missing':
        this.#answer(query, 'unknown_table');
        break;
      case 'unavailable':
        this.#answer(query, 'registry_unavailable');
        break;
      case 'overloaded':
        this.#answer(query, 'overloaded');
        break;
    }
  }

  #carry(query: PendingQuery, table: CachedTable<Cluster>): void {
    if (table.target === undefined) this.#answer(query, 'unreadable_route');
    else table.target.carry(query);
  }

  /** The query's deadline, an attempt's time, or a pause is over. */
  #wake(query: PendingQuery): void {
    if (query.done) return;
    if (this.#wheel.now() >= query.answerBy) {
      this.#onDeadline(query);
    } else if (query.paused) {
      query.paused = false;
      this.#route(query);
    } else {
      query.carrier?.onAttemptSlow(query);
    }
  }

  #onDeadline(query: PendingQuery): void {
    const answer = query.rounds === 0 ? 'registry_unavailable' : 'no_answer';
    const admitted = this.#unanswered.admit();
    if (admitted !== undefined) {
      const { table, rounds, lastFailure } = query;
      const fields = { table, answer, rounds, reason: lastFailure, ...admitted };
      this.#logger.warn(fields, 'query not answered within its deadline, told the client to ask again');
    }
    this.#answer(query, answer);
  }

  #answer(query: PendingQuery, answer: LocalAnswer): void {
    this.#metrics.localAnswers.inc(answer);
    this.#settle(query, localAnswer(answer, query.seqId), NO_REST);
  }

  #settle(query: PendingQuery, frame: Buffer, rest: readonly Buffer[]): void {
    query.done = true;
    query.carrier = undefined;
    this.#wheel.clear(query);
    query.client.send(frame, rest);
    query.client.queryDone();
  }

  #answerOther(client: RelayClient, frame: Buffer): void {
    const name = frame.toString('latin1', head.nameStart, head.nameEnd);
    const template = name === NEGOTIATION ? authDisabled : handlerNotFound(name);
    this.#metrics.localAnswers.inc(name === NEGOTIATION ? 'negotiation' : 'handler_not_found');
    client.send(template.withSeqId(head.seqId), NO_REST);
  }
}
