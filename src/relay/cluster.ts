import type { Logger } from 'pino';
import { LogLimiter } from '../telemetry/log-limiter.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { MalformedFrameError } from '../wire/malformed-frame.ts';
import { type AnswerKind, answerKind, readForwardAddress } from '../wire/query-cfg.ts';
import type { DeadlineWheel } from './deadline-wheel.ts';
import { LatencyEstimate } from './latency-estimate.ts';
import type { MetaChannel } from './meta-channel.ts';
import type { MetaChannelPool } from './meta-channel-pool.ts';
import type { AskedMeta, PendingQuery, QueryCarrier, Response } from './pending-query.ts';
import { RetryBudget } from './retry-budget.ts';

/** Leaders that redirects named and no route lists. Each takes a bit in `PendingQuery.tried`, so they are few. */
const MAX_LEARNED = 8;
const UNKNOWN = -1;

/** Who takes a query on after a cluster's round, and its answer. */
export interface ClusterClient {
  /** The cluster's answer, fit for the client but for its seqId. */
  onClusterAnswer(query: PendingQuery, kind: 'ok' | 'body-error', response: Response): void;
  /** Every MetaServer has been asked, or can't be, and none has answered yet. */
  onRoundOver(query: PendingQuery): void;
}

/** What clusters need of the daemon, handed in once for all of them. */
export interface ClusterContext {
  readonly pool: MetaChannelPool;
  readonly wheel: DeadlineWheel;
  readonly client: ClusterClient;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /**
   * The time a MetaServer has for itself before another one is asked as well, ms: learned from what answers have taken
   * of late, within these bounds.
   */
  readonly hedgeMinMs: number;
  readonly attemptTimeoutMs: number;
}

/**
 * The MetaServers of one cluster, and which of them is the leader. A query makes rounds: the leader last seen is asked
 * first, else the next of the list; a redirect is followed, here and never by the client; who fails is passed over;
 * who is slow is given time, while another one is asked as well. Nobody is asked twice at a time for one query, and
 * what is asked beyond once for each query is paid for from a budget.
 */
export class Cluster implements QueryCarrier {
  readonly name: string;
  readonly #context: ClusterContext;
  /** Those of the route, then those that redirects have named. Only added to, so that places stay what they are. */
  readonly #metas: MetaChannel[];
  readonly #configured: number;
  readonly #latency: LatencyEstimate;
  readonly #budget = new RetryBudget();
  readonly #leaderLog = new LogLimiter(5, 10_000);
  #leader = UNKNOWN;
  /** The place where a round begins while no leader is known; moved on past those that fail. */
  #first = 0;
  #ended = false;

  constructor(name: string, addresses: readonly string[], context: ClusterContext) {
    this.name = name;
    this.#context = context;
    this.#metas = addresses.map((address) => context.pool.acquire(address));
    this.#configured = this.#metas.length;
    this.#latency = new LatencyEstimate(context.hedgeMinMs, context.attemptTimeoutMs);
  }

  /** The leader's address, if one has answered since. */
  get leader(): string | undefined {
    return this.#metas[this.#leader]?.address;
  }

  /** Gives the channels back; queries under way may still finish on them. */
  end(): void {
    this.#ended = true;
    for (const meta of this.#metas) this.#context.pool.release(meta);
  }

  /** Begins a round for a query. */
  carry(query: PendingQuery): void {
    if (query.carrier !== this) {
      query.carrier = this;
      query.outstanding = 0;
      query.firstAsked = UNKNOWN;
      this.#budget.earn();
    }
    query.rounds++;
    query.tried = query.outstanding;
    this.#askNext(query);
  }

  onAnswer(query: PendingQuery, meta: AskedMeta, response: Response): void {
    const place = this.#metas.indexOf(meta as MetaChannel);
    if (place === UNKNOWN) {
      // An attempt made before the table's route changed: what the old cluster says counts no more.
      this.#context.metrics.lateAnswers.value++;
      return;
    }
    const kind = kindOf(response);
    if (kind === 'ok' || kind === 'body-error') {
      this.#learnLeader(place);
      if (query.firstAsked === place) this.#latency.add(this.#context.wheel.now() - query.firstAskedAt);
      this.#context.client.onClusterAnswer(query, kind, response);
    } else if (kind === 'forward') {
      this.#onForward(query, place, readForward(response));
    } else {
      const name = kind === 'malformed' ? kind : 'header_error';
      this.#onFailed(query, place, name);
    }
  }

  onAttemptFailed(query: PendingQuery, meta: AskedMeta, reason: string): void {
    const place = this.#metas.indexOf(meta as MetaChannel);
    if (place !== UNKNOWN) this.#onFailed(query, place, reason);
  }

  onAttemptSlow(query: PendingQuery): void {
    query.lastFailure = 'slow';
    this.#context.metrics.failedAttempts.inc('slow');
    this.#askNext(query);
  }

  #onFailed(query: PendingQuery, place: number, reason: string): void {
    query.outstanding &= ~(1 << place);
    query.lastFailure = reason;
    this.#context.metrics.failedAttempts.inc(reason);
    this.#passOver(place);
    this.#askNext(query);
  }

