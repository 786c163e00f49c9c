import { MalformedFrameError } from './malformed-frame.ts';

/**
 * How long the frame is that starts at `start`, given that the bytes up to `end` have come: its whole length, or 0
 * while too little of its head is there. Throws `MalformedFrameError` for a head that no frame has.
 */
export type FrameLength = (bytes: Buffer, start: number, end: number) => number;

/**
 * Takes one whole frame; false stops the decoder for good (its connection has been closed). `rest` is empty but for a
 * large frame of a decoder that is told to leave those in pieces: there `frame` is its beginning, of `HEAD_BYTES` at
 * least, and `rest` what follows.
 */
export type FrameSink = (frame: Buffer, rest: readonly Buffer[]) => boolean;

/** What is surely in one piece of a frame left in pieces: more than enough for whatever is read of a response. */
export const HEAD_BYTES = 512;

/** A split frame's buffer starts at this size at most: the length that a peer claims is no reason to allocate it. */
const FIRST_ALLOCATION = 64 * 1024;
const NO_BYTES = Buffer.alloc(0);
const NO_REST: readonly Buffer[] = [];

/**
 * Cuts a byte stream into frames: chunks in, whole frames out, however the chunks are split. Requests and responses
 * differ only in their `FrameLength` rule.
 *
 * A frame that lies within one chunk goes out as a view of it, without a copy. One that is split over chunks is put
 * together in a buffer of its own, which grows with the bytes that have really come; or, if it is at least `piecesFrom`
 * bytes long, it is not put together at all but goes out as the views of its chunks.
 */
export class FrameDecoder {
  readonly #frameLength: FrameLength;
  readonly #maxFrameBytes: number;
  readonly #sink: FrameSink;
  readonly #piecesFrom: number;
  /** The bytes that were copied of the frame that has begun. */
  #copied: Buffer = NO_BYTES;
  #copiedBytes = 0;
  #pieces: Buffer[] = [];
  /** Of the frame that has begun: bytes that have come, and its length (0: not known yet). */
  #pendingBytes = 0;
  #pendingLength = 0;
  #stopped = false;

  constructor(
    frameLength: FrameLength,
    maxFrameBytes: number,
    sink: FrameSink,
    piecesFrom: number = Number.POSITIVE_INFINITY,
  ) {
    this.#frameLength = frameLength;
    this.#maxFrameBytes = maxFrameBytes;
    this.#sink = sink;
    this.#piecesFrom = Math.max(piecesFrom, HEAD_BYTES);
  }

  /** Bytes held of a frame that has begun and isn't whole; 0 between frames. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Takes the next bytes of the stream. Throws `MalformedFrameError`, after which the stream can't be read on. */
  push(chunk: Buffer): void {
    let at = this.#pendingBytes > 0 ? this.#continue(chunk) : 0;
    while (at < chunk.length && !this.#stopped) {
      const length = this.#lengthAt(chunk, at, chunk.length);
      if (length === 0 || at + length > chunk.length) {
        this.#pendingLength = length;
        this.#hold(chunk, at, chunk.length);
        return;
      }
      this.#emit(at === 0 && length === chunk.length ? chunk : chunk.subarray(at, at + length), NO_REST);
      at += length;
    }
  }

  /** Adds to the frame that has begun; returns how much of the chunk it took. */
  #continue(chunk: Buffer): number {
    let at = 0;
    while (this.#pendingLength === 0) {
      // The head comes first, byte by byte: it is short, and rarely split.
      if (at === chunk.length) return at;
      this.#copy(chunk, at, at + 1);
      at++;
      this.#pendingLength = this.#lengthAt(this.#copied, 0, this.#copiedBytes);
    }
    const end = Math.min(chunk.length, at + this.#pendingLength - this.#pendingBytes);
    this.#hold(chunk, at, end);
    if (this.#pendingBytes === this.#pendingLength) this.#finish();
    return end;
  }

  #hold(chunk: Buffer, start: number, end: number): void {
    if (this.#pendingLength < this.#piecesFrom) {
      this.#copy(chunk, start, end);
      return;
    }
    let at = start;
    if (this.#pieces.length === 0 && (this.#copiedBytes > 0 || end - start < HEAD_BYTES)) {
      // Too short for a first piece: the head is put together, what comes behind it is not.
      at = Math.min(end, start + HEAD_BYTES - this.#copiedBytes);
      this.#copy(chunk, start, at);
      if (this.#copiedBytes === HEAD_BYTES) this.#pieces.push(this.#copied.subarray(0, HEAD_BYTES));
    }
    if (at === end) return;
    this.#pieces.push(chunk.subarray(at, end));
    this.#pendingBytes += end - at;
  }

  #copy(chunk: Buffer, start: number, end: number): void {
    const needed = this.#copiedBytes + end - start;
    if (needed > this.#copied.length) {
      const room = Math.max(FIRST_ALLOCATION, 2 * this.#copied.length);
      const wanted = Math.max(needed, Math.min(this.#pendingLength, this.#pendingLength < this.#piecesFrom ? room : 0));
      const grown = Buffer.allocUnsafe(Math.max(wanted, HEAD_BYTES));
      this.#copied.copy(grown, 0, 0, this.#copiedBytes);
      this.#copied = grown;
    }
    chunk.copy(this.#copied, this.#copiedBytes, start, end);
    this.#copiedBytes = needed;
    this.#pendingBytes += end - start;
  }

  #finish(): void {
    const frame = this.#pieces[0] ?? this.#copied.subarray(0, this.#copiedBytes);
    const rest = this.#pieces.length > 1 ? this.#pieces.slice(1) : NO_REST;
    this.#copied = NO_BYTES;
    this.#copiedBytes = 0;
    this.#pieces = [];
    this.#pendingBytes = 0;
    this.#pendingLength = 0;
    this.#emit(frame, rest);
  }

  #lengthAt(bytes: Buffer, start: number, end: number): number {
    const length = this.#frameLength(bytes, start, end);
    if (length > this.#maxFrameBytes) {
      throw new MalformedFrameError('too_long', `a frame of ${length} bytes, ${this.#maxFrameBytes} are allowed`);
    }
    return length;
  }

  #emit(frame: Buffer, rest: readonly Buffer[]): void {
    if (!this.#sink(frame, rest)) this.#stopped = true;
  }
}
