import type { Logger } from 'pino';
import { formatHostPort, type HostPort } from '../wire/host-port.ts';
import { StoreUnavailableError } from './route-store.ts';
import {
  type ClientEnd,
  type Done,
  type Znode,
  type ZnodeEvent,
  type ZookeeperAuth,
  ZookeeperClient,
} from './zookeeper-client.ts';
import { ZookeeperOperations } from './zookeeper-operations.ts';
import { ZookeeperProbe } from './zookeeper-probe.ts';
import { parseServers } from './zookeeper-servers.ts';

/** Times are in ms. */
export interface ZookeeperSessionOptions {
  /** `host:port,host:port`; asked in a random order, so that many proxies spread over the servers. */
  readonly servers: string;
  /** What is asked for; the server may grant another, and that one counts. */
  readonly sessionTimeoutMs: number;
  /** From the call to its rejection. */
  readonly operationTimeoutMs: number;
  /** A znode to read as a sign of life; it need not exist. */
  readonly probePath: string;
  readonly auth?: ZookeeperAuth | undefined;
  /** For one server, from the TCP connect to the session. Default: a third of the session timeout, 1 s at least. */
  readonly connectTimeoutMs?: number | undefined;
  /** Operations unanswered at one time; more are rejected. Default 4096. */
  readonly maxOutstanding?: number | undefined;
  /** Waits between attempts grow from the first to the second, each shortened by up to a half at random. */
  readonly backoffMinMs?: number | undefined;
  readonly backoffMaxMs?: number | undefined;
  /** For the server to confirm the end of the session. Default 1 s. */
  readonly closeTimeoutMs?: number | undefined;
  /** How long one server may refuse what we have seen until a ZooKeeper restored from a backup is assumed. Default 1 min. */
  readonly restoredAfterMs?: number | undefined;
}

/** Told in order; never from within a call into the session other than `close`. */
export interface ZookeeperSessionListener {
  /** A new session without any watch: everything has to be read again. `probeFound`: whether `probePath` exists. */
  onLive(probeFound: boolean): void;
  /** The session is gone, and its watches with it; a new one is being made. Follows `onLive` only. */
  onLost(reason: string): void;
  onEvent(event: ZnodeEvent, path: string): void;
}

const DEFAULTS = {
  maxOutstanding: 4096,
  backoffMinMs: 100,
  backoffMaxMs: 1_000,
  closeTimeoutMs: 1_000,
  restoredAfterMs: 60_000,
};
const MIN_CONNECT_TIMEOUT_MS = 1_000;
const AWAY_LOG_INTERVAL_MS = 30_000;

/** A connection and all that ends with it. */
interface Attempt {
  readonly server: HostPort;
  readonly client: ZookeeperClient;
  readonly operations: ZookeeperOperations;
  deadline?: NodeJS.Timeout;
  probe?: ZookeeperProbe;
  liveSince?: number;
}

/**
 * Keeps a ZooKeeper session, making a new one whenever it is lost:
 *
 *     idle ─start→ connecting ─ready→ live
 *                   ↑      └──end──┐    │ end (hung up, silent, not understood)
 *                   └─backoff─ waiting ←┘            any ─close→ closed
 *
 * Every loss of a connection is taken for the loss of the session (what a session survives is short, and what it saves
 * are watches, which must be read again anyhow). The last zxid seen goes with each new connect request, so a server
 * that lags behind what we have read refuses us.
 */
export class ZookeeperSession {
  readonly #options: ZookeeperSessionOptions & typeof DEFAULTS;
  readonly #servers: readonly HostPort[];
  readonly #connectTimeoutMs: number;
  readonly #log: Logger;
  readonly #listener: ZookeeperSessionListener;
  #attempt: Attempt | undefined;
  #backoff: NodeJS.Timeout | undefined;
  #closed = false;
  #closing: Promise<void> | undefined;
  #onClosed: (() => void) | undefined;
  #nextServer = 0;
  /** Ends since the last session that lasted; also counts sessions lost at once, lest they make a tight loop. */
  #failures = 0;
  #awaySince = 0;
  #awayLoggedAt = Number.NEGATIVE_INFINITY;
  #seenZxid = 0n;
  readonly #refusedSince = new Map<HostPort, number>();
  #era = 0n;