  #onForward(query: PendingQuery, from: number, address: string | undefined): void {
    this.#context.metrics.redirects.value++;
    query.outstanding &= ~(1 << from);
    query.lastFailure = 'no leader';
    this.#passOver(from);
    const to = address === undefined ? UNKNOWN : this.#placeOf(address);
    const isFresh = to !== UNKNOWN && (query.tried & (1 << to)) === 0;
    if (!isFresh || !this.#ask(query, to, true)) this.#askNext(query);
  }

  /** No more first choice: neither as the leader nor as the beginning of a round. */
  #passOver(place: number): void {
    if (this.#leader === place) this.#leader = UNKNOWN;
    if (this.#first === place) this.#first = (place + 1) % this.#configured;
  }

  #learnLeader(place: number): void {
    if (this.#leader === place) return;
    this.#leader = place;
    this.#context.metrics.leaderChanges.value++;
    // Where two of them take themselves for the leader, this changes with every answer.
    const admitted = this.#leaderLog.admit();
    if (admitted === undefined) return;
    const fields = { cluster: this.name, meta: this.leader, ...admitted };
    this.#context.logger.info(fields, 'leader found, asking it from now on');
  }

  /** The place of a redirect's target; those that no route lists are taken in as long as there is room. */
  #placeOf(address: string): number {
    const place = this.#metas.findIndex((meta) => meta.address === address);
    if (place !== UNKNOWN || this.#ended || this.#metas.length >= this.#configured + MAX_LEARNED) return place;
    this.#metas.push(this.#context.pool.acquire(address));
    return this.#metas.length - 1;
  }

  /** Asks whoever comes next in this round; the round is over when there is nobody left. */
  #askNext(query: PendingQuery): void {
    if (this.#leader !== UNKNOWN) {
      if (this.#isBusy(this.#leader)) {
        // Nobody else could answer: the others would only name the leader. It will have room in a moment.
        query.lastFailure = 'leader has too many unanswered';
        this.#context.client.onRoundOver(query);
        return;
      }
      if (this.#ask(query, this.#leader)) return;
    }
    const first = this.#first;
    for (let i = 0; i < this.#metas.length; i++) {
      // The learned ones come last, and keep their order.
      const place = i < this.#configured ? (first + i) % this.#configured : i;
      if (this.#ask(query, place)) return;
    }
    this.#context.client.onRoundOver(query);
  }

  #isBusy(place: number): boolean {
    const { wheel, attemptTimeoutMs } = this.#context;
    return (this.#metas[place] as MetaChannel).isBusy(wheel.now(), attemptTimeoutMs);
  }

  /**
   * Sends the query there; false if it was there in this round already, or can't be sent. A redirect is no retry: it
   * shows that the cluster is there, and costs it little.
   */
  #ask(query: PendingQuery, place: number, isRedirect = false): boolean {
    const bit = 1 << place;
    if ((query.tried & bit) !== 0) return false;
    const { wheel, metrics } = this.#context;
    const now = wheel.now();
    if (query.attempts > 0 && !isRedirect && !this.#budget.spend(now)) {
      metrics.retriesRefused.value++;
      query.lastFailure = 'retry budget spent';
      return false;
    }
    query.tried |= bit;
    if (!(this.#metas[place] as MetaChannel).send(query, now)) {
      if (query.lastFailure === '') query.lastFailure = 'unreachable';
      if (!this.#isBusy(place)) this.#passOver(place);
      return false;
    }
    query.outstanding |= bit;
    query.attempts++;
    if (query.firstAsked === UNKNOWN) {
      query.firstAsked = place;
      query.firstAskedAt = now;
    }
    wheel.set(query, Math.min(query.answerBy, now + this.#latency.delayMs));
    return true;
  }
}

function kindOf({ frame, head }: Response): AnswerKind | 'malformed' {
  try {
    return answerKind(frame, head);
  } catch (error) {
    if (error instanceof MalformedFrameError) return 'malformed';
    throw error;
  }
}

function readForward({ frame, head }: Response): string | undefined {
  try {
    return readForwardAddress(frame, head);
  } catch (error) {
    if (error instanceof MalformedFrameError) return undefined;
    throw error;
  }
}
