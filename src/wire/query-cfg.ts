import { formatHostPort } from './host-port.ts';
import { MalformedFrameError } from './malformed-frame.ts';
import type { RequestHead } from './request-frame.ts';
import { bytesEqual, type ResponseHead } from './response-frame.ts';
import {
  FIELD_HEADER_BYTES,
  needs,
  skipValue,
  stringEnd,
  TYPE_BOOL,
  TYPE_I32,
  TYPE_I64,
  TYPE_LIST,
  TYPE_STOP,
  TYPE_STRING,
  TYPE_STRUCT,
} from './thrift-binary.ts';

/*
 * The one RPC that is routed:
 *
 *   args:   { 1: query_cfg_request { 1: string app_name, 2: list<i32> partition_indices } }
 *   result: { 0: query_cfg_response { 1: error_code err, 2: i32 app_id, 3: i32 partition_count, 4: bool is_stateful,
 *                                     5: list<partition_configuration> partitions } }
 *   partition_configuration { 1: gpid pid, 2: i64 ballot, 3: i32 max_replica_count, 4: rpc_address primary, … }
 *
 * error_code is announced as a struct but is a bare string, gpid and rpc_address likewise are bare i64 (the server's
 * thrift_helper.h).
 */

/** The RPC's name, as requests carry it. */
export const QUERY_CFG = 'RPC_CM_QUERY_PARTITION_CONFIG_BY_INDEX';

const QUERY_CFG_BYTES = Buffer.from(QUERY_CFG);
const ERR_OK = Buffer.from('ERR_OK');
const ERR_FORWARD_TO_OTHERS = Buffer.from('ERR_FORWARD_TO_OTHERS');
const VALID_IPV4_ADDRESS = 1;

/** Whether a request is the query that is routed. */
export function isQueryCfg(frame: Buffer, head: RequestHead): boolean {
  return bytesEqual(frame, head.nameStart, head.nameEnd, QUERY_CFG_BYTES);
}

/**
 * The table's name of a query-config request; '' where it is absent. Throws `MalformedFrameError`.
 *
 * What stands behind the name is not needed, but stepped over all the same: a request that ends in the middle of a field
 * could cost the MetaServer, and all clients the connection that they share to it.
 */
export function readTableName(frame: Buffer, head: RequestHead): string {
  name.start = 0;
  name.end = 0;
  let at = head.argsOffset;
  while (at !== UNEXAMINED) {
    needs(frame, at, 1, 'args');
    const type = frame[at] as number;
    if (type === TYPE_STOP) break;
    needs(frame, at, FIELD_HEADER_BYTES, 'args');
    const value = at + FIELD_HEADER_BYTES;
    const isRequest = type === TYPE_STRUCT && frame.readInt16BE(at + 1) === 1;
    at = isRequest ? walkRequest(frame, value) : stepOver(frame, value, type);
  }
  // latin1 keeps every byte apart, so that no two different names become one; names outside ASCII are refused anyway.
  return frame.toString('latin1', name.start, name.end);
}

/** Where the name was found last; read at once, so one of these serves all requests. */
const name = { start: 0, end: 0 };

/** In place of an offset: what follows is not for this program to judge. */
const UNEXAMINED = -1;

/** Steps through a query_cfg_request, noting the name; returns its end. */
function walkRequest(frame: Buffer, offset: number): number {
  let at = offset;
  while (at !== UNEXAMINED) {
    needs(frame, at, 1, 'args');
    const type = frame[at] as number;
    if (type === TYPE_STOP) return at + 1;
    needs(frame, at, FIELD_HEADER_BYTES, 'args');
    const id = frame.readInt16BE(at + 1);
    const value = at + FIELD_HEADER_BYTES;
    if (type === TYPE_STRING && id === 1) {
      name.start = value + 4;
      name.end = stringEnd(frame, value, 'args');
      at = name.end;
    } else if (type === TYPE_LIST && id === 2) {
      at = skipIndices(frame, value);
    } else {
      at = stepOver(frame, value, type);
    }
  }
  return at;
}

/** `partition_indices`. Servers read i32s whatever the list says of its items, so it has to say that. */
function skipIndices(frame: Buffer, offset: number): number {
  needs(frame, offset, 5, 'args');
  if (frame[offset] !== TYPE_I32 && frame.readInt32BE(offset + 1) !== 0) {
    throw new MalformedFrameError('args', `partition indices of type ${frame[offset]}`);
  }
  return skipValue(frame, offset, TYPE_LIST, 'args');
}

/**
 * Steps over a field that this program has never heard of. Once the name is known, one that may hold hand-made base
 * types, which a generic skip misreads, ends the examination: such fields are to pass, not to be refused.
 */
function stepOver(frame: Buffer, value: number, type: number): number {
  const mayBeHandMade = type >= TYPE_STRUCT && type <= TYPE_LIST;
  return mayBeHandMade && name.start > 0 ? UNEXAMINED : skipValue(frame, value, type, 'args');
}

