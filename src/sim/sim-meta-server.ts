import { handlerNotFound, NEGOTIATION, negotiationAuthDisabled } from '../wire/local-response.ts';
import { decodeRequest, encodeResponse } from '../wire/message-frame.ts';
import { listAppsRpc, type PartitionConfiguration, type QueryCfgResponse, queryCfgRpc } from '../wire/messages.ts';
import { QUERY_CFG } from '../wire/query-cfg.ts';
import type { RequestHead } from '../wire/request-frame.ts';
import { bytesEqual } from '../wire/response-frame.ts';
import { TYPE_LIST, TYPE_STOP, TYPE_STRING, TYPE_STRUCT } from '../wire/thrift-binary.ts';
import { Answer } from './answer.ts';
import type { Faults } from './faults.ts';
import { SimServer, type SimServerOptions } from './sim-server.ts';
import type { TableCatalog } from './table-catalog.ts';

/** What a MetaServer is at the moment, and what it therefore answers. */
export type MetaRole =
  | { readonly kind: 'leader' }
  /** ERR_FORWARD_TO_OTHERS, with the leader's address where it knows one, and its host name with FQDN support. */
  | { readonly kind: 'follower'; readonly leader?: string; readonly leaderHostPort?: string }
  /** A leader that has not loaded its state yet: ERR_SERVICE_NOT_ACTIVE. */
  | { readonly kind: 'starting' }
  /** ERR_UNDER_RECOVERY. */
  | { readonly kind: 'recovering' };

const QUERY_CFG_BYTES = Buffer.from(QUERY_CFG);
/** Args of the usual query, up to the name's length: field 1 struct, field 1 string. */
const ARGS_BEGIN = Buffer.from([TYPE_STRUCT, 0, 1, TYPE_STRING, 0, 1]);
const MAX_SIMPLE_ANSWERS = 1024;

/** One simulated MetaServer: answers as the server's meta_service.cpp and server_state.cpp do. */
export class SimMetaServer extends SimServer {
  readonly #catalog: TableCatalog;
  /** Answers that depend on no table, by their kind and name. */
  readonly #simple = new Map<string, Answer>();
  #role: MetaRole;

  constructor(catalog: TableCatalog, role: MetaRole, options: SimServerOptions = {}) {
    super(options);
    this.#catalog = catalog;
    this.#role = role;
  }

  get role(): MetaRole {
    return this.#role;
  }

  setRole(role: MetaRole): void {
    this.#role = role;
  }

  /** Throws RangeError where `redirectTo` is no IPv4 address and port. */
  override setFaults(faults: Faults): void {
    // Encoded now, so that a bad address fails here and not in the middle of the traffic.
    if (faults.redirectTo !== undefined) this.#forward({ kind: 'follower', leader: faults.redirectTo });
    super.setFaults(faults);
  }

  protected override answer(frame: Buffer, head: RequestHead, faults: Faults): Answer {
    if (faults.headerError !== undefined) return this.#headerError(nameOf(frame, head), faults.headerError);
    if (bytesEqual(frame, head.nameStart, head.nameEnd, QUERY_CFG_BYTES)) return this.#queryCfg(frame, head, faults);
    const name = nameOf(frame, head);
    if (name === NEGOTIATION) return this.#cached(name, () => negotiationAuthDisabled().withSeqId(0));
    if (name === listAppsRpc.name) return this.#listApps(frame);
    return this.#cached(`no handler ${name}`, () => handlerNotFound(name).withSeqId(0));
  }

