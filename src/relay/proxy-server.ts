import { createServer, type Server, type Socket } from 'node:net';
import type { Logger } from 'pino';
import { LogLimiter } from '../telemetry/log-limiter.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { HostPort } from '../wire/host-port.ts';
import type { MalformedFrameError } from '../wire/malformed-frame.ts';
import {
  ClientConnection,
  type ClientLimits,
  type ClosedReason,
  type ConnectionOwner,
  peerOf,
} from './client-connection.ts';
import { type ConnectionLimit, ConnectionLimits, descriptorsForClients } from './connection-limits.ts';
import type { RequestRelay } from './request-relay.ts';
import type { TurnBatch } from './turn-batch.ts';

export interface ProxyServerOptions extends ClientLimits {
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
  /** A frame that has begun must be whole within this time, ms. */
  readonly frameTimeoutMs: number;
  /** A client that takes nothing of its answers for so long is cut off, ms. */
  readonly writeTimeoutMs: number;
  /** Idle time after which TCP asks whether the client's host is still there, ms. */
  readonly keepAliveMs: number;
}

/** How often unfinished frames and untaken answers are looked at, ms. */
const CHECK_EVERY_MS = 500;
/** Connections that the kernel keeps for us while a turn of the event loop lasts, at a mass restart of clients. */
const BACKLOG = 4096;

/** The address that clients know: accepts their connections and looks after them. */
export class ProxyServer implements ConnectionOwner {
  readonly #server: Server;
  readonly #relay: RequestRelay;
  readonly #batch: TurnBatch;
  readonly #options: ProxyServerOptions;
  readonly #metrics: Metrics;
  readonly #logger: Logger;
  readonly #limits: ConnectionLimits;
  readonly #connections = new Set<ClientConnection>();
  /** Those with something that must be done in time: few, so looking at them often costs little. */
  readonly #pressing = new Set<ClientConnection>();
  readonly #malformedLog = new LogLimiter(20, 10_000);
  readonly #limitLog = new LogLimiter(2, 10_000);
  readonly #acceptLog = new LogLimiter(1, 10_000);
  #checking: NodeJS.Timeout | undefined;
  #onEmpty: (() => void) | undefined;

  constructor(relay: RequestRelay, batch: TurnBatch, options: ProxyServerOptions, metrics: Metrics, logger: Logger) {
    this.#relay = relay;
    this.#batch = batch;
    this.#options = options;
    this.#metrics = metrics;
    this.#logger = logger;
    this.#limits = new ConnectionLimits(this.#effectiveMaximum(), options.maxConnectionsPerAddress);
    const keepAlive = { keepAlive: true, keepAliveInitialDelay: options.keepAliveMs };
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, ...keepAlive }, (socket) => this.#accept(socket));
  }

  /** Clients connected now. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Begins to accept. Resolves to the address it listens on; rejects where it can't listen there. */
  listen(address: HostPort): Promise<HostPort> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host: address.host, port: address.port, backlog: BACKLOG }, () => {
        this.#server.off('error', reject);
        this.#server.on('error', (error: NodeJS.ErrnoException) => this.#onAcceptFailed(error));
        this.#checking = setInterval(() => this.#checkPressing(), CHECK_EVERY_MS);
        const bound = this.#server.address();
        resolve(typeof bound === 'object' && bound !== null ? { host: bound.address, port: bound.port } : address);
      });
    });
  }

  /** Stops accepting, lets what is in flight be answered for at most `graceMs`, and closes every connection. */
  async close(graceMs: number): Promise<void> {
    clearInterval(this.#checking);
    this.#server.close();
    for (const connection of [...this.#connections]) connection.endWhenIdle('shutdown');
    if (this.#connections.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      setTimeout(() => {
        for (const connection of [...this.#connections]) connection.close('shutdown');
        resolve();
      }, graceMs).unref();
    });
  }

  onMalformed(connection: ClientConnection, error: MalformedFrameError): void {
    this.#metrics.rejectedFrames.inc(error.reason);
    const admitted = this.#malformedLog.admit();
    if (admitted === undefined) return;
    const fields = { peer: connection.peer, reason: error.reason, detail: error.message, ...admitted };
    this.#logger.warn(fields, 'malformed frame, connection closed');
  }

  onPressing(connection: ClientConnection, isPressing: boolean): void {
    if (isPressing) this.#pressing.add(connection);
    else this.#pressing.delete(connection);
  }

  onClosed(connection: ClientConnection, reason: ClosedReason): void {
    this.#connections.delete(connection);
    this.#limits.leave(connection.host);
    this.#metrics.clientConnections.value = this.#connections.size;
    this.#metrics.clientConnectionsClosed.inc(reason);
    if (reason === 'slow_reader' || reason === 'frame_timeout') {
      const admitted = this.#limitLog.admit();
      if (admitted !== undefined) {
        this.#logger.warn({ peer: connection.peer, reason, ...admitted }, 'client over a limit, connection closed');
      }
    }
    if (this.#connections.size === 0) this.#onEmpty?.();
  }

  #effectiveMaximum(): number {
    const { maxConnections } = this.#options;
    const possible = descriptorsForClients();
    if (possible >= maxConnections) return maxConnections;
    const fields = { limit: possible, configured: maxConnections };
    this.#logger.info(fields, 'file descriptors allow fewer client connections than configured, that is the limit now');
    return possible;
  }

  /** Out of file descriptors, mostly: those who are connected are served on, and others again when some are free. */
  #onAcceptFailed({ code, message }: NodeJS.ErrnoException): void {
    this.#metrics.acceptFailures.value++;
    const admitted = this.#acceptLog.admit();
    if (admitted === undefined) return;
    const fields = { reason: code ?? message, connections: this.#connections.size, ...admitted };
    this.#logger.error(fields, 'connection could not be accepted, serving those there are');
  }

  #refuse(socket: Socket, limit: ConnectionLimit): void {
    const peer = peerOf(socket);
    socket.on('error', () => {});
    socket.destroy();
    this.#metrics.clientConnectionsRefused.inc(limit);
    const admitted = this.#limitLog.admit();
    if (admitted === undefined) return;
    const fields = { peer, limit, connections: this.#connections.size, ...admitted };
    this.#logger.warn(fields, 'too many client connections, connection closed');
  }

  #accept(socket: Socket): void {
    const limit = this.#limits.admit(socket.remoteAddress ?? '');
    if (limit !== undefined) {
      this.#refuse(socket, limit);
      return;
    }
    this.#connections.add(new ClientConnection(socket, this.#relay, this.#batch, this.#options, this));
    this.#metrics.clientConnections.value = this.#connections.size;
  }

  #checkPressing(): void {
    const now = performance.now();
    for (const connection of [...this.#pressing]) {
      if (connection.isFrameOverdue(now - this.#options.frameTimeoutMs)) connection.close('frame_timeout');
      else if (connection.isStalled(now - this.#options.writeTimeoutMs)) connection.close('slow_reader');
    }
  }
}
