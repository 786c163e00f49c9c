import thrift from 'thrift';
import { isQueryCfg, readTableName } from '../../../src/wire/query-cfg.ts';
import { RequestHead, requestFrameLength } from '../../../src/wire/request-frame.ts';
import { requestVectors } from '../../support/vectors.ts';
import { Mutator, repairRequest } from '../mutate.ts';
import { type Case, must, mustEqual, type Outcome } from '../oracle.ts';
import type { Random } from '../random.ts';
import {
  chunksOf,
  decodeChunks,
  decoders,
  generateStream,
  mustTraceEqual,
  type Stream,
  type Trace,
} from '../streams.ts';
import { ones, zeros } from '../surroundings.ts';

/** The proxy's own default limit. */
const MAX_REQUEST_BYTES = 64 * 1024;
const MOVED = 'the head is another one under another seqId';

export const requestMutator = new Mutator(
  requestVectors.map(({ frame }) => frame),
  repairRequest,
);
const requestDecoder = decoders(requestFrameLength, MAX_REQUEST_BYTES);
const head = new RequestHead();
const again = new RequestHead();

/** What the proxy does with a client's bytes: cut frames, read the head, read the table's name. */
export function generateRequests(random: Random): Case {
  const stream = generateStream(requestMutator, random);
  return { input: stream.bytes, check: () => checkStream(stream) };
}

function checkStream(stream: Stream): Outcome {
  const { bytes } = stream;
  const { trace, outcome } = decodeChunks([zeros.place(bytes)], bytes, requestDecoder, readAndVerify);
  const elsewhere = decodeChunks([ones.place(bytes)], bytes, requestDecoder, readRequest);
  mustTraceEqual(elsewhere.trace, trace, 'the result depends on bytes outside of the frame');
  if (stream.cuts.length > 0) {
    const chunked = decodeChunks(ones.placeAll(chunksOf(stream)), bytes, requestDecoder, readRequest);
    mustTraceEqual(chunked.trace, trace, 'the result depends on the chunks');
  }
  return outcome;
}

/** As `RequestRelay.handle` reads a frame. */
export function readRequest(frame: Buffer, _rest: readonly Buffer[], trace: Trace): void {
  head.read(frame);
  trace.push(head.clientTimeoutMs, head.nameStart, head.nameEnd, head.seqId, head.seqIdOffset, head.argsOffset);
  trace.push(isQueryCfg(frame, head) ? readTableName(frame, head) : undefined);
}

function readAndVerify(frame: Buffer, rest: readonly Buffer[], trace: Trace): void {
  mustEqual(frame.length, lengthSaid(frame), 'length of the frame');
  // The head alone may be fine where the args are not.
  head.read(frame);
  verifyHead(frame);
  readRequest(frame, rest, trace);
}

function lengthSaid(frame: Buffer): number {
  return frame.readInt32BE(4) === 1 ? 16 + frame.readInt32BE(8) + frame.readInt32BE(12) : 48 + frame.readInt32BE(16);
}

/** Against the thrift library's own reading of message begin; and the seqId is replaced as the relay replaces it. */
function verifyHead(frame: Buffer): void {
  const bodyStart = frame.readInt32BE(4) === 1 ? 16 + frame.readInt32BE(8) : 48;
  const transport = new thrift.TFramedTransport(frame.subarray(bodyStart));
  const begin = new thrift.TBinaryProtocol(transport).readMessageBegin();
  mustEqual(head.seqId, begin.rseqid, 'seqId');
  mustEqual(frame.readInt32BE(head.seqIdOffset), begin.rseqid, 'the value at seqIdOffset');
  mustEqual(frame.toString('utf8', head.nameStart, head.nameEnd), String(begin.fname), 'name of the RPC');

  const changed = Buffer.from(frame);
  changed.writeInt32BE(~head.seqId, head.seqIdOffset);
  again.read(changed);
  mustEqual(again.seqId, ~head.seqId, 'the other seqId');
  must(
    again.seqIdOffset === head.seqIdOffset && again.argsOffset === head.argsOffset && again.nameEnd === head.nameEnd,
    MOVED,
  );
}
