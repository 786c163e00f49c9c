import { blob, errorCode, gpid, hostPort, rpcAddress } from './base-types.ts';
import { NEGOTIATION } from './local-response.ts';
import { QUERY_CFG } from './query-cfg.ts';
import {
  bool,
  enumeration,
  field,
  i32,
  i64,
  list,
  map,
  optional,
  string,
  struct,
  type ValueOf,
  type WireType,
} from './thrift-struct.ts';

/**
 * Every struct, enum and RPC that this program can speak in full, by the names of idl/pegasus.thrift. Relaying needs
 * none of it (query-cfg.ts peeks); the simulator, the CLI and the tests do.
 */

/** Of a header of version 1; the Java client writes all five. */
export const requestMetaV1 = struct('thrift_request_meta_v1', {
  app_id: optional(1, i32),
  partition_index: optional(2, i32),
  client_timeout: optional(3, i32),
  client_partition_hash: optional(4, i64),
  is_backup_request: optional(5, bool),
});

export const partitionConfiguration = struct('partition_configuration', {
  pid: field(1, gpid),
  ballot: field(2, i64),
  max_replica_count: field(3, i32),
  primary: field(4, rpcAddress),
  secondaries: field(5, list(rpcAddress)),
  last_drops: field(6, list(rpcAddress)),
  last_committed_decree: field(7, i64),
  partition_flags: field(8, i32),
  hp_primary: optional(9, hostPort),
  hp_secondaries: optional(10, list(hostPort)),
  hp_last_drops: optional(11, list(hostPort)),
});

export const queryCfgRequest = struct('query_cfg_request', {
  app_name: field(1, string),
  // Absent in what the Node.js client writes.
  partition_indices: optional(2, list(i32)),
});

export const queryCfgResponse = struct('query_cfg_response', {
  err: field(1, errorCode),
  app_id: field(2, i32),
  partition_count: field(3, i32),
  is_stateful: field(4, bool),
  // Serializers that leave out null lists (generated Java) leave it out of error answers.
  partitions: optional(5, list(partitionConfiguration)),
});

export const negotiationStatus = enumeration('negotiation_status', {
  INVALID: 0,
  SASL_LIST_MECHANISMS: 1,
  SASL_LIST_MECHANISMS_RESP: 2,
  SASL_SELECT_MECHANISMS: 3,
  SASL_SELECT_MECHANISMS_RESP: 4,
  SASL_INITIATE: 5,
  SASL_CHALLENGE: 6,
  SASL_CHALLENGE_RESP: 7,
  SASL_SUCC: 8,
  SASL_AUTH_DISABLE: 9,
  SASL_AUTH_FAIL: 10,
});

export const negotiationRequest = struct('negotiation_request', {
  status: field(1, negotiationStatus),
  msg: optional(2, blob),
});

export const negotiationResponse = struct('negotiation_response', {
  status: field(1, negotiationStatus),
  msg: optional(2, blob),
});

export const appStatus = enumeration('app_status', {
  AS_INVALID: 0,
  AS_AVAILABLE: 1,
  AS_CREATING: 2,
  AS_CREATE_FAILED: 3,
  AS_DROPPING: 4,
  AS_DROP_FAILED: 5,
  AS_DROPPED: 6,
  AS_RECALLING: 7,
});

/** Only the oldest fields are demanded: servers of each version have added some. */
export const appInfo = struct('app_info', {
  status: field(1, appStatus),
  app_type: field(2, string),
  app_name: field(3, string),
  app_id: field(4, i32),
  partition_count: field(5, i32),
  envs: optional(6, map(string, string)),
  is_stateful: optional(7, bool),
  max_replica_count: optional(8, i32),
  expire_second: optional(9, i64),
  create_second: optional(10, i64),
  drop_second: optional(11, i64),
  duplicating: optional(12, bool),
  init_partition_count: optional(13, i32),
  is_bulk_loading: optional(14, bool),
  atomic_idempotent: optional(15, bool),
});

export const patternMatchType = enumeration('pattern_match_type', {
  PMT_INVALID: 0,
  PMT_MATCH_ALL: 1,
  PMT_MATCH_EXACT: 2,
  PMT_MATCH_ANYWHERE: 3,
  PMT_MATCH_PREFIX: 4,
  PMT_MATCH_POSTFIX: 5,
  PMT_MATCH_REGEX: 6,
});

/** `status` AS_INVALID asks for the tables of every status. */
export const listAppsRequest = struct('configuration_list_apps_request', {
  status: field(1, appStatus),
  app_name_pattern: optional(2, string),
  match_type: optional(3, patternMatchType),
});

export const listAppsResponse = struct('configuration_list_apps_response', {
  err: field(1, errorCode),
  infos: optional(2, list(appInfo)),
  hint_message: optional(3, string),
});

export const updateType = enumeration('update_type', {
  UT_PUT: 0,
  UT_INCR: 1,
  UT_CHECK_AND_SET: 2,
  UT_CHECK_AND_MUTATE_PUT: 3,
  UT_CHECK_AND_MUTATE_REMOVE: 4,
});

export const updateRequest = struct('update_request', {
  key: field(1, blob),
  value: field(2, blob),
  expire_ts_seconds: optional(3, i32),
  type: optional(4, updateType),
  check_value_returned: optional(5, bool),
  check_value_exist: optional(6, bool),
  check_value: optional(7, blob),
});

export const updateResponse = struct('update_response', {
  error: field(1, i32),
  app_id: field(2, i32),
  partition_index: field(3, i32),
  decree: field(4, i64),
  server: field(5, string),
});

export const readResponse = struct('read_response', {
  error: field(1, i32),
  value: field(2, blob),
  app_id: field(3, i32),
  partition_index: field(4, i32),
  server: field(6, string),
});

export const ttlResponse = struct('ttl_response', {
  error: field(1, i32),
  ttl_seconds: field(2, i32),
  app_id: field(3, i32),
  partition_index: field(4, i32),
  server: field(6, string),
});

export type PartitionConfiguration = ValueOf<typeof partitionConfiguration>;
export type QueryCfgRequest = ValueOf<typeof queryCfgRequest>;
export type QueryCfgResponse = ValueOf<typeof queryCfgResponse>;
export type AppInfo = ValueOf<typeof appInfo>;
export type ListAppsResponse = ValueOf<typeof listAppsResponse>;

/** An RPC: its one argument is field 1 of the args struct, its result field 0 of the result struct. */
export interface Rpc<Argument, Result> {
  readonly name: string;
  readonly argument: WireType<Argument>;
  readonly result: WireType<Result>;
}

function rpc<A, R>(name: string, argument: WireType<A>, result: WireType<R>): Rpc<A, R> {
  return { name, argument, result };
}

export const queryCfgRpc = rpc(QUERY_CFG, queryCfgRequest, queryCfgResponse);
export const negotiationRpc = rpc(NEGOTIATION, negotiationRequest, negotiationResponse);
export const listAppsRpc = rpc('RPC_CM_LIST_APPS', listAppsRequest, listAppsResponse);
export const putRpc = rpc('RPC_RRDB_RRDB_PUT', updateRequest, updateResponse);
export const getRpc = rpc('RPC_RRDB_RRDB_GET', blob, readResponse);
export const removeRpc = rpc('RPC_RRDB_RRDB_REMOVE', blob, updateResponse);
export const ttlRpc = rpc('RPC_RRDB_RRDB_TTL', blob, ttlResponse);
