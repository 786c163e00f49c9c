import { handlerNotFound } from '../wire/local-response.ts';
import { type DecodedRequest, decodeRequest, encodeResponse } from '../wire/message-frame.ts';
import { getRpc, putRpc, type Rpc, removeRpc, ttlRpc } from '../wire/messages.ts';
import type { RequestHead } from '../wire/request-frame.ts';
import { Answer } from './answer.ts';
import type { Faults } from './faults.ts';
import type { ReplicaStore } from './replica-store.ts';
import { SimServer, type SimServerOptions } from './sim-server.ts';

/** `error` of a result is a RocksDB status, not an rDSN code. */
const OK = 0;
const NOT_FOUND = 1;

interface Handler {
  readonly isWrite: boolean;
  readonly answer: (frame: Buffer, request: DecodedRequest) => Buffer;
}

/**
 * One simulated replica server: put, get, remove and ttl on the cluster's store (idl/rrdb.thrift, the server's
 * replica.cpp and replica_2pc.cpp). Which partition is meant, the frame's header says.
 */
export class SimReplica extends SimServer {
  readonly #store: ReplicaStore;
  readonly #handlers: ReadonlyMap<string, Handler>;

  constructor(store: ReplicaStore, options: SimServerOptions = {}) {
    super(options);
    this.#store = store;
    this.#handlers = new Map<string, Handler>([
      [putRpc.name, { isWrite: true, answer: (frame, request) => this.#put(frame, request) }],
      [removeRpc.name, { isWrite: true, answer: (frame, request) => this.#remove(frame, request) }],
      [getRpc.name, { isWrite: false, answer: (frame, request) => this.#get(frame, request) }],
      [ttlRpc.name, { isWrite: false, answer: (frame, request) => this.#ttl(frame, request) }],
    ]);
  }

  protected override answer(frame: Buffer, _head: RequestHead, faults: Faults): Answer | undefined {
    const request = decodeRequest(frame);
    const handler = this.#handlers.get(request.rpc);
    if (faults.headerError !== undefined) return headerError(request.rpc, faults.headerError);
    if (handler === undefined) return new Answer(handlerNotFound(request.rpc).withSeqId(0));
    const { appId, partitionIndex, isBackupRequest } = request;
    switch (this.#store.verdict(appId, partitionIndex, handler.isWrite, isBackupRequest ? undefined : this.address)) {
      case 'not-found':
        return headerError(request.rpc, 'ERR_OBJECT_NOT_FOUND');
      case 'invalid-state':
        return headerError(request.rpc, 'ERR_INVALID_STATE');
      case 'silence':
        return undefined;
      case 'serve':
        return new Answer(handler.answer(frame, request));
    }
  }

  #put(frame: Buffer, request: DecodedRequest): Buffer {
    const { key, value, expire_ts_seconds: expireAt = 0 } = decodeRequest(frame, putRpc).args;
    const decree = this.#store.put(request.appId, key, value, expireAt);
    return encodeResponse({ rpc: putRpc, seqId: 0, result: { error: OK, decree, ...this.#origin(request) } });
  }

  /** A remove is blind: it succeeds whether the key was there or not. */
  #remove(frame: Buffer, request: DecodedRequest): Buffer {
    const decree = this.#store.remove(request.appId, decodeRequest(frame, removeRpc).args);
    return encodeResponse({ rpc: removeRpc, seqId: 0, result: { error: OK, decree, ...this.#origin(request) } });
  }

  /** `value` is written in any case: clients read it before they look at `error`. */
  #get(frame: Buffer, request: DecodedRequest): Buffer {
    const value = this.#store.get(request.appId, decodeRequest(frame, getRpc).args);
    const error = value === undefined ? NOT_FOUND : OK;
    const result = { error, value: value ?? Buffer.alloc(0), ...this.#origin(request) };
    return encodeResponse({ rpc: getRpc, seqId: 0, result });
  }

  #ttl(frame: Buffer, request: DecodedRequest): Buffer {
    const ttl = this.#store.ttlSeconds(request.appId, decodeRequest(frame, ttlRpc).args);
    const error = ttl === undefined ? NOT_FOUND : OK;
    return encodeResponse({
      rpc: ttlRpc,
      seqId: 0,
      result: { error, ttl_seconds: ttl ?? 0, ...this.#origin(request) },
    });
  }

  #origin(request: DecodedRequest) {
    return { app_id: request.appId, partition_index: request.partitionIndex, server: this.address };
  }
}

function headerError(rpcName: string, error: string): Answer {
  const rpc: Rpc<unknown, unknown> = { ...getRpc, name: rpcName };
  return new Answer(encodeResponse({ rpc, seqId: 0, headerError: error }));
}
