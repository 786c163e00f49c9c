import type { Socket } from 'node:net';
import { FrameDecoder } from '../wire/frame-decoder.ts';
import { formatHostPort } from '../wire/host-port.ts';
import { MalformedFrameError } from '../wire/malformed-frame.ts';
import { requestFrameLength } from '../wire/request-frame.ts';
import type { RelayClient, RequestRelay } from './request-relay.ts';
import type { Flushable, TurnBatch } from './turn-batch.ts';

export interface ClientLimits {
  readonly maxRequestBytes: number;
  /** Queries in flight above which nothing more is read; at twice as many, those read already are answered "not now". */
  readonly maxInFlight: number;
  /** Bytes that a client may leave unread before it is cut off; from a quarter of that on its requests are not read. */
  readonly maxQueuedBytes: number;
  /** Idle time after which the connection ends, ms; 0 is never. */
  readonly idleTimeoutMs: number;
}

/** Why a client's connection ended: fixed words, fit to be a metric's label. */
export type ClosedReason =
  | 'client_closed'
  | 'error'
  | 'malformed'
  | 'slow_reader'
  | 'frame_timeout'
  | 'idle_timeout'
  | 'shutdown';

/** Who is told of a connection's life. */
export interface ConnectionOwner {
  onMalformed(connection: ClientConnection, error: MalformedFrameError): void;
  /** It has something that must be done in time, or has no longer: a frame to finish, answers to take. */
  onPressing(connection: ClientConnection, isPressing: boolean): void;
  onClosed(connection: ClientConnection, reason: ClosedReason): void;
}

/**
 * One client's connection: bytes in, requests to the relay, answers out, batched. A connection that behaves is never
 * closed from this side while it is in use; everything that ends it goes through `close`.
 */
export class ClientConnection implements RelayClient, Flushable {
  /** The client's address, for the log. */
  readonly peer: string;
  /** The client's host alone; '' where it had gone before it was looked at. */
  readonly host: string;
  readonly #socket: Socket;
  readonly #relay: RequestRelay;
  readonly #batch: TurnBatch;
  readonly #limits: ClientLimits;
  readonly #owner: ConnectionOwner;
  readonly #decoder: FrameDecoder;
  /** Since when an unfinished frame has waited for its rest (ms, `performance.now`); 0 for none. */
  #partialSince = 0;
  /** Since when answers have waited for the client without a byte being taken; 0 for none. */
  #stalledSince = 0;
  /** Bytes that the kernel had taken by then. */
  #takenThen = 0;
  #isPressing = false;
  #out: Buffer[] = [];
  #inBatch = false;
  #inFlight = 0;
  #open = true;
  #paused = false;
  /** Nothing more is taken; it ends when what is in flight has been answered. */
  #ending: ClosedReason | undefined;

