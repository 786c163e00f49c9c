import { FrameDecoder, type FrameLength } from '../../src/wire/frame-decoder.ts';
import { MalformedFrameError } from '../../src/wire/malformed-frame.ts';
import type { Mutator } from './mutate.ts';
import { must, mustEqual, type Outcome } from './oracle.ts';
import type { Random } from './random.ts';

/** A stream of bytes, one frame of which is broken, and the places where it is cut into chunks. */
export interface Stream {
  readonly bytes: Buffer;
  /** Ascending; none for one chunk. */
  readonly cuts: readonly number[];
}

/** Everything seen while a stream was decoded; two decodings of one stream must give equal traces. */
export type Trace = (string | number | boolean | undefined)[];

/** Reads one frame into the trace; throws `MalformedFrameError` where it is refused. */
export type FrameReader = (frame: Buffer, rest: readonly Buffer[], trace: Trace) => void;

export interface DecodedStream {
  readonly trace: Trace;
  readonly outcome: Outcome;
}

/** Now and then with whole frames before and behind it, and in chunks. */
export function generateStream(mutator: Mutator, random: Random): Stream {
  const frames = [mutator.mutated(random)];
  if (random.oneIn(6)) frames.unshift(mutator.valid(random));
  if (random.oneIn(6)) frames.push(mutator.valid(random));
  const bytes = frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames);
  return { bytes, cuts: random.oneIn(2) ? [] : generateCuts(bytes.length, random) };
}

function generateCuts(length: number, random: Random): number[] {
  if (length < 256 && random.oneIn(16)) return Array.from({ length }, (_, at) => at);
  const cuts = Array.from({ length: random.between(1, 6) }, () => random.below(length + 1));
  // The heads of frames are where a cut matters most.
  if (random.oneIn(2)) cuts.push(Math.min(length, random.below(24)));
  return cuts.sort((a, b) => a - b);
}

/** The chunks of a stream: views of it. */
export function chunksOf({ bytes, cuts }: Stream): Buffer[] {
  return [...cuts, bytes.length].map((cut, i) => bytes.subarray(cuts[i - 1] ?? 0, cut));
}

/**
 * Decodes chunks, and holds the decoder to its word: frames come in their order and leave nothing out, what is left
 * over is held, and nothing but a `MalformedFrameError` is thrown.
 */
export function decodeChunks(
  chunks: readonly Buffer[],
  stream: Buffer,
  decoderOf: (sink: (frame: Buffer, rest: readonly Buffer[]) => boolean) => FrameDecoder,
  read: FrameReader,
): DecodedStream {
  const trace: Trace = [];
  let at = 0;
  const decoder = decoderOf((frame, rest) => {
    for (const piece of [frame, ...rest]) {
      must(piece.equals(stream.subarray(at, at + piece.length)), 'a frame is not what stands in the stream');
      at += piece.length;
    }
    trace.push(at);
    read(frame, rest, trace);
    return true;
  });
  try {
    for (const chunk of chunks) decoder.push(chunk);
  } catch (error) {
    if (!(error instanceof MalformedFrameError)) throw error;
    must(at <= stream.length, 'more was taken than there is');
    trace.push(error.reason, error.message);
    return { trace, outcome: error.reason };
  }
  mustEqual(at + decoder.pendingBytes, stream.length, 'bytes taken and held');
  trace.push('held', decoder.pendingBytes);
  return { trace, outcome: decoder.pendingBytes > 0 ? 'incomplete' : 'accepted' };
}

/** `decodeChunks`'s way to make decoders of one kind. */
export function decoders(frameLength: FrameLength, maxFrameBytes: number, piecesFrom?: number) {
  return (sink: (frame: Buffer, rest: readonly Buffer[]) => boolean): FrameDecoder =>
    new FrameDecoder(frameLength, maxFrameBytes, sink, piecesFrom);
}

/** Throws a `Violation` unless two decodings have given the same. */
export function mustTraceEqual(actual: Trace, expected: Trace, what: string): void {
  if (!isSameTrace(actual, expected)) mustEqual(actual, expected, what);
}

export function isSameTrace(a: Trace, b: Trace): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
