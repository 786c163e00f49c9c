import { connect, isIP, type Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Metrics } from '../telemetry/metrics.ts';
import { type HostPort, parseHostPort } from '../wire/host-port.ts';
import { lookupWith, type ResolveHost } from './host-addresses.ts';
import { MetaConnection, type MetaConnectionLimits } from './meta-connection.ts';
import type { AskedMeta, PendingQuery } from './pending-query.ts';
import type { TurnBatch } from './turn-batch.ts';

export interface MetaChannelOptions extends MetaConnectionLimits {
  readonly connectTimeoutMs: number;
  /** Pause after a failed dial; it doubles up to the maximum as long as dials fail. */
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** A connection on which queries wait and nothing has come for so long is given up. */
  readonly silenceMs: number;
  /** How often the host name of an open connection is looked up again. */
  readonly resolveEveryMs: number;
  /** No query waits longer than this for its answer, so what was sent earlier needs no place any more. */
  readonly maxDeadlineMs: number;
}

/** What a channel needs of the daemon, handed in once for all channels. */
export interface MetaChannelContext {
  readonly options: MetaChannelOptions;
  readonly batch: TurnBatch;
  readonly resolve: ResolveHost;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/*
 *            send            connected
 *   idle ───────────▶ dialing ────────▶ open
 *    ▲                  │ failed          │ closed
 *    │ lost             ▼                 │ lost soon after
 *    └─────(open)     backoff ◀───────────┘
 *                       │ send, when the pause is over
 *                       ▼
 *                     dialing
 */
type State =
  | { readonly is: 'idle' }
  | { readonly is: 'dialing'; readonly socket: Socket; readonly waiting: PendingQuery[] }
  | { readonly is: 'open'; readonly connection: MetaConnection; readonly since: number }
  | { readonly is: 'backoff'; readonly until: number }
  | { readonly is: 'ended' };

const IDLE: State = { is: 'idle' };

/** A connection has to live longer than this (ms) for the next dial to be free of a pause. */
const SHORT_LIVED_MS = 1000;

/**
 * The way to one MetaServer address, for all clusters and clients that need it: at most one connection at a time,
 * dialled when a query first wants it and again after it was lost. A host name is looked up at every dial, and now and
 * then while the connection is open: when it leads elsewhere, new queries take a new connection, and the old one ends
 * with its last answer.
 */
export class MetaChannel implements AskedMeta {
  readonly address: string;
  readonly #target: HostPort;
  readonly #context: MetaChannelContext;
  #state: State = IDLE;
  #backoffMs = 0;
  /** Connections that take no new queries any more, and when they will be ended in any case (ms). */
  readonly #retired = new Map<MetaConnection, number>();
  #resolvedAt = 0;

  constructor(address: string, context: MetaChannelContext) {
    const target = parseHostPort(address);
    if (target === undefined) throw new Error(`not a host:port: ${address}`);
    this.address = address;
    this.#target = target;
    this.#context = context;
  }

  /** For people: `idle`, `dialing`, `open`, `backoff`, `ended`. */
  get state(): State['is'] {
    return this.#state.is;
  }

