import { reading } from './base-types.ts';
import { ResponseTemplate } from './local-response.ts';
import { MalformedFrameError } from './malformed-frame.ts';
import { type Rpc, requestMetaV1 } from './messages.ts';
import { RequestHead } from './request-frame.ts';
import { ResponseHead } from './response-frame.ts';
import { MESSAGE_CALL, MESSAGE_ONEWAY } from './thrift-binary.ts';
import { ThriftReader, ThriftWriter } from './thrift-io.ts';

/**
 * Whole frames to values and back. request-frame.ts and response-frame.ts say what a frame looks like and find their
 * way in it; this is their counterpart for those who want the values, and can pay for them.
 */

const MAGIC = Buffer.from('THFT');
const V0_HEADER_BYTES = 48;
const V1_HEADER_BYTES = 16;
const NO_ERROR = 'ERR_OK';

/** What a request's header says besides the RPC; what is left out is 0, false, or the usual form. */
export interface RequestOptions {
  /** 0 (Go, Python, Node.js), the default, or 1 (Java). */
  readonly headerVersion?: 0 | 1;
  /** Milliseconds; 0 is "not given". */
  readonly timeoutMs?: number;
  /** Whether message begin has the version word; true unless told. */
  readonly strict?: boolean;
  /** Message type ONEWAY instead of CALL. */
  readonly oneway?: boolean;
  readonly appId?: number;
  readonly partitionIndex?: number;
  /** Of version 0 only. */
  readonly threadHash?: number;
  readonly partitionHash?: bigint;
  /** Of version 1 only. */
  readonly isBackupRequest?: boolean;
}

export interface Request<A> extends RequestOptions {
  readonly rpc: Rpc<A, unknown>;
  readonly seqId: number;
  readonly args: A;
}

/** A request as read: all of its header, and its args as they stand. */
export interface DecodedRequest extends Required<RequestOptions> {
  /** The RPC's name. */
  readonly rpc: string;
  readonly seqId: number;
  readonly argsBytes: Buffer;
}

export interface Response<R> {
  readonly rpc: Rpc<unknown, R>;
  readonly seqId: number;
  /** Error name of the RPC layer; ERR_OK unless told. Any other leaves no room for a result. */
  readonly headerError?: string;
  readonly result?: R;
}

/** A response as read. */
export interface DecodedResponse {
  readonly headerError: string;
  /** As on the wire, with "_ACK". */
  readonly name: string;
  readonly seqId: number;
  readonly resultBytes: Buffer;
}

/** The whole frame of a request. */
export function encodeRequest<A>(request: Request<A>): Buffer {
  const writer = new ThriftWriter(request.strict ?? true);
  writer.messageBegin(request.rpc.name, request.oneway === true ? MESSAGE_ONEWAY : MESSAGE_CALL, request.seqId);
  writer.fieldBegin(request.rpc.argument.thriftType, 1);
  request.rpc.argument.write(writer, request.args);
  writer.fieldStop();
  const body = writer.bytes();
  const header = request.headerVersion === 1 ? headerV1(request, body.length) : headerV0(request, body.length);
  return Buffer.concat([header, body]);
}

function headerV0(request: RequestOptions, bodyLength: number): Buffer {
  const header = Buffer.alloc(V0_HEADER_BYTES);
  MAGIC.copy(header);
  header.writeInt32BE(V0_HEADER_BYTES, 8);
  header.writeInt32BE(bodyLength, 16);
  header.writeInt32BE(request.appId ?? 0, 24);
  header.writeInt32BE(request.partitionIndex ?? 0, 28);
  header.writeInt32BE(request.timeoutMs ?? 0, 32);
  header.writeInt32BE(request.threadHash ?? 0, 36);
  header.writeBigInt64BE(request.partitionHash ?? 0n, 40);
  return header;
}

function headerV1(request: RequestOptions, bodyLength: number): Buffer {
  const writer = new ThriftWriter();
  requestMetaV1.write(writer, {
    app_id: request.appId ?? 0,
    partition_index: request.partitionIndex ?? 0,
    client_timeout: request.timeoutMs ?? 0,
    client_partition_hash: request.partitionHash ?? 0n,
    is_backup_request: request.isBackupRequest ?? false,
  });
  const meta = writer.bytes();
  const header = Buffer.alloc(V1_HEADER_BYTES);
  MAGIC.copy(header);
  header.writeInt32BE(1, 4);
  header.writeInt32BE(meta.length, 8);
  header.writeInt32BE(bodyLength, 12);
  return Buffer.concat([header, meta]);
}

/**
 * Reads a whole request frame. With an `rpc`, its args are read, too; a frame of another RPC is refused then. Throws
 * `MalformedFrameError`.
 */
