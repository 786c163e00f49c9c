import { encodeRequest, encodeResponse } from '../../../src/wire/message-frame.ts';
import * as messages from '../../../src/wire/messages.ts';

/** Frames of the RPCs for which the official clients' recordings have none, with every field that there is. */

const key = Buffer.from('\x00\x04hashsort');
const update = { key, value: Buffer.from('value'), expire_ts_seconds: 100, type: 'UT_PUT' } as const;
const app: messages.AppInfo = {
  status: 'AS_AVAILABLE',
  app_type: 'pegasus',
  app_name: 'temp',
  app_id: 2,
  partition_count: 8,
  envs: new Map([
    ['replica.deny_client_request', 'reconfig*all'],
    ['a', ''],
  ]),
  is_stateful: true,
  max_replica_count: 3,
  expire_second: 0n,
  create_second: 1_600_000_000n,
  drop_second: -1n,
  duplicating: false,
  init_partition_count: 8,
  is_bulk_loading: false,
  atomic_idempotent: true,
};
const where = { error: 0, app_id: 2, partition_index: 1, server: '127.0.0.1:34801' };

export const sampleRequests: readonly Buffer[] = [
  encodeRequest({ rpc: messages.putRpc, seqId: 1, args: update, appId: 2, partitionIndex: 1, partitionHash: 77n }),
  encodeRequest({
    rpc: messages.putRpc,
    seqId: 2,
    args: { ...update, check_value_returned: true, check_value_exist: false, check_value: key },
    headerVersion: 1,
    isBackupRequest: true,
  }),
  encodeRequest({ rpc: messages.getRpc, seqId: 3, args: key, strict: false }),
  encodeRequest({ rpc: messages.removeRpc, seqId: 4, args: key, oneway: true }),
  encodeRequest({ rpc: messages.ttlRpc, seqId: 5, args: key, headerVersion: 1, timeoutMs: 1000 }),
  encodeRequest({
    rpc: messages.listAppsRpc,
    seqId: 6,
    args: { status: 'AS_INVALID', app_name_pattern: 'te', match_type: 'PMT_MATCH_PREFIX' },
  }),
  encodeRequest({
    rpc: messages.negotiationRpc,
    seqId: 7,
    args: { status: 'SASL_INITIATE', msg: Buffer.from('token') },
  }),
  encodeRequest({
    rpc: messages.queryCfgRpc,
    seqId: 8,
    args: { app_name: 'temp', partition_indices: [0, 1, 2, -1] },
    strict: false,
  }),
];

export const sampleResponses: readonly Buffer[] = [
  encodeResponse({ rpc: messages.putRpc, seqId: 1, result: { ...where, decree: 12n } }),
  encodeResponse({ rpc: messages.getRpc, seqId: 2, result: { ...where, value: Buffer.from('value') } }),
  encodeResponse({ rpc: messages.removeRpc, seqId: 3, result: { ...where, decree: -1n } }),
  encodeResponse({ rpc: messages.ttlRpc, seqId: 4, result: { ...where, ttl_seconds: -1 } }),
  encodeResponse({
    rpc: messages.listAppsRpc,
    seqId: 5,
    result: { err: 'ERR_OK', infos: [app, { ...app, app_name: 'stat' }], hint_message: 'hint' },
  }),
  encodeResponse({
    rpc: messages.negotiationRpc,
    seqId: 6,
    result: { status: 'SASL_LIST_MECHANISMS_RESP', msg: Buffer.from('GSSAPI') },
  }),
  encodeResponse({ rpc: messages.putRpc, seqId: 7, headerError: 'ERR_BUSY' }),
];