  /** Throws where `servers` isn't a list of `host:port`. */
  constructor(options: ZookeeperSessionOptions, log: Logger, listener: ZookeeperSessionListener) {
    this.#options = withDefaults(options);
    this.#servers = parseServers(options.servers);
    this.#connectTimeoutMs =
      options.connectTimeoutMs ?? Math.max(MIN_CONNECT_TIMEOUT_MS, Math.floor(options.sessionTimeoutMs / 3));
    this.#log = log;
    this.#listener = listener;
  }

  get live(): boolean {
    return this.#attempt?.liveSince !== undefined && !this.#closed;
  }

  /** Grows when ZooKeeper turns out to have been set back (restored, rebuilt): its zxids start over then. */
  get era(): bigint {
    return this.#era;
  }

  /** As ZooKeeper's logs spell it; undefined while not live. */
  get sessionId(): string | undefined {
    return this.live ? this.#attempt?.client.sessionId : undefined;
  }

  /** What the server granted, in ms; undefined while not live. */
  get sessionTimeoutMs(): number | undefined {
    return this.live ? this.#attempt?.client.sessionTimeoutMs : undefined;
  }

  /** Operations that ZooKeeper hasn't answered yet. */
  get outstanding(): number {
    return this.#attempt?.operations.outstanding ?? 0;
  }

