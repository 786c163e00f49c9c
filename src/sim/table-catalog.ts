import { encodeResponse } from '../wire/message-frame.ts';
import { type AppInfo, type PartitionConfiguration, type QueryCfgResponse, queryCfgRpc } from '../wire/messages.ts';
import { Answer } from './answer.ts';

/** A table's app id starts here where none is asked for: a server gives its first table 1, its own `stat` table. */
const FIRST_APP_ID = 1;
const MAX_REPLICA_COUNT = 3;

export interface TableOptions {
  readonly partitions: number;
  /** The next free one unless told. */
  readonly appId?: number;
}

/** What an app's status comes down to for a client. */
export type TableStatus = 'available' | 'creating' | 'dropping';

export interface SimTable {
  readonly name: string;
  readonly appId: number;
  readonly partitionCount: number;
  readonly status: TableStatus;
  /** Raised with each change, as a server raises a partition's ballot. */
  readonly ballot: number;
}

/**
 * The tables of one cluster: what all of its MetaServers know. The answer to a query for all partitions is encoded
 * once per table and change, for that is what a benchmark asks for again and again.
 */
export class TableCatalog {
  readonly #tables = new Map<string, SimTable>();
  readonly #answers = new Map<string, Answer>();
  readonly #replicaAddresses: readonly string[];
  readonly #withHostPorts: boolean;
  #lastAppId = FIRST_APP_ID - 1;

  /** `withHostPorts`: partitions carry hp_* fields, too, as those of servers with FQDN support do. */
  constructor(replicaAddresses: readonly string[], withHostPorts: boolean) {
    this.#replicaAddresses = replicaAddresses;
    this.#withHostPorts = withHostPorts;
  }

  get tables(): readonly SimTable[] {
    return [...this.#tables.values()];
  }

  get(name: string): SimTable | undefined {
    return this.#tables.get(name);
  }

  byAppId(appId: number): SimTable | undefined {
    for (const table of this.#tables.values()) if (table.appId === appId) return table;
    return undefined;
  }

  /** Adds a table, or puts a new one, with another app id, in the place of the old. */
  create(name: string, options: TableOptions): SimTable {
    const appId = options.appId ?? this.#lastAppId + 1;
    this.#lastAppId = Math.max(this.#lastAppId, appId);
    return this.#set({ name, appId, partitionCount: options.partitions, status: 'available', ballot: 1 });
  }

  drop(name: string): void {
    this.#tables.delete(name);
    this.#answers.delete(name);
  }

  /** Doubles the partitions, as a partition split that is over has done. */
  split(name: string): SimTable {
    const table = this.#known(name);
    return this.#set({ ...table, partitionCount: 2 * table.partitionCount, ballot: table.ballot + 1 });
  }

  setStatus(name: string, status: TableStatus): SimTable {
    return this.#set({ ...this.#known(name), status });
  }

  /** The address of a partition's primary. */
  primaryOf(index: number): string | undefined {
    return this.#serversOf(index)[0];
  }

  /** The answer with all partitions of an available table. */
  answer(table: SimTable): Answer {
    const known = this.#answers.get(table.name);
    if (known !== undefined) return known;
    const answer = new Answer(encodeResponse({ rpc: queryCfgRpc, seqId: 0, result: this.response(table, []) }));
    this.#answers.set(table.name, answer);
    return answer;
  }

  /**
   * What a leader answers: the partitions asked for; all of them where none is asked for, or none of the indices is
   * valid; `partition_count` always the table's (the server's server_state.cpp).
   */
  response(table: SimTable, indices: readonly number[]): QueryCfgResponse {
    const valid = indices.filter((index) => index >= 0 && index < table.partitionCount);
    const wanted = valid.length > 0 ? valid : Array.from({ length: table.partitionCount }, (_, index) => index);
    return {
      err: 'ERR_OK',
      app_id: table.appId,
      partition_count: table.partitionCount,
      is_stateful: true,
      partitions: wanted.map((index) => this.#partition(table, index)),
    };
  }

  /** The table as RPC_CM_LIST_APPS tells of it. */
  appInfo(table: SimTable): AppInfo {
    return {
      status: APP_STATUS[table.status],
      app_type: 'pegasus',
      app_name: table.name,
      app_id: table.appId,
      partition_count: table.partitionCount,
      envs: new Map(),
      is_stateful: true,
      max_replica_count: MAX_REPLICA_COUNT,
      expire_second: 0n,
      create_second: 0n,
      drop_second: 0n,
      duplicating: false,
      init_partition_count: -1,
      is_bulk_loading: false,
      atomic_idempotent: false,
    };
  }

  #partition(table: SimTable, index: number): PartitionConfiguration {
    const servers = this.#serversOf(index);
    const [primary, ...secondaries] = servers;
    return {
      pid: { appId: table.appId, partitionIndex: index },
      ballot: BigInt(table.ballot),
      max_replica_count: MAX_REPLICA_COUNT,
      primary,
      secondaries,
      last_drops: [],
      last_committed_decree: 0n,
      partition_flags: 0,
      ...(this.#withHostPorts ? { hp_primary: primary, hp_secondaries: secondaries, hp_last_drops: [] } : {}),
    };
  }

  /** Primary and secondaries: the primaries go round the servers, so that each has its share. */
  #serversOf(index: number): string[] {
    const all = this.#replicaAddresses;
    const count = Math.min(MAX_REPLICA_COUNT, all.length);
    return Array.from({ length: count }, (_, nth) => all[(index + nth) % all.length] as string);
  }

  #known(name: string): SimTable {
    const table = this.#tables.get(name);
    if (table === undefined) throw new Error(`no table ${name}`);
    return table;
  }

  #set(table: SimTable): SimTable {
    this.#tables.set(table.name, table);
    this.#answers.delete(table.name);
    return table;
  }
}

const APP_STATUS = { available: 'AS_AVAILABLE', creating: 'AS_CREATING', dropping: 'AS_DROPPING' } as const;
