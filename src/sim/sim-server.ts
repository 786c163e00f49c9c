import { createServer, type Server, type Socket } from 'node:net';
import { FrameDecoder } from '../wire/frame-decoder.ts';
import { MalformedFrameError } from '../wire/malformed-frame.ts';
import { isQueryCfg, readTableName } from '../wire/query-cfg.ts';
import { RequestHead, requestFrameLength } from '../wire/request-frame.ts';
import type { Answer } from './answer.ts';
import { AnswerGate } from './answer-gate.ts';
import { type Faults, NO_FAULTS } from './faults.ts';
import { AnswerSlab, SimConnection } from './sim-connection.ts';

const MAX_REQUEST_BYTES = 64 * 1024 * 1024;
const DEFAULT_RECORD_LIMIT = 1024;

export interface SimServerOptions {
  /** Any loopback address; 127.0.0.1 unless told. */
  readonly host?: string;
  /** 0, the default, takes a free one. */
  readonly port?: number;
  /** How many of the last requests `received` keeps; 1024 unless told, 0 for benchmarks. */
  readonly recordLimit?: number;
}

/**
 * A THFT server on a loopback socket: it cuts requests out of the stream, asks `answer` what to say, records, counts,
 * and does wrong what its faults tell it to. What kind of server it is, a subclass says.
 */
export abstract class SimServer {
  /** The last requests, whole frames exactly as they came, oldest first. */
  readonly received: Buffer[] = [];
  /** Called with each request before it is answered. */
  onRequest: ((frame: Buffer) => void) | undefined;
  readonly #host: string;
  readonly #recordLimit: number;
  readonly #connections = new Set<SimConnection>();
  readonly #slab = new AnswerSlab();
  readonly #gate = new AnswerGate();
  readonly #waiters = new Set<() => void>();
  readonly #head = new RequestHead();
  #port: number;
  #listener: Server | undefined;
  #faults = NO_FAULTS;
  #timesLeft = Number.POSITIVE_INFINITY;
  #requests = 0;
  #accepted = 0;

  constructor(options: SimServerOptions = {}) {
    this.#host = options.host ?? '127.0.0.1';
    this.#port = options.port ?? 0;
    this.#recordLimit = options.recordLimit ?? DEFAULT_RECORD_LIMIT;
  }

  /** What to answer to a whole request; undefined for nothing. Throws `MalformedFrameError` to hang up. */
  protected abstract answer(frame: Buffer, head: RequestHead, faults: Faults): Answer | undefined;

