import { HEAD_BYTES } from '../../../src/wire/frame-decoder.ts';
import { parseHostPort } from '../../../src/wire/host-port.ts';
import { MalformedFrameError } from '../../../src/wire/malformed-frame.ts';
import { answerKind, readBodyError, readForwardAddress } from '../../../src/wire/query-cfg.ts';
import { ResponseHead, responseFrameLength } from '../../../src/wire/response-frame.ts';
import { responseVectors } from '../../support/vectors.ts';
import { Mutator, repairResponse } from '../mutate.ts';
import { type Case, must, mustEqual, type Outcome } from '../oracle.ts';
import type { Random } from '../random.ts';
import {
  chunksOf,
  decodeChunks,
  decoders,
  generateStream,
  isSameTrace,
  mustTraceEqual,
  type Stream,
  type Trace,
} from '../streams.ts';
import { ones, zeros } from '../surroundings.ts';

const MAX_RESPONSE_BYTES = 1024 * 1024;
const MOVED = 'the head is another one under another seqId';

export const responseMutator = new Mutator(
  responseVectors.map(({ frame }) => frame),
  repairResponse,
);
const responseDecoder = decoders(responseFrameLength, MAX_RESPONSE_BYTES);
const head = new ResponseHead();
const again = new ResponseHead();

/** What the proxy does with a MetaServer's bytes: cut frames, read the head, peek at the error and the redirect. */
export function generateResponses(random: Random): Case {
  const stream = generateStream(responseMutator, random);
  const piecesFrom = random.pick([HEAD_BYTES, HEAD_BYTES, 600, 2048]);
  return { input: stream.bytes, check: () => checkStream(stream, piecesFrom) };
}

function checkStream(stream: Stream, piecesFrom: number): Outcome {
  const { bytes } = stream;
  const { trace, outcome } = decodeChunks([zeros.place(bytes)], bytes, responseDecoder, readAndVerify);
  const elsewhere = decodeChunks([ones.place(bytes)], bytes, responseDecoder, readResponse);
  mustTraceEqual(elsewhere.trace, trace, 'the result depends on bytes outside of the frame');
  if (stream.cuts.length > 0) {
    const chunks = ones.placeAll(chunksOf(stream));
    const chunked = decodeChunks(chunks, bytes, responseDecoder, readResponse);
    mustTraceEqual(chunked.trace, trace, 'the result depends on the chunks');
    const inPieces = decoders(responseFrameLength, MAX_RESPONSE_BYTES, piecesFrom);
    const pieces = decodeChunks(chunks, bytes, inPieces, (frame, rest, into) =>
      readPieces(frame, rest, into, piecesFrom),
    );
    if (!pieces.trace.includes(BEYOND_FIRST_PIECE))
      mustTraceEqual(pieces.trace, trace, 'the result depends on the pieces');
  }
  return outcome;
}

/** As `MetaConnection` and `Cluster` read a frame: a head that can't be read ends it all, an answer doesn't. */
function readResponse(frame: Buffer, _rest: readonly Buffer[], trace: Trace): void {
  head.read(frame);
  trace.push(head.ok, head.errorStart, head.errorEnd, head.seqId, head.seqIdOffset, head.resultOffset);
  trace.push(...attempt(() => answerKind(frame, head)));
  if (!head.ok) return;
  trace.push(...attempt(() => readBodyError(frame, head)));
  trace.push(...attempt(() => readForwardAddress(frame, head)));
}

function attempt(read: () => string | undefined): Trace {
  try {
    return [read()];
  } catch (error) {
    if (!(error instanceof MalformedFrameError)) throw error;
    return [error.reason, error.message];
  }
}

/** What a trace holds where a frame was judged by its first piece, and needed more. */
const BEYOND_FIRST_PIECE = 'beyond the first piece';

/** Of a frame left in pieces only the first is read: it must be as good as the whole, unless what is read ends behind it. */
function readPieces(frame: Buffer, rest: readonly Buffer[], trace: Trace, piecesFrom: number): void {
  if (rest.length === 0) {
    readResponse(frame, rest, trace);
    return;
  }
  const whole = Buffer.concat([frame, ...rest]);
  must(frame.length >= HEAD_BYTES, `a first piece of ${frame.length} bytes`);
  must(whole.length >= piecesFrom, `a frame of ${whole.length} bytes in pieces`);
  const ofWhole: Trace = [];
  const ofFirst: Trace = [];
  const wholeThrew = thrownBy(() => readResponse(whole, [], ofWhole));
  const firstThrew = thrownBy(() => readResponse(frame, [], ofFirst));
  if (wholeThrew === undefined && firstThrew === undefined && isSameTrace(ofFirst, ofWhole)) {
    trace.push(...ofFirst);
    return;
  }
  // The only excuse: something that is read stands (or says that it stands) beyond the first piece.
  must([...ofFirst, firstThrew].some(tellsOfAnEnd), `the first piece gives ${ofFirst}, the whole ${ofWhole}`);
  trace.push(BEYOND_FIRST_PIECE);
  if (firstThrew !== undefined) throw new MalformedFrameError('message', firstThrew);
}

function tellsOfAnEnd(value: Trace[number]): boolean {
  return typeof value === 'string' && /that are left$|^the frame ends at|^not a strict thrift reply$/.test(value);
}

function thrownBy(read: () => void): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    if (!(error instanceof MalformedFrameError)) throw error;
    return error.message;
  }
}

function readAndVerify(frame: Buffer, rest: readonly Buffer[], trace: Trace): void {
  mustEqual(frame.length, frame.readInt32BE(0), 'length of the frame');
  readResponse(frame, rest, trace);
  mustEqual(frame.readInt32BE(head.seqIdOffset), head.seqId, 'the value at seqIdOffset');
  must(head.resultOffset <= frame.length, 'the result begins behind the frame');
  verifyAddress(frame);

  // As the relay puts the client's seqId back: nothing else may change by it.
  const changed = Buffer.from(frame);
  changed.writeInt32BE(~head.seqId, head.seqIdOffset);
  again.read(changed);
  mustEqual(again.seqId, ~head.seqId, 'the other seqId');
  must(
    again.seqIdOffset === head.seqIdOffset && again.resultOffset === head.resultOffset && again.ok === head.ok,
    MOVED,
  );
}

/** Whatever a redirect says, it is followed only to something that can be dialled. */
function verifyAddress(frame: Buffer): void {
  if (!head.ok) return;
  const [address, message] = attempt(() => readForwardAddress(frame, head));
  if (message !== undefined || address === undefined) return;
  must(parseHostPort(String(address)) !== undefined, `a redirect to ${address}`);
}