  /** Queries sent or waiting to be. */
  get inFlight(): number {
    if (this.#state.is === 'open') return this.#state.connection.inFlight;
    return this.#state.is === 'dialing' ? this.#state.waiting.length : 0;
  }

  /** As many queries are unanswered as may be, and answers have come within the last `silentMs`: it is at work. */
  isBusy(now: number, silentMs: number): boolean {
    if (this.inFlight < this.#context.options.maxInFlight) return false;
    return this.#state.is !== 'open' || this.#state.connection.silentFor(now) < silentMs;
  }

  /**
   * Sends a query, or keeps it until the connection is made; its carrier hears how it ends. False where that can't
   * help now (the last dial failed a moment ago, too many queries are unanswered): nothing was done.
   */
  send(query: PendingQuery, now: number): boolean {
    const state = this.#state;
    switch (state.is) {
      case 'open':
        return state.connection.send(query, now);
      case 'dialing':
        return enqueue(state.waiting, query, this.#context.options.maxInFlight);
      case 'backoff':
        if (now < state.until) return false;
        return enqueue(this.#dial(), query, this.#context.options.maxInFlight);
      case 'idle':
        return enqueue(this.#dial(), query, this.#context.options.maxInFlight);
      case 'ended':
        return false;
    }
  }

  /** Looks after the connections now and then: gives up what has gone silent while queries wait, follows host names. */
  check(now: number): void {
    for (const [connection, endAt] of this.#retired)
      if (connection.inFlight === 0 || now > endAt) connection.close('moved');
    if (this.#state.is !== 'open') return;
    this.#resolveAgain(this.#state.connection, now);
    const { connection } = this.#state;
    const { silenceMs, maxDeadlineMs } = this.#context.options;
    if (connection.silentFor(now) > silenceMs) connection.close('silent');
    else connection.forgetOlderThan(now - 2 * maxDeadlineMs);
  }

  /** Ends the connection for good; queries on it fail. */
  end(): void {
    const state = this.#state;
    this.#state = { is: 'ended' };
    for (const connection of [...this.#retired.keys()]) connection.close('not_needed');
    if (state.is === 'open') state.connection.close('not_needed');
    if (state.is === 'dialing') {
      state.socket.destroy();
      this.#fail(state.waiting, 'not_needed');
    }
  }

  #resolveAgain(connection: MetaConnection, now: number): void {
    const { host } = this.#target;
    if (isIP(host) !== 0 || now - this.#resolvedAt < this.#context.options.resolveEveryMs) return;
    this.#resolvedAt = now;
    this.#context.resolve(host).then(
      (addresses) => this.#onResolved(connection, addresses),
      // A name that can't be looked up for now says nothing about a connection that works.
      () => {},
    );
  }

  #onResolved(connection: MetaConnection, addresses: readonly string[]): void {
    const state = this.#state;
    if (state.is !== 'open' || state.connection !== connection || addresses.length === 0) return;
    if (addresses.includes(connection.remoteAddress)) return;
    const fields = { meta: this.address, from: connection.remoteAddress, to: addresses };
    this.#context.logger.info(fields, 'host name of MetaServer leads elsewhere now, connecting there');
    this.#retired.set(connection, performance.now() + this.#context.options.maxDeadlineMs);
    this.#state = IDLE;
  }

  #dial(): PendingQuery[] {
    const { options } = this.#context;
    const waiting: PendingQuery[] = [];
    const { host, port } = this.#target;
    const lookup = lookupWith(this.#context.resolve);
    const socket = connect({ host, port, lookup, noDelay: true, keepAlive: true });
    this.#resolvedAt = performance.now();
    this.#state = { is: 'dialing', socket, waiting };
    const timer = setTimeout(() => this.#onDialFailed(socket, 'connect_timeout'), options.connectTimeoutMs);
    const onError = (error: NodeJS.ErrnoException): void => {
      clearTimeout(timer);
      this.#onDialFailed(socket, error.code ?? 'error');
    };
    socket.once('error', onError);
    socket.once('close', () => clearTimeout(timer));
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', onError);
      this.#onConnected(socket);
    });
    return waiting;
  }

  #onConnected(socket: Socket): void {
    const state = this.#state;
    if (state.is !== 'dialing' || state.socket !== socket) {
      socket.destroy();
      return;
    }
    const { batch, options, metrics, logger } = this.#context;
    metrics.metaConnections.value++;
    logger.debug({ meta: this.address }, 'connected to MetaServer');
    const connection = new MetaConnection(
      this,
      socket,
      batch,
      options,
      (reason, lost) => this.#onLost(connection, reason, lost),
      () => {
        metrics.lateAnswers.value++;
      },
    );
    const now = performance.now();
    this.#state = { is: 'open', connection, since: now };
    for (const query of state.waiting) {
      if (!query.done && query.carrier !== undefined && !connection.send(query, now)) this.#fail([query], 'overloaded');
    }
  }

  #onDialFailed(socket: Socket, reason: string): void {
    // A late error of the same socket must find a listener: without one it would end the process.
    socket.on('error', () => {});
    socket.destroy();
    const state = this.#state;
    if (state.is !== 'dialing' || state.socket !== socket) return;
    const { metrics, logger } = this.#context;
    const isFirst = this.#backoffMs === 0;
    this.#backOff();
    metrics.metaConnectionsLost.inc(reason);
    const level = isFirst ? 'warn' : 'debug';
    logger[level]({ meta: this.address, reason }, 'MetaServer can not be reached, asking others of its cluster');
    this.#fail(state.waiting, reason);
  }

  #onLost(connection: MetaConnection, reason: string, lost: PendingQuery[]): void {
    const { metrics, logger } = this.#context;
    metrics.metaConnections.value--;
    this.#retired.delete(connection);
    const state = this.#state;
    if (state.is === 'open' && state.connection === connection) {
      // One that dies as soon as it is made is no better than a failed dial: no loop of dialling without a pause.
      if (performance.now() - state.since < SHORT_LIVED_MS) this.#backOff();
      else this.#rest();
      metrics.metaConnectionsLost.inc(reason);
      logger.warn({ meta: this.address, reason, queries: lost.length }, 'connection to MetaServer lost, asking again');
    }
    this.#fail(lost, reason);
  }

  #rest(): void {
    this.#backoffMs = 0;
    this.#state = IDLE;
  }

  #backOff(): void {
    const { backoffMinMs, backoffMaxMs } = this.#context.options;
    this.#backoffMs = Math.min(backoffMaxMs, Math.max(backoffMinMs, 2 * this.#backoffMs));
    // Half of the pause is by chance, so that many proxies don't dial a MetaServer that comes back all at once.
    this.#state = { is: 'backoff', until: performance.now() + this.#backoffMs * (0.5 + Math.random() / 2) };
  }

  #fail(queries: PendingQuery[], reason: string): void {
    for (const query of queries) {
      if (!query.done && query.carrier !== undefined) query.carrier.onAttemptFailed(query, this, reason);
    }
  }
}

function enqueue(waiting: PendingQuery[], query: PendingQuery, limit: number): boolean {
  if (waiting.length >= limit) return false;
  waiting.push(query);
  return true;
}