  constructor(socket: Socket, relay: RequestRelay, batch: TurnBatch, limits: ClientLimits, owner: ConnectionOwner) {
    this.peer = peerOf(socket);
    this.host = socket.remoteAddress ?? '';
    this.#socket = socket;
    this.#relay = relay;
    this.#batch = batch;
    this.#limits = limits;
    this.#owner = owner;
    this.#decoder = new FrameDecoder(requestFrameLength, limits.maxRequestBytes, (frame) => this.#onFrame(frame));
    if (limits.idleTimeoutMs > 0) socket.setTimeout(limits.idleTimeoutMs);
    socket.on('timeout', () => this.#onIdle());
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('drain', () => this.#onDrain());
    // A client may close its half early and still wait for what it asked.
    socket.on('end', () => this.endWhenIdle('client_closed'));
    socket.on('error', () => this.close('error'));
    socket.on('close', () => this.close('client_closed'));
  }

  /** Queries in flight for this client. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Whether the frame that has begun should have been whole by now; never while it is this side that doesn't read. */
  isFrameOverdue(beganBefore: number): boolean {
    return this.#partialSince > 0 && this.#partialSince < beganBefore && !this.#paused;
  }

  /** Whether answers wait that the client has taken nothing of since before `before` (ms). */
  isStalled(before: number): boolean {
    if (this.#stalledSince === 0) return false;
    const taken = this.#taken();
    if (taken !== this.#takenThen) {
      this.#takenThen = taken;
      this.#stalledSince = performance.now();
    }
    return this.#stalledSince < before;
  }

  /** @see RelayClient */
  get overloaded(): boolean {
    return this.#inFlight > 2 * this.#limits.maxInFlight;
  }

  /** @see RelayClient */
  queryBegun(): void {
    this.#inFlight++;
    if (this.#inFlight >= this.#limits.maxInFlight) this.#pause();
  }

  /** @see Asker */
  queryDone(): void {
    this.#inFlight--;
    if (this.#paused) this.#mayResume();
    if (this.#inFlight === 0 && this.#ending !== undefined && !this.#inBatch) this.#end();
  }

  /** @see Asker */
  send(frame: Buffer, rest: readonly Buffer[]): void {
    if (!this.#open) return;
    this.#out.push(frame);
    for (const piece of rest) this.#out.push(piece);
    if (this.#inBatch) return;
    this.#inBatch = true;
    this.#batch.add(this);
  }

  /** @see Flushable */
  flush(): void {
    this.#inBatch = false;
    if (!this.#open) return;
    const out = this.#out;
    this.#out = [];
    if (out.length === 1) {
      this.#socket.write(out[0] as Buffer);
    } else {
      this.#socket.cork();
      for (const frame of out) this.#socket.write(frame);
      this.#socket.uncork();
    }
    const queued = this.#socket.writableLength;
    if (queued > this.#limits.maxQueuedBytes) {
      this.close('slow_reader');
      return;
    }
    if (queued > this.#limits.maxQueuedBytes / 4) this.#pause();
    if (queued > 0 && this.#stalledSince === 0) {
      this.#stalledSince = performance.now();
      this.#takenThen = this.#taken();
      this.#tellPressing();
    }
    if (this.#inFlight === 0 && this.#ending !== undefined) this.#end();
  }

  /** Takes no more requests, and closes when those in flight have been answered. */
  endWhenIdle(reason: ClosedReason): void {
    this.#ending ??= reason;
    if (this.#inFlight === 0 && !this.#inBatch) this.#end();
  }

  /** The one door out, at once. Later calls do nothing. */
  close(reason: ClosedReason): void {
    if (!this.#open) return;
    this.#open = false;
    this.#out = [];
    this.#socket.destroy();
    this.#partialSince = 0;
    this.#stalledSince = 0;
    this.#tellPressing();
    this.#owner.onClosed(this, reason);
  }

  /** Who waits for an answer is not idle; the time begins anew with that answer. */
  #onIdle(): void {
    if (this.#inFlight === 0) this.endWhenIdle('idle_timeout');
  }

  #onData(chunk: Buffer): void {
    if (!this.#open || this.#ending !== undefined) return;
    try {
      this.#decoder.push(chunk);
    } catch (error) {
      if (!(error instanceof MalformedFrameError)) throw error;
      this.#owner.onMalformed(this, error);
      this.close('malformed');
      return;
    }
    this.#setPartial(this.#decoder.pendingBytes > 0);
  }

  #onFrame(frame: Buffer): boolean {
    // The next frame has its own time.
    if (this.#partialSince > 0) this.#partialSince = performance.now();
    this.#relay.handle(this, frame);
    return this.#open;
  }

  #setPartial(isPartial: boolean): void {
    if (isPartial === this.#partialSince > 0) return;
    this.#partialSince = isPartial ? performance.now() : 0;
    this.#tellPressing();
  }

  #onDrain(): void {
    this.#stalledSince = 0;
    this.#tellPressing();
    this.#mayResume();
  }

  /** Bytes that the kernel has taken of what was written. */
  #taken(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength;
  }

  #tellPressing(): void {
    const isPressing = this.#partialSince > 0 || this.#stalledSince > 0;
    if (isPressing === this.#isPressing) return;
    this.#isPressing = isPressing;
    this.#owner.onPressing(this, isPressing);
  }

  #pause(): void {
    if (this.#paused || !this.#open) return;
    this.#paused = true;
    this.#socket.pause();
  }

  #mayResume(): void {
    if (!this.#paused || !this.#open) return;
    const isBusy = this.#inFlight > this.#limits.maxInFlight / 2;
    if (isBusy || this.#socket.writableLength > this.#limits.maxQueuedBytes / 8) return;
    this.#paused = false;
    if (this.#partialSince > 0) this.#partialSince = performance.now();
    this.#socket.resume();
  }

  /** Lets what is written leave, then closes. */
  #end(): void {
    if (!this.#open) return;
    const reason = this.#ending ?? 'client_closed';
    this.#socket.end(() => this.close(reason));
  }
}

/** The other end's address, for the log. */
export function peerOf(socket: Socket): string {
  const { remoteAddress: host, remotePort: port } = socket;
  return host === undefined || port === undefined ? '?' : formatHostPort({ host, port });
}
