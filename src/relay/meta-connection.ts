import type { Socket } from 'node:net';
import { FrameDecoder } from '../wire/frame-decoder.ts';
import { MalformedFrameError } from '../wire/malformed-frame.ts';
import { ResponseHead, responseFrameLength } from '../wire/response-frame.ts';
import { InFlightRequests } from './in-flight-requests.ts';
import type { AskedMeta, PendingQuery } from './pending-query.ts';
import type { Flushable, TurnBatch } from './turn-batch.ts';

/** A response of at least so many bytes is passed on in the pieces that it came in, without being put together. */
const PIECES_FROM = 32 * 1024;

/** Queries are copied into slabs of this size; one write takes what has gathered in it. */
const SLAB_BYTES = 64 * 1024;
const NO_SLAB = Buffer.alloc(0);

export interface MetaConnectionLimits {
  /** Queries unanswered at a time. */
  readonly maxInFlight: number;
  readonly maxResponseBytes: number;
}

/** The connection's end, told once: why, and whose queries were lost with it. */
export type MetaConnectionClosed = (reason: string, lost: PendingQuery[]) => void;

// Read synchronously, one frame at a time, so one of these serves all connections.
const response: { frame: Buffer; rest: readonly Buffer[]; head: ResponseHead } = {
  frame: NO_SLAB,
  rest: [],
  head: new ResponseHead(),
};

/**
 * One open socket to a MetaServer, shared by all clients: it lives exactly as long as that socket. Queries go out under
 * seqIds of its own, pipelined; answers come back in any order. Everything that ends it goes through `close`.
 */
export class MetaConnection implements Flushable {
  readonly #meta: AskedMeta;
  readonly #socket: Socket;
  readonly #batch: TurnBatch;
  readonly #onClosed: MetaConnectionClosed;
  readonly #onLateAnswer: () => void;
  readonly #inFlight: InFlightRequests<PendingQuery>;
  readonly #decoder: FrameDecoder;
  #slab = NO_SLAB;
  #slabStart = 0;
  #slabEnd = 0;
  #inBatch = false;
  #open = true;
  /** When a byte last came in, or the first of the unanswered queries went out: ms on `performance.now`'s clock. */
  #quietSince = 0;

  constructor(
    meta: AskedMeta,
    socket: Socket,
    batch: TurnBatch,
    limits: MetaConnectionLimits,
    onClosed: MetaConnectionClosed,
    onLateAnswer: () => void,
  ) {
    this.#meta = meta;
    this.#socket = socket;
    this.#batch = batch;
    this.#onClosed = onClosed;
    this.#onLateAnswer = onLateAnswer;
    this.#inFlight = new InFlightRequests(limits.maxInFlight);
    const { maxResponseBytes } = limits;
    const sink = (frame: Buffer, rest: readonly Buffer[]) => this.#onFrame(frame, rest);
    this.#decoder = new FrameDecoder(responseFrameLength, maxResponseBytes, sink, PIECES_FROM);
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('error', (error: NodeJS.ErrnoException) => this.close(error.code ?? 'error'));
    socket.on('close', () => this.close('closed_by_meta'));
  }

  /** The other end's address; '' once it is closed. */
  get remoteAddress(): string {
    return this.#socket.remoteAddress ?? '';
  }

  /** For how long (ms) queries have waited here without a byte coming in; 0 while none waits. */
  silentFor(now: number): number {
    return this.#inFlight.size === 0 ? 0 : now - this.#quietSince;
  }

  /** Queries sent whose answers have not come. */
  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** Sends a query at the end of this turn; false, and nothing is done, where as many as may be are unanswered. */
  send(query: PendingQuery, now: number): boolean {
    if (!this.#open || this.#inFlight.full) return false;
    if (this.#inFlight.size === 0) this.#quietSince = now;
    const length = query.frame.length;
    if (this.#slabEnd + length > this.#slab.length) this.#newSlab(length);
    const at = this.#slabEnd;
    query.frame.copy(this.#slab, at);
    this.#slab.writeInt32BE(this.#inFlight.add(query, now), at + query.seqIdOffset);
    this.#slabEnd = at + length;
    if (!this.#inBatch) {
      this.#inBatch = true;
      this.#batch.add(this);
    }
    return true;
  }

  /** @see Flushable */
  flush(): void {
    this.#inBatch = false;
    this.#write();
  }

  #write(): void {
    if (!this.#open || this.#slabEnd === this.#slabStart) return;
    // The socket may hold on to these bytes for as long as it likes: this part of the slab is never written again.
    this.#socket.write(this.#slab.subarray(this.#slabStart, this.#slabEnd));
    this.#slabStart = this.#slabEnd;
  }

  /** Forgets queries that were sent before `sentBefore` (ms): they have been settled long since, some other way. */
  forgetOlderThan(sentBefore: number): void {
    if (this.#inFlight.size > 0) this.#inFlight.expire(sentBefore);
  }

  /** The one door out: ends the socket and hands back the queries that were not answered. Later calls do nothing. */
  close(reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.#socket.destroy();
    this.#onClosed(reason, this.#inFlight.drain());
  }

  #newSlab(atLeast: number): void {
    this.#write();
    this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, atLeast));
    this.#slabStart = 0;
    this.#slabEnd = 0;
  }

  #onData(chunk: Buffer): void {
    if (!this.#open) return;
    this.#quietSince = performance.now();
    try {
      this.#decoder.push(chunk);
    } catch (error) {
      if (!(error instanceof MalformedFrameError)) throw error;
      this.close(`malformed_${error.reason}`);
    }
  }

  #onFrame(frame: Buffer, rest: readonly Buffer[]): boolean {
    response.frame = frame;
    response.rest = rest;
    response.head.read(frame);
    const query = this.#inFlight.settle(response.head.seqId);
    if (query === undefined || query.done || query.carrier === undefined) this.#onLateAnswer();
    else query.carrier.onAnswer(query, this.#meta, response);
    return this.#open;
  }
}
