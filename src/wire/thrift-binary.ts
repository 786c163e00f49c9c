import { MalformedFrameError, type MalformedReason } from './malformed-frame.ts';

/**
 * The few rules of Thrift's TBinaryProtocol that routing needs, read in place. Nothing is allocated, and every length
 * is held against the frame's end before it is believed.
 */

export const TYPE_STOP = 0;
export const TYPE_BOOL = 2;
export const TYPE_BYTE = 3;
export const TYPE_DOUBLE = 4;
export const TYPE_I16 = 6;
export const TYPE_I32 = 8;
export const TYPE_I64 = 10;
export const TYPE_STRING = 11;
export const TYPE_STRUCT = 12;
export const TYPE_MAP = 13;
export const TYPE_SET = 14;
export const TYPE_LIST = 15;

export const MESSAGE_CALL = 1;
export const MESSAGE_REPLY = 2;
export const MESSAGE_ONEWAY = 4;

/** First word of a strict message begin is this, or'ed with the message type. */
export const STRICT_VERSION_1 = 0x80010000;

/** Bytes of a field header: i8 type, i16 id. */
export const FIELD_HEADER_BYTES = 3;

/** Real requests nest two or three levels deep; a frame that nests deeper is made to exhaust the stack. */
const MAX_DEPTH = 16;

/** `i32 length + bytes` at `offset`: the end of those bytes. Throws where they would leave the frame. */
export function stringEnd(frame: Buffer, offset: number, reason: MalformedReason): number {
  needs(frame, offset, 4, reason);
  const length = frame.readInt32BE(offset);
  if (length < 0 || length > frame.length - offset - 4) {
    throw new MalformedFrameError(
      reason,
      `a string of ${length} bytes in the ${frame.length - offset - 4} that are left`,
    );
  }
  return offset + 4 + length;
}

/** Throws unless `bytes` more bytes stand at `offset`. */
export function needs(frame: Buffer, offset: number, bytes: number, reason: MalformedReason): void {
  if (offset + bytes > frame.length) {
    throw new MalformedFrameError(
      reason,
      `the frame ends at ${frame.length}, ${bytes} more bytes are due at ${offset}`,
    );
  }
}

/**
 * Steps over one value of `type` at `offset` and returns its end. Not for rDSN's hand-made base types (error_code,
 * gpid, rpc_address, …): those are announced as a struct, but have no field headers and no stop byte.
 */
export function skipValue(frame: Buffer, offset: number, type: number, reason: MalformedReason, depth = 0): number {
  const fixed = FIXED_SIZE[type];
  if (fixed !== undefined) {
    needs(frame, offset, fixed, reason);
    return offset + fixed;
  }
  if (depth >= MAX_DEPTH) throw new MalformedFrameError(reason, `values nested more than ${MAX_DEPTH} deep`);
  switch (type) {
    case TYPE_STRING:
      return stringEnd(frame, offset, reason);
    case TYPE_STRUCT:
      return skipStruct(frame, offset, reason, depth + 1);
    case TYPE_LIST:
    case TYPE_SET:
      needs(frame, offset, 5, reason);
      return skipItems(frame, offset + 5, [frame[offset] as number], frame.readInt32BE(offset + 1), reason, depth + 1);
    case TYPE_MAP: {
      needs(frame, offset, 6, reason);
      const types = [frame[offset] as number, frame[offset + 1] as number];
      return skipItems(frame, offset + 6, types, frame.readInt32BE(offset + 2), reason, depth + 1);
    }
    default:
      throw new MalformedFrameError(reason, `no such thrift type: ${type}`);
  }
}

const FIXED_SIZE: Readonly<Record<number, number>> = {
  [TYPE_BOOL]: 1,
  [TYPE_BYTE]: 1,
  [TYPE_DOUBLE]: 8,
  [TYPE_I16]: 2,
  [TYPE_I32]: 4,
  [TYPE_I64]: 8,
};

function skipStruct(frame: Buffer, offset: number, reason: MalformedReason, depth: number): number {
  let at = offset;
  for (;;) {
    needs(frame, at, 1, reason);
    const type = frame[at] as number;
    if (type === TYPE_STOP) return at + 1;
    at = skipValue(frame, at + FIELD_HEADER_BYTES, type, reason, depth);
  }
}

function skipItems(
  frame: Buffer,
  offset: number,
  types: readonly number[],
  count: number,
  reason: MalformedReason,
  depth: number,
): number {
  // Every item takes a byte at least, so a count beyond the rest of the frame is a lie, found before any loop.
  if (count < 0 || count > frame.length - offset) {
    throw new MalformedFrameError(reason, `a collection of ${count} items in ${frame.length - offset} bytes`);
  }
  let at = offset;
  for (let i = 0; i < count; i++) {
    for (const type of types) at = skipValue(frame, at, type, reason, depth);
  }
  return at;
}
