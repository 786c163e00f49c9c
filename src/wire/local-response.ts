import { QUERY_CFG } from './query-cfg.ts';
import {
  MESSAGE_REPLY,
  STRICT_VERSION_1,
  TYPE_BOOL,
  TYPE_I32,
  TYPE_LIST,
  TYPE_STOP,
  TYPE_STRUCT,
} from './thrift-binary.ts';

/** The RPC of SASL negotiation, which a Java client with authentication switched on sends first. */
export const NEGOTIATION = 'RPC_NEGOTIATION';

/** Status of a negotiation_response: "authentication is off here, go on without". */
const SASL_AUTH_DISABLE = 9;

/** rDSN's task code names are at most this long, "_ACK" included (the server's rpc_message.h). */
const MAX_RESPONSE_NAME = 47;

/**
 * A response that this program writes itself, made once and then only copied with another seqId. Its bytes are those
 * that a MetaServer's own answer would have.
 */
export class ResponseTemplate {
  readonly #bytes: Buffer;
  readonly #seqIdOffset: number;

  constructor(rpcName: string, headerError: string, result: Buffer) {
    const head = Buffer.concat([
      string(headerError),
      i32(STRICT_VERSION_1 | MESSAGE_REPLY),
      string(`${rpcName}_ACK`.slice(0, MAX_RESPONSE_NAME)),
    ]);
    this.#seqIdOffset = 4 + head.length;
    this.#bytes = Buffer.concat([i32(4 + head.length + 4 + result.length), head, i32(0), result]);
  }

  /** The whole frame, for one request. */
  withSeqId(seqId: number): Buffer {
    const frame = Buffer.from(this.#bytes);
    frame.writeInt32BE(seqId, this.#seqIdOffset);
    return frame;
  }
}

/**
 * A query-config answered with a body error, in the one form that no official client chokes on: RPC layer ERR_OK,
 * `err` present, `is_stateful` false, `partitions` an empty list.
 */
export function queryCfgError(err: string): ResponseTemplate {
  const response = Buffer.concat([
    field(TYPE_STRUCT, 1),
    string(err),
    field(TYPE_I32, 2),
    i32(0),
    field(TYPE_I32, 3),
    i32(0),
    field(TYPE_BOOL, 4),
    Buffer.from([0]),
    field(TYPE_LIST, 5),
    Buffer.from([TYPE_STRUCT]),
    i32(0),
    Buffer.from([TYPE_STOP]),
  ]);
  return new ResponseTemplate(
    QUERY_CFG,
    'ERR_OK',
    Buffer.concat([field(TYPE_STRUCT, 0), response, Buffer.from([TYPE_STOP])]),
  );
}

/** A negotiation answered with SASL_AUTH_DISABLE and an empty msg, as a server with authentication off does. */
export function negotiationAuthDisabled(): ResponseTemplate {
  const response = Buffer.concat([
    field(TYPE_I32, 1),
    i32(SASL_AUTH_DISABLE),
    field(TYPE_STRUCT, 2),
    string(''),
    Buffer.from([TYPE_STOP]),
  ]);
  return new ResponseTemplate(
    NEGOTIATION,
    'ERR_OK',
    Buffer.concat([field(TYPE_STRUCT, 0), response, Buffer.from([TYPE_STOP])]),
  );
}

/** What a server answers to an RPC that it has no handler for: an error of the RPC layer, and no result at all. */
export function handlerNotFound(rpcName: string): ResponseTemplate {
  return new ResponseTemplate(rpcName, 'ERR_HANDLER_NOT_FOUND', Buffer.alloc(0));
}

function field(type: number, id: number): Buffer {
  return Buffer.from([type, id >> 8, id & 0xff]);
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  return Buffer.concat([i32(bytes.length), bytes]);
}

function i32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value | 0);
  return bytes;
}
