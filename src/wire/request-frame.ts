import { MalformedFrameError } from './malformed-frame.ts';
import {
  FIELD_HEADER_BYTES,
  MESSAGE_CALL,
  MESSAGE_ONEWAY,
  needs,
  STRICT_VERSION_1,
  skipValue,
  stringEnd,
  TYPE_I32,
  TYPE_STOP,
} from './thrift-binary.ts';

/*
 * A request on the wire, as the official clients send it (all integers big-endian):
 *
 *   v0 (Go, Python, Node.js): "THFT" i32:0 i32:48 i32:header_crc i32:body_length i32:body_crc i32:app_id
 *                             i32:partition_index i32:client_timeout i32:thread_hash i64:partition_hash  body
 *   v1 (Java):                "THFT" i32:1 i32:meta_length i32:body_length  thrift_request_meta_v1  body
 *   body:                     message begin, args struct
 *   message begin:            i32:0x80010000|type string:name i32:seqid   (strict)
 *                             string:name i8:type i32:seqid               (old, still read by servers)
 *
 * Source: the server's thrift_message_parser.cpp.
 */

const MAGIC = 0x54484654; // "THFT"
const V0_HEADER_BYTES = 48;
const V1_HEADER_BYTES = 16;
const META_CLIENT_TIMEOUT = 3;

/** The `FrameLength` rule of requests. */
export function requestFrameLength(bytes: Buffer, start: number, end: number): number {
  const available = end - start;
  if (available < 4) return 0;
  if (bytes.readInt32BE(start) !== MAGIC) throw new MalformedFrameError('magic', 'the frame does not begin with THFT');
  if (available < 8) return 0;
  const version = bytes.readInt32BE(start + 4);
  if (version === 0) return available < 20 ? 0 : lengthV0(bytes, start);
  if (version === 1) return available < V1_HEADER_BYTES ? 0 : lengthV1(bytes, start);
  throw new MalformedFrameError('header', `header version ${version}, only 0 and 1 are known`);
}

function lengthV0(bytes: Buffer, start: number): number {
  const headerLength = bytes.readInt32BE(start + 8);
  const bodyLength = bytes.readInt32BE(start + 16);
  if (headerLength !== V0_HEADER_BYTES || bodyLength < 0) {
    throw new MalformedFrameError('header', `header length ${headerLength}, body length ${bodyLength}`);
  }
  return V0_HEADER_BYTES + bodyLength;
}

function lengthV1(bytes: Buffer, start: number): number {
  const metaLength = bytes.readInt32BE(start + 8);
  const bodyLength = bytes.readInt32BE(start + 12);
  if (metaLength < 0 || bodyLength < 0) {
    throw new MalformedFrameError('header', `meta length ${metaLength}, body length ${bodyLength}`);
  }
  return V1_HEADER_BYTES + metaLength + bodyLength;
}

/**
 * What routing needs to know of a request, and where it stands in the frame. One instance is meant to be used over and
 * over (`read` overwrites it), so that a request costs no object of its own for being looked at.
 */
export class RequestHead {
  /** The client's timeout in ms as its header has it; 0 is "not given". A hint: Go's wraps, Node.js never sends one. */
  clientTimeoutMs = 0;
  /** Where the RPC's name stands. */
  nameStart = 0;
  nameEnd = 0;
  seqId = 0;
  seqIdOffset = 0;
  /** Where the args struct begins. */
  argsOffset = 0;

  /** Reads the head of a whole frame. Throws `MalformedFrameError` where a server would drop the connection. */
  read(frame: Buffer): void {
    const isV1 = frame.readInt32BE(4) === 1;
    if (isV1) {
      const bodyStart = V1_HEADER_BYTES + frame.readInt32BE(8);
      this.clientTimeoutMs = timeoutOfMeta(frame, bodyStart);
      this.#readMessageBegin(frame, bodyStart);
    } else {
      needs(frame, 0, V0_HEADER_BYTES, 'header');
      this.clientTimeoutMs = frame.readInt32BE(32);
      this.#readMessageBegin(frame, V0_HEADER_BYTES);
    }
  }

  #readMessageBegin(frame: Buffer, at: number): void {
    needs(frame, at, 4, 'message');
    const first = frame.readInt32BE(at);
    let type: number;
    if (first < 0) {
      if (((first ^ STRICT_VERSION_1) & 0xffff0000) !== 0)
        throw new MalformedFrameError('message', 'bad thrift version');
      type = first & 0xff;
      this.nameStart = at + 8;
      this.nameEnd = stringEnd(frame, at + 4, 'message');
      this.seqIdOffset = this.nameEnd;
    } else {
      this.nameStart = at + 4;
      this.nameEnd = stringEnd(frame, at, 'message');
      needs(frame, this.nameEnd, 1, 'message');
      type = frame[this.nameEnd] as number;
      this.seqIdOffset = this.nameEnd + 1;
    }
    if (type !== MESSAGE_CALL && type !== MESSAGE_ONEWAY) {
      throw new MalformedFrameError('message', `message type ${type} is no request`);
    }
    needs(frame, this.seqIdOffset, 4, 'message');
    this.seqId = frame.readInt32BE(this.seqIdOffset);
    this.argsOffset = this.seqIdOffset + 4;
  }
}

/** `client_timeout` of a thrift_request_meta_v1 that ends at `end`; 0 where the (optional) field is absent. */
function timeoutOfMeta(frame: Buffer, end: number): number {
  let at = V1_HEADER_BYTES;
  let timeout = 0;
  while (at < end) {
    const type = frame[at] as number;
    if (type === TYPE_STOP) return timeout;
    needs(frame, at, FIELD_HEADER_BYTES, 'header');
    const value = at + FIELD_HEADER_BYTES;
    const isTimeout = type === TYPE_I32 && frame.readInt16BE(at + 1) === META_CLIENT_TIMEOUT;
    at = skipValue(frame, value, type, 'header');
    if (isTimeout) timeout = frame.readInt32BE(value);
  }
  throw new MalformedFrameError('header', 'the request meta does not end where its length says');
}