  #queryCfg(frame: Buffer, head: RequestHead, faults: Faults): Answer {
    if (faults.bodyError !== undefined) return this.#error(faults.bodyError);
    if (faults.redirectTo !== undefined) return this.#forward({ kind: 'follower', leader: faults.redirectTo });
    const error = this.#roleError();
    if (error !== undefined) return error;
    const plain = plainQueryName(frame, head);
    if (plain !== undefined) return this.#answerFor(plain, []);
    const { args } = decodeRequest(frame, queryCfgRpc);
    return this.#answerFor(args.app_name, args.partition_indices ?? []);
  }

  #answerFor(name: string, indices: readonly number[]): Answer {
    const table = this.#catalog.get(name);
    if (table === undefined) return this.#error('ERR_OBJECT_NOT_FOUND');
    if (table.status === 'creating') return this.#error('ERR_BUSY_CREATING');
    if (table.status === 'dropping') return this.#error('ERR_BUSY_DROPPING');
    if (indices.length === 0) return this.#catalog.answer(table);
    return queryCfgAnswer(this.#catalog.response(table, indices));
  }

  /** What this role answers to every query; undefined for a leader, which looks at the table. */
  #roleError(): Answer | undefined {
    switch (this.#role.kind) {
      case 'leader':
        return undefined;
      case 'follower':
        return this.#forward(this.#role);
      case 'starting':
        return this.#error('ERR_SERVICE_NOT_ACTIVE');
      case 'recovering':
        return this.#error('ERR_UNDER_RECOVERY');
    }
  }

  #forward(role: MetaRole & { kind: 'follower' }): Answer {
    const { leader = '', leaderHostPort } = role;
    return this.#cached(`forward ${leader} ${leaderHostPort ?? ''}`, () => {
      const partitions = leader === '' ? [] : [forwardEntry(leader, leaderHostPort)];
      return encodeResponse({ rpc: queryCfgRpc, seqId: 0, result: errorResponse('ERR_FORWARD_TO_OTHERS', partitions) });
    });
  }

  #error(err: string): Answer {
    return this.#cached(`body ${err}`, () =>
      encodeResponse({ rpc: queryCfgRpc, seqId: 0, result: errorResponse(err, []) }),
    );
  }

  #headerError(rpcName: string, headerError: string): Answer {
    const rpc = { ...queryCfgRpc, name: rpcName };
    return this.#cached(`header ${rpcName} ${headerError}`, () => encodeResponse({ rpc, seqId: 0, headerError }));
  }

  #listApps(frame: Buffer): Answer {
    const { status } = decodeRequest(frame, listAppsRpc).args;
    const err = ROLE_ERRORS[this.#role.kind];
    const infos = err === 'ERR_OK' ? this.#catalog.tables.map((table) => this.#catalog.appInfo(table)) : [];
    const wanted = infos.filter((info) => status === 'AS_INVALID' || status === info.status);
    return new Answer(encodeResponse({ rpc: listAppsRpc, seqId: 0, result: { err, infos: wanted } }));
  }

  #cached(key: string, encode: () => Buffer): Answer {
    const known = this.#simple.get(key);
    if (known !== undefined) return known;
    const answer = new Answer(encode());
    // RPC names come from outside: without a bound, made-up names would fill the memory.
    if (this.#simple.size < MAX_SIMPLE_ANSWERS) this.#simple.set(key, answer);
    return answer;
  }
}

const ROLE_ERRORS = {
  leader: 'ERR_OK',
  follower: 'ERR_FORWARD_TO_OTHERS',
  starting: 'ERR_SERVICE_NOT_ACTIVE',
  recovering: 'ERR_UNDER_RECOVERY',
} as const;

function queryCfgAnswer(result: QueryCfgResponse): Answer {
  return new Answer(encodeResponse({ rpc: queryCfgRpc, seqId: 0, result }));
}

/** The form of every error: all five fields written, the list empty unless it names a leader. */
function errorResponse(err: string, partitions: readonly PartitionConfiguration[]): QueryCfgResponse {
  return { err, app_id: 0, partition_count: 0, is_stateful: false, partitions };
}

/** A partition_configuration of which only `primary` (and hp_primary) means something. */
function forwardEntry(leader: string, leaderHostPort: string | undefined): PartitionConfiguration {
  return {
    pid: { appId: 0, partitionIndex: 0 },
    ballot: 0n,
    max_replica_count: 0,
    primary: leader,
    secondaries: [],
    last_drops: [],
    last_committed_decree: 0n,
    partition_flags: 0,
    ...(leaderHostPort === undefined ? {} : { hp_primary: leaderHostPort }),
  };
}

function nameOf(frame: Buffer, head: RequestHead): string {
  return frame.toString('latin1', head.nameStart, head.nameEnd);
}

/**
 * The table's name of a query in the one form that clients send, partition_indices empty or absent; undefined for any
 * other form, which is then decoded in full.
 */
function plainQueryName(frame: Buffer, head: RequestHead): string | undefined {
  const lengthAt = head.argsOffset + ARGS_BEGIN.length;
  if (lengthAt + 4 > frame.length || !bytesEqual(frame, head.argsOffset, lengthAt, ARGS_BEGIN)) return undefined;
  const end = lengthAt + 4 + frame.readUInt32BE(lengthAt);
  const isPlain =
    (end + 2 === frame.length && frame[end] === TYPE_STOP) ||
    (end + 10 === frame.length && frame[end] === TYPE_LIST && frame.readInt32BE(end + 4) === 0);
  return isPlain ? frame.toString('utf8', lengthAt + 4, end) : undefined;
}