  start(): void {
    if (this.#closed) return;
    this.#awaySince = performance.now();
    this.#connect();
  }

  /**
   * Reads a node, and watches it where it exists; undefined where it doesn't. Rejects with `StoreUnavailableError`: at
   * once while not live, else within `timeoutMs` or when the session is lost.
   */
  getData(path: string, watch: boolean, timeoutMs?: number): Promise<Znode | undefined> {
    return this.#run(timeoutMs, (client, done) => client.getData(path, watch, done));
  }

  /** Whether there is such a node; watches it either way. Rejects as `getData` does. */
  exists(path: string, watch: boolean, timeoutMs?: number): Promise<boolean> {
    return this.#run(timeoutMs, (client, done) => client.exists(path, watch, done));
  }

  /** Ends the session on the server, waits for that within its deadline, leaves no socket and no timer. Never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#backoff);
    const attempt = this.#attempt;
    if (attempt === undefined) return;
    attempt.operations.close('the session is being closed');
    attempt.probe?.stop();
    if (attempt.liveSince === undefined) {
      attempt.client.destroy('closed');
      return;
    }
    const ended = new Promise<void>((resolve) => {
      this.#onClosed = resolve;
    });
    attempt.deadline = setTimeout(() => attempt.client.destroy('closed'), this.#options.closeTimeoutMs);
    attempt.client.close();
    await ended;
  }

  #run<T>(timeoutMs: number | undefined, start: (client: ZookeeperClient, done: Done<T>) => void): Promise<T> {
    const attempt = this.#attempt;
    if (attempt === undefined || !this.live) {
      return Promise.reject(new StoreUnavailableError('there is no ZooKeeper session'));
    }
    return attempt.operations.run(timeoutMs ?? this.#options.operationTimeoutMs, (done) => start(attempt.client, done));
  }

  #connect(): void {
    const server = this.#servers[this.#nextServer % this.#servers.length]!;
    this.#nextServer += 1;
    const { sessionTimeoutMs, auth, probePath, maxOutstanding } = this.#options;
    const client = new ZookeeperClient(
      { server, sessionTimeoutMs, auth, probePath, lastZxid: this.#isRefusedForGood(server) ? 0n : this.#seenZxid },
      {
        onReady: (probeFound) => this.#onReady(attempt, probeFound),
        onEvent: (event, path) => this.#listener.onEvent(event, path),
        onEnd: (end) => this.#onEnd(attempt, end),
      },
    );
    const attempt: Attempt = { server, client, operations: new ZookeeperOperations(maxOutstanding) };
    this.#attempt = attempt;
    attempt.deadline = setTimeout(
      () => client.destroy(`no session within ${this.#connectTimeoutMs} ms`),
      this.#connectTimeoutMs,
    );
    client.connect();
  }

  #onReady(attempt: Attempt, probeFound: boolean): void {
    clearTimeout(attempt.deadline);
    if (this.#closed) return;
    const { client } = attempt;
    attempt.liveSince = performance.now();
    attempt.probe = new ZookeeperProbe(client, this.#options.probePath, (reason) => client.destroy(reason));
    attempt.probe.start();
    this.#refusedSince.clear();
    this.#noteEra(client.lastZxid);
    this.#log.info(
      {
        server: formatHostPort(attempt.server),
        sessionId: client.sessionId,
        sessionTimeoutMs: client.sessionTimeoutMs,
        awayMs: Math.round(attempt.liveSince - this.#awaySince),
      },
      'ZooKeeper session established',
    );
    this.#listener.onLive(probeFound);
  }

  #onEnd(attempt: Attempt, end: ClientEnd): void {
    clearTimeout(attempt.deadline);
    attempt.probe?.stop();
    attempt.operations.close(`the ZooKeeper session is lost: ${end.reason}`);
    this.#attempt = undefined;
    if (this.#closed) {
      this.#onClosed?.();
      return;
    }
    const now = performance.now();
    const wasLive = attempt.liveSince !== undefined;
    if (attempt.liveSince !== undefined) {
      this.#awaySince = now;
      this.#seenZxid = attempt.client.lastZxid;
      if (now - attempt.liveSince >= this.#options.backoffMaxMs) this.#failures = 0;
    }
    this.#noteRefusal(attempt.server, end.refused && this.#seenZxid > 0n);
    const retryInMs = Math.round(this.#nextBackoff());
    this.#logAway(attempt.server, end.reason, retryInMs, wasLive);
    this.#failures += 1;
    this.#backoff = setTimeout(() => this.#connect(), retryInMs);
    if (wasLive) this.#listener.onLost(end.reason);
  }

  /** Doubles with each round through the servers, not with each server, so that a dead one costs the others little. */
  #nextBackoff(): number {
    const round = Math.floor(this.#failures / this.#servers.length);
    const full = Math.min(this.#options.backoffMaxMs, this.#options.backoffMinMs * 2 ** round);
    return full * (1 - Math.random() / 2);
  }

  #logAway(server: HostPort, reason: string, retryInMs: number, wasLive: boolean): void {
    const now = performance.now();
    if (!wasLive && now - this.#awayLoggedAt < AWAY_LOG_INTERVAL_MS) return;
    this.#awayLoggedAt = now;
    const fields = { server: formatHostPort(server), reason, retryInMs };
    if (wasLive) this.#log.warn(fields, 'ZooKeeper session lost, a new one will be made');
    else
      this.#log.warn({ ...fields, awayMs: Math.round(now - this.#awaySince) }, 'no ZooKeeper session yet, trying on');
  }

  #noteRefusal(server: HostPort, refused: boolean): void {
    if (!refused) this.#refusedSince.delete(server);
    else if (!this.#refusedSince.has(server)) this.#refusedSince.set(server, performance.now());
  }

  /** A server that lags catches up in seconds; one restored from a backup would refuse what we have seen for good. */
  #isRefusedForGood(server: HostPort): boolean {
    const since = this.#refusedSince.get(server);
    return since !== undefined && performance.now() - since >= this.#options.restoredAfterMs;
  }

  #noteEra(zxid: bigint): void {
    if (zxid < this.#seenZxid) {
      this.#era += 1n;
      this.#log.warn(
        { seenZxid: `0x${this.#seenZxid.toString(16)}`, zxid: `0x${zxid.toString(16)}` },
        'ZooKeeper has been set back: its content counts as newer than what was read before',
      );
    }
    this.#seenZxid = zxid;
  }
}

function withDefaults(options: ZookeeperSessionOptions): ZookeeperSessionOptions & typeof DEFAULTS {
  return {
    ...options,
    maxOutstanding: options.maxOutstanding ?? DEFAULTS.maxOutstanding,
    backoffMinMs: options.backoffMinMs ?? DEFAULTS.backoffMinMs,
    backoffMaxMs: options.backoffMaxMs ?? DEFAULTS.backoffMaxMs,
    closeTimeoutMs: options.closeTimeoutMs ?? DEFAULTS.closeTimeoutMs,
    restoredAfterMs: options.restoredAfterMs ?? DEFAULTS.restoredAfterMs,
  };
}