/** What a MetaServer's answer to a query means for the relay; the rest of it is the client's business. */
export type AnswerKind =
  /** The RPC layer's error is not ERR_OK: the MetaServer did not take the query. */
  | 'header-error'
  /** ERR_FORWARD_TO_OTHERS: it is not the leader. */
  | 'forward'
  /** ERR_OK, and the table's partitions with it. */
  | 'ok'
  /** Any other body error: the cluster's answer. */
  | 'body-error';

/** Peeks at `err`, nothing more. Throws `MalformedFrameError` where no readable `err` comes first. */
export function answerKind(frame: Buffer, head: ResponseHead): AnswerKind {
  if (!head.ok) return 'header-error';
  const err = errOffset(frame, head);
  const end = stringEnd(frame, err, 'args');
  if (bytesEqual(frame, err + 4, end, ERR_OK)) return 'ok';
  return bytesEqual(frame, err + 4, end, ERR_FORWARD_TO_OTHERS) ? 'forward' : 'body-error';
}

/** The name in `err` ("ERR_…") of an answer whose head is ok. */
export function readBodyError(frame: Buffer, head: ResponseHead): string {
  const err = errOffset(frame, head);
  return frame.toString('latin1', err + 4, stringEnd(frame, err, 'args'));
}

/** Serializers write fields in the order of their ids, so `err` stands at a fixed place: result {0: struct {1: err. */
function errOffset(frame: Buffer, head: ResponseHead): number {
  const at = head.resultOffset;
  needs(frame, at, 2 * FIELD_HEADER_BYTES, 'args');
  const isSuccess = frame[at] === TYPE_STRUCT && frame.readInt16BE(at + 1) === 0;
  const isErr = frame[at + 3] === TYPE_STRUCT && frame.readInt16BE(at + 4) === 1;
  if (!isSuccess || !isErr) throw new MalformedFrameError('args', 'the result does not begin with err');
  return at + 2 * FIELD_HEADER_BYTES;
}

/**
 * The leader that an ERR_FORWARD_TO_OTHERS answer names: `partitions[0].primary` as "host:port". undefined where none
 * is named: no list, an empty one, an invalid address (a follower that knows no leader), or one that leads nowhere.
 */
export function readForwardAddress(frame: Buffer, head: ResponseHead): string | undefined {
  let at = stringEnd(frame, errOffset(frame, head), 'args');
  at = skipFields(frame, at, RESPONSE_FIELDS_BEFORE_PARTITIONS);
  if (!isField(frame, at, TYPE_LIST, 5)) return undefined;
  needs(frame, at, FIELD_HEADER_BYTES + 5, 'args');
  const list = at + FIELD_HEADER_BYTES;
  if (frame[list] !== TYPE_STRUCT || frame.readInt32BE(list + 1) < 1) return undefined;
  at = skipFields(frame, list + 5, PARTITION_FIELDS_BEFORE_PRIMARY);
  if (!isField(frame, at, TYPE_STRUCT, 4)) return undefined;
  needs(frame, at, FIELD_HEADER_BYTES + 8, 'args');
  return readRpcAddress(frame, at + FIELD_HEADER_BYTES);
}

/** Bytes of each field's value, by id, as the hand-made base types really are on the wire. */
type RawFields = Readonly<Record<number, { readonly type: number; readonly bytes: number }>>;

const RESPONSE_FIELDS_BEFORE_PARTITIONS: RawFields = {
  2: { type: TYPE_I32, bytes: 4 },
  3: { type: TYPE_I32, bytes: 4 },
  4: { type: TYPE_BOOL, bytes: 1 },
};

const PARTITION_FIELDS_BEFORE_PRIMARY: RawFields = {
  1: { type: TYPE_STRUCT, bytes: 8 },
  2: { type: TYPE_I64, bytes: 8 },
  3: { type: TYPE_I32, bytes: 4 },
};

/** Steps over those fields as long as they come; returns where the first other one (or the struct's end) stands. */
function skipFields(frame: Buffer, offset: number, fields: RawFields): number {
  let at = offset;
  for (;;) {
    needs(frame, at, 1, 'args');
    if (frame[at] === TYPE_STOP) return at;
    needs(frame, at, FIELD_HEADER_BYTES, 'args');
    const field = fields[frame.readInt16BE(at + 1)];
    if (field === undefined || field.type !== frame[at]) return at;
    needs(frame, at, FIELD_HEADER_BYTES + field.bytes, 'args');
    at += FIELD_HEADER_BYTES + field.bytes;
  }
}

function isField(frame: Buffer, at: number, type: number, id: number): boolean {
  return frame[at] === type && at + FIELD_HEADER_BYTES <= frame.length && frame.readInt16BE(at + 1) === id;
}

/** An rpc_address is an i64: IPv4 in bits 63..32, port in 31..16, type in the low bits (1 = IPv4, 0 = invalid). */
function readRpcAddress(frame: Buffer, at: number): string | undefined {
  const port = frame.readUInt16BE(at + 4);
  const type = frame.readUInt16BE(at + 6);
  if (type !== VALID_IPV4_ADDRESS || port === 0 || frame.readUInt32BE(at) === 0) return undefined;
  const host = `${frame[at]}.${frame[at + 1]}.${frame[at + 2]}.${frame[at + 3]}`;
  return formatHostPort({ host, port });
}
