import { MalformedFrameError } from '../../../src/wire/malformed-frame.ts';
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse } from '../../../src/wire/message-frame.ts';
import * as messages from '../../../src/wire/messages.ts';
import { isQueryCfg, readBodyError, readForwardAddress, readTableName } from '../../../src/wire/query-cfg.ts';
import { RequestHead } from '../../../src/wire/request-frame.ts';
import { ResponseHead } from '../../../src/wire/response-frame.ts';
import { requestVectors, responseVectors } from '../../support/vectors.ts';
import { Mutator, repairRequest, repairResponse } from '../mutate.ts';
import { type Case, mustEqual, type Outcome } from '../oracle.ts';
import type { Random } from '../random.ts';
import { ones, zeros } from '../surroundings.ts';
import { sampleRequests, sampleResponses } from './samples.ts';

type AnyRpc = messages.Rpc<unknown, unknown>;

const rpcs = (Object.values(messages) as unknown[]).filter(
  (one): one is AnyRpc => typeof one === 'object' && one !== null && 'argument' in one,
);
const requests = new Mutator([...requestVectors.map(({ frame }) => frame), ...sampleRequests], repairRequest);
const responses = new Mutator([...responseVectors.map(({ frame }) => frame), ...sampleResponses], repairResponse);
const requestHead = new RequestHead();
const responseHead = new ResponseHead();

/** Whole frames to values and back, of every RPC that the program speaks in full. */
export function generateMessages(random: Random): Case {
  const isRequest = random.oneIn(2);
  const bytes = isRequest ? requests.mutated(random) : responses.mutated(random);
  // Mostly the RPC that the frame names, else the decoder is hardly entered.
  const rpc = random.oneIn(16) ? random.pick(rpcs) : (rpcs.find(({ name }) => bytes.includes(name)) ?? rpcs[0]);
  return { input: bytes, check: () => checkMessage(bytes, rpc as AnyRpc, isRequest ? REQUEST : RESPONSE) };
}

interface Codec {
  readonly frameIsWhole: (bytes: Buffer) => boolean;
  readonly decode: (bytes: Buffer, rpc: AnyRpc) => Record<string, unknown>;
  /** undefined where the value has nothing to encode. */
  readonly encode: (value: Record<string, unknown>, rpc: AnyRpc) => Buffer | undefined;
  /** Holds the relay's glance at a frame against its value. */
  readonly verifyPeek: (bytes: Buffer, value: Record<string, unknown>, rpc: AnyRpc) => void;
}

/** The codecs take whole frames: those that a `FrameDecoder` lets through. */
const REQUEST: Codec = {
  frameIsWhole: (bytes) => bytes.length >= 20 && bytes.length === requestLength(bytes),
  decode: (bytes, rpc) => ({ ...decodeRequest(bytes, rpc) }),
  encode: (value, rpc) => encodeRequest({ ...(value as unknown as Parameters<typeof encodeRequest>[0]), rpc }),
  verifyPeek(bytes, value) {
    requestHead.read(bytes);
    if (!isQueryCfg(bytes, requestHead)) return;
    const args = value.args as messages.QueryCfgRequest;
    const table = Buffer.from(readTableName(bytes, requestHead), 'latin1').toString('utf8');
    mustEqual(table, args.app_name, 'the table, read by a glance');
  },
};

const RESPONSE: Codec = {
  frameIsWhole: (bytes) => bytes.length >= 20 && bytes.length === bytes.readInt32BE(0),
  decode: (bytes, rpc) => ({ ...decodeResponse(bytes, rpc) }),
  encode(value, rpc) {
    const { seqId, headerError, result } = value as unknown as { seqId: number; headerError: string; result: unknown };
    return encodeResponse({ rpc, seqId, headerError, result });
  },
  verifyPeek(bytes, value, rpc) {
    responseHead.read(bytes);
    if (!responseHead.ok || rpc.name !== messages.queryCfgRpc.name) return;
    const result = value.result as messages.QueryCfgResponse;
    const err = Buffer.from(readBodyError(bytes, responseHead), 'latin1').toString('utf8');
    mustEqual(err, result.err, 'the error, read by a glance');
    const address = readForwardAddress(bytes, responseHead);
    // The glance passes over an address that leads nowhere, such as one without a port.
    if (address !== undefined) mustEqual(address, result.partitions?.[0]?.primary, 'the leader, read by a glance');
  },
};

function requestLength(bytes: Buffer): number {
  if (bytes.readInt32BE(4) !== 1) return bytes.readInt32BE(8) === 48 ? 48 + bytes.readInt32BE(16) : -1;
  const [meta, body] = [bytes.readInt32BE(8), bytes.readInt32BE(12)];
  return meta < 0 || body < 0 ? -1 : 16 + meta + body;
}

function checkMessage(bytes: Buffer, rpc: AnyRpc, codec: Codec): Outcome {
  if (!codec.frameIsWhole(bytes)) return 'incomplete';
  const one = attempt(() => codec.decode(zeros.place(bytes), rpc));
  const other = attempt(() => codec.decode(ones.place(bytes), rpc));
  mustEqual(other, one, 'the result depends on bytes outside of the frame');
  if (one instanceof MalformedFrameError) return one.reason;

  const encoded = codec.encode(one, rpc);
  if (encoded === undefined) return 'accepted';
  const again = codec.decode(encoded, rpc);
  mustEqual(withoutBytes(again), withoutBytes(one), 'the value, encoded and decoded again');
  // Only for what a serializer writes: of a field that comes twice, for one, the glance takes the first.
  if (encoded.equals(bytes)) codec.verifyPeek(bytes, one, rpc);
  return 'accepted';
}

function attempt<T>(decode: () => T): T | MalformedFrameError {
  try {
    return decode();
  } catch (error) {
    if (error instanceof MalformedFrameError) return error;
    throw error;
  }
}

/** Fields that a reader skips are no part of the value, and the name of an answer may say more than its RPC. */
function withoutBytes({ argsBytes: _args, resultBytes: _result, name: _name, ...value }: Record<string, unknown>) {
  return value;
}
