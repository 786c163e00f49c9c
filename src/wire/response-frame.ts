import { MalformedFrameError } from './malformed-frame.ts';
import { MESSAGE_REPLY, needs, STRICT_VERSION_1, stringEnd } from './thrift-binary.ts';

/*
 * A response on the wire: i32:total length, these 4 bytes included; string:error name of the RPC layer; message begin;
 * result struct (nothing at all where the error is not ERR_OK). Source: the server's thrift_message_parser.cpp.
 */

/** No response is shorter: length, an empty error name, a message begin with an empty name. */
const MIN_RESPONSE_BYTES = 4 + 4 + 12;
const ERR_OK = Buffer.from('ERR_OK');

/** The `FrameLength` rule of responses. */
export function responseFrameLength(bytes: Buffer, start: number, end: number): number {
  if (end - start < 4) return 0;
  const length = bytes.readInt32BE(start);
  if (length < MIN_RESPONSE_BYTES) throw new MalformedFrameError('header', `a response of ${length} bytes`);
  return length;
}

/** What is needed of a response, and where it stands; reused like `RequestHead`. */
export class ResponseHead {
  /** Whether the RPC layer's error is ERR_OK; only then there is a result. */
  ok = false;
  errorStart = 0;
  errorEnd = 0;
  seqId = 0;
  seqIdOffset = 0;
  /** Where the result struct begins. */
  resultOffset = 0;

  /** Reads the head of a whole frame. Throws `MalformedFrameError`. */
  read(frame: Buffer): void {
    this.errorStart = 8;
    this.errorEnd = stringEnd(frame, 4, 'message');
    this.ok = bytesEqual(frame, this.errorStart, this.errorEnd, ERR_OK);
    const at = this.errorEnd;
    needs(frame, at, 4, 'message');
    const first = frame.readInt32BE(at);
    if (first !== (STRICT_VERSION_1 | MESSAGE_REPLY)) {
      throw new MalformedFrameError('message', 'not a strict thrift reply');
    }
    this.seqIdOffset = stringEnd(frame, at + 4, 'message');
    needs(frame, this.seqIdOffset, 4, 'message');
    this.seqId = frame.readInt32BE(this.seqIdOffset);
    this.resultOffset = this.seqIdOffset + 4;
  }
}

/** Whether `frame[start, end)` is exactly `expected`: a string compared without being made, nor a call into C++. */
export function bytesEqual(frame: Buffer, start: number, end: number, expected: Buffer): boolean {
  if (end - start !== expected.length || end > frame.length) return false;
  for (let i = 0; i < expected.length; i++) {
    if (frame[start + i] !== expected[i]) return false;
  }
  return true;
}