  /** "host:port"; the port is known once it listens. */
  get address(): string {
    return `${this.#host}:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  /** Requests since the start, or since `clearReceived()`. */
  get requestCount(): number {
    return this.#requests;
  }

  /** Connections open now. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Connections accepted since the start. */
  get connectionsAccepted(): number {
    return this.#accepted;
  }

  /** Answers that `hold` keeps. */
  get heldCount(): number {
    return this.#gate.heldCount;
  }

  /** Starts to listen; after `refuse()`, on the same port again. */
  async listen(): Promise<void> {
    const listener = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject);
      listener.listen(this.#port, this.#host, () => resolve());
    });
    this.#listener = listener;
    const address = listener.address();
    if (address !== null && typeof address === 'object') this.#port = address.port;
  }

  /** Closes the listener, so that connects are refused, and resets the open connections. `listen()` undoes it. */
  async refuse(): Promise<void> {
    const listener = this.#listener;
    this.#listener = undefined;
    const closed = new Promise<void>((resolve) =>
      listener === undefined ? resolve() : listener.close(() => resolve()),
    );
    this.resetConnections();
    await closed;
  }

  /** Ends the server: listener, connections, all that waits. */
  async stop(): Promise<void> {
    this.#gate.clear();
    await this.refuse();
  }

  resetConnections(): void {
    for (const connection of this.#connections) connection.reset();
  }

  /** Ends every open connection in good order (FIN). */
  endConnections(): void {
    for (const connection of this.#connections) connection.socket.destroySoon();
  }

  /** Replaces all faults. Answers already held stay held. */
  setFaults(faults: Faults): void {
    this.#faults = faults;
    this.#timesLeft = faults.times ?? Number.POSITIVE_INFINITY;
    for (const { socket } of this.#connections) {
      if (faults.freezeReading === true) socket.pause();
      else socket.resume();
    }
  }

  /** Back to good behaviour; held answers go out. */
  clearFaults(): void {
    this.setFaults(NO_FAULTS);
    this.release();
  }

  /** Sends held answers, all unless `count` is given, oldest first unless `reversed`; returns how many. */
  release(count = Number.POSITIVE_INFINITY, options: { readonly reversed?: boolean } = {}): number {
    return this.#gate.release(Math.min(count, this.#gate.heldCount), options.reversed ?? false);
  }

  clearReceived(): void {
    this.received.length = 0;
    this.#requests = 0;
  }

  /** Resolves once so many requests have come (see `requestCount`). */
  waitForRequests(count: number): Promise<void> {
    return this.waitUntil(() => this.#requests >= count);
  }

  /** Resolves once so many answers are held. */
  waitForHeld(count: number): Promise<void> {
    return this.waitUntil(() => this.#gate.heldCount >= count);
  }

  /** Resolves once exactly so many connections are open. */
  waitForConnections(count: number): Promise<void> {
    return this.waitUntil(() => this.#connections.size === count);
  }

  /** Resolves once this holds; looked at after each request, connect and close. */
  waitUntil(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!holds()) return;
        this.#waiters.delete(look);
        resolve();
      };
      this.#waiters.add(look);
      look();
    });
  }

  #accept(socket: Socket): void {
    const connection = new SimConnection(socket, this.#slab);
    this.#connections.add(connection);
    this.#accepted++;
    const decoder = new FrameDecoder(requestFrameLength, MAX_REQUEST_BYTES, (frame) => this.#take(connection, frame));
    socket.on('data', (chunk) => this.#read(connection, decoder, chunk));
    if (this.#faults.freezeReading === true) socket.pause();
    // A peer's reset is its own affair; 'close' follows in any case.
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#connections.delete(connection);
      this.#changed();
    });
    this.#changed();
  }

  #read(connection: SimConnection, decoder: FrameDecoder, chunk: Buffer): void {
    try {
      decoder.push(chunk);
      connection.flush();
    } catch (error) {
      if (!(error instanceof MalformedFrameError)) throw error;
      // A server never answers a malformed frame; it closes the connection.
      connection.flush();
      connection.socket.destroySoon();
    }
    if (this.#waiters.size > 0) this.#changed();
  }

  #take(connection: SimConnection, frame: Buffer): boolean {
    const head = this.#head;
    head.read(frame);
    this.#record(frame);
    const faults = this.#faults === NO_FAULTS ? NO_FAULTS : this.#faultsFor(frame, head);
    if (faults.resetOnRequest === true) {
      connection.reset();
      return false;
    }
    const answer = faults.stall === true ? undefined : this.answer(frame, head, faults);
    if (answer === undefined) return true;
    if (faults === NO_FAULTS) connection.add(answer, head.seqId);
    else this.#gate.pass(connection, answer, head.seqId, faults);
    return true;
  }

  #record(frame: Buffer): void {
    this.#requests++;
    if (this.#recordLimit > 0) {
      if (this.received.length === this.#recordLimit) this.received.shift();
      this.received.push(frame);
    }
    this.onRequest?.(frame);
  }

  #faultsFor(frame: Buffer, head: RequestHead): Faults {
    const { table } = this.#faults;
    if (table !== undefined && !(isQueryCfg(frame, head) && readTableName(frame, head) === table)) return NO_FAULTS;
    if (this.#timesLeft <= 0) return NO_FAULTS;
    this.#timesLeft--;
    return this.#faults;
  }

  #changed(): void {
    for (const look of this.#waiters) look();
  }
}