export function decodeRequest(frame: Buffer): DecodedRequest;
export function decodeRequest<A>(frame: Buffer, rpc: Rpc<A, unknown>): DecodedRequest & { readonly args: A };
export function decodeRequest<A>(frame: Buffer, rpc?: Rpc<A, unknown>): DecodedRequest & { readonly args?: A } {
  const head = new RequestHead();
  head.read(frame);
  const headerVersion = frame.readInt32BE(4) === 1 ? 1 : 0;
  const strict = head.seqIdOffset === head.nameEnd;
  const bodyStart = head.nameStart - (strict ? 8 : 4);
  const type = frame[strict ? bodyStart + 3 : head.nameEnd];
  const request = {
    ...(headerVersion === 1 ? fieldsOfV1(frame, bodyStart) : fieldsOfV0(frame)),
    headerVersion,
    timeoutMs: head.clientTimeoutMs,
    strict,
    oneway: type === MESSAGE_ONEWAY,
    rpc: frame.toString('latin1', head.nameStart, head.nameEnd),
    seqId: head.seqId,
    argsBytes: frame.subarray(head.argsOffset),
  } as const;
  if (rpc === undefined) return request;
  if (rpc.name !== request.rpc) throw new MalformedFrameError('message', `a ${request.rpc}, not a ${rpc.name}`);
  return { ...request, args: readOnly(frame, head.argsOffset, 1, rpc.argument) };
}

function fieldsOfV0(frame: Buffer) {
  return {
    appId: frame.readInt32BE(24),
    partitionIndex: frame.readInt32BE(28),
    threadHash: frame.readInt32BE(36),
    partitionHash: frame.readBigInt64BE(40),
    isBackupRequest: false,
  };
}

function fieldsOfV1(frame: Buffer, bodyStart: number) {
  const meta = reading(() => requestMetaV1.read(new ThriftReader(frame.subarray(0, bodyStart), V1_HEADER_BYTES)));
  return {
    appId: meta.app_id ?? 0,
    partitionIndex: meta.partition_index ?? 0,
    threadHash: 0,
    partitionHash: meta.client_partition_hash ?? 0n,
    isBackupRequest: meta.is_backup_request ?? false,
  };
}

/** The whole frame of a response. */
export function encodeResponse<R>(response: Response<R>): Buffer {
  const { rpc, seqId, headerError = NO_ERROR, result } = response;
  if (headerError !== NO_ERROR || result === undefined) {
    return new ResponseTemplate(rpc.name, headerError, Buffer.alloc(0)).withSeqId(seqId);
  }
  const writer = new ThriftWriter();
  writer.fieldBegin(rpc.result.thriftType, 0);
  rpc.result.write(writer, result);
  writer.fieldStop();
  return new ResponseTemplate(rpc.name, headerError, writer.bytes()).withSeqId(seqId);
}

/**
 * Reads a whole response frame. With an `rpc`, its result is read, too; undefined where the RPC layer's error is not
 * ERR_OK. Throws `MalformedFrameError`.
 */
export function decodeResponse(frame: Buffer): DecodedResponse;
export function decodeResponse<R>(
  frame: Buffer,
  rpc: Rpc<unknown, R>,
): DecodedResponse & { readonly result: R | undefined };
export function decodeResponse<R>(frame: Buffer, rpc?: Rpc<unknown, R>): DecodedResponse & { readonly result?: R } {
  const head = new ResponseHead();
  head.read(frame);
  // Message begin: the version word and the name's length stand before the name.
  const nameStart = head.errorEnd + 8;
  const response = {
    headerError: frame.toString('latin1', head.errorStart, head.errorEnd),
    name: frame.toString('latin1', nameStart, head.seqIdOffset),
    seqId: head.seqId,
    resultBytes: frame.subarray(head.resultOffset),
  };
  if (rpc === undefined || !head.ok) return response;
  if (!response.name.startsWith(rpc.name)) {
    throw new MalformedFrameError('message', `a ${response.name}, no answer to a ${rpc.name}`);
  }
  return { ...response, result: readOnly(frame, head.resultOffset, 0, rpc.result) };
}

/** The value of the one field of an args or result struct. */
function readOnly<T>(frame: Buffer, offset: number, id: number, type: Rpc<T, T>['result']): T {
  return reading(() => {
    const reader = new ThriftReader(frame, offset);
    for (let head = reader.fieldBegin(); head !== undefined; head = reader.fieldBegin()) {
      if (head.id === id && head.type === type.thriftType) return type.read(reader);
      reader.skip(head.type);
    }
    throw new MalformedFrameError('args', `no field ${id}`);
  });
}
