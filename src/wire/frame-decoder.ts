import { MalformedFrameError } from './malformed-frame.ts';

/**
 * How long the frame is that starts at `start`, given that the bytes up to `end` have come: its whole length, or 0
 * while too little of its head is there. Throws `MalformedFrameError` for a head that no frame has.
 */
export type FrameLength = (bytes: Buffer, start: number, end: number) => number;

/** Takes one whole frame; false stops the decoder for good (its connection has been closed). */
export type FrameSink = (frame: Buffer) => boolean;

/** A split frame's buffer starts at this size at most: the length that a peer claims is no reason to allocate it. */
const FIRST_ALLOCATION = 64 * 1024;
const NO_BYTES = Buffer.alloc(0);

/**
 * Cuts a byte stream into frames: chunks in, whole frames out, however the chunks are split. Requests and responses
 * differ only in their `FrameLength` rule.
 *
 * A frame that lies within one chunk goes out as a view of it, without a copy. Only a frame that is split over chunks
 * is put together in a buffer of its own, each byte copied once; that buffer grows with the bytes that have really come.
 */
export class FrameDecoder {
  readonly #frameLength: FrameLength;
  readonly #maxFrameBytes: number;
  readonly #sink: FrameSink;
  #pending: Buffer = NO_BYTES;
  #pendingBytes = 0;
  #pendingLength = 0;
  #stopped = false;

  constructor(frameLength: FrameLength, maxFrameBytes: number, sink: FrameSink) {
    this.#frameLength = frameLength;
    this.#maxFrameBytes = maxFrameBytes;
    this.#sink = sink;
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
        this.#begin(chunk, at, length);
        return;
      }
      this.#emit(at === 0 && length === chunk.length ? chunk : chunk.subarray(at, at + length));
      at += length;
    }
  }

  /** Adds to the frame that has begun; returns how much of the chunk it took. */
  #continue(chunk: Buffer): number {
    let at = 0;
    while (this.#pendingLength === 0) {
      // The head comes first, byte by byte: it is short, and rarely split.
      if (at === chunk.length) return at;
      this.#append(chunk, at, at + 1);
      at++;
      this.#pendingLength = this.#lengthAt(this.#pending, 0, this.#pendingBytes);
    }
    const end = Math.min(chunk.length, at + this.#pendingLength - this.#pendingBytes);
    this.#append(chunk, at, end);
    if (this.#pendingBytes === this.#pendingLength) {
      const frame = this.#pending.subarray(0, this.#pendingLength);
      this.#pending = NO_BYTES;
      this.#pendingBytes = 0;
      this.#pendingLength = 0;
      this.#emit(frame);
    }
    return end;
  }

  #begin(chunk: Buffer, at: number, length: number): void {
    this.#pendingLength = length;
    this.#append(chunk, at, chunk.length);
  }

  #append(chunk: Buffer, start: number, end: number): void {
    const needed = this.#pendingBytes + end - start;
    if (needed > this.#pending.length) {
      const wanted = Math.max(
        needed,
        Math.min(this.#pendingLength, Math.max(FIRST_ALLOCATION, 2 * this.#pending.length)),
      );
      const grown = Buffer.allocUnsafe(Math.max(wanted, 64));
      this.#pending.copy(grown, 0, 0, this.#pendingBytes);
      this.#pending = grown;
    }
    chunk.copy(this.#pending, this.#pendingBytes, start, end);
    this.#pendingBytes = needed;
  }

  #lengthAt(bytes: Buffer, start: number, end: number): number {
    const length = this.#frameLength(bytes, start, end);
    if (length > this.#maxFrameBytes) {
      throw new MalformedFrameError('too_long', `a frame of ${length} bytes, ${this.#maxFrameBytes} are allowed`);
    }
    return length;
  }

  #emit(frame: Buffer): void {
    if (!this.#sink(frame)) this.#stopped = true;
  }
}
