import { describe, expect, it } from 'vitest';
import { MalformedFrameError } from '../../../src/wire/malformed-frame.ts';
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse } from '../../../src/wire/message-frame.ts';
import * as messages from '../../../src/wire/messages.ts';
import type { EnumType, StructType, WireType } from '../../../src/wire/thrift-struct.ts';
import { readIdl } from '../../support/idl.ts';
import { requestVectors, responseVector, responseVectors } from '../../support/vectors.ts';

const { queryCfgRpc, listAppsRpc, negotiationRpc, getRpc, putRpc, ttlRpc } = messages;

describe('messages.ts and idl/pegasus.thrift', () => {
  const idl = readIdl(new URL('../../../idl/pegasus.thrift', import.meta.url));
  const exported: readonly unknown[] = Object.values(messages);
  const structs = exported.filter((one): one is StructType<unknown> => has(one, 'fields'));
  const enums = exported.filter((one): one is EnumType<string> => has(one, 'enumerators'));
  const rpcs = exported.filter((one): one is messages.Rpc<unknown, unknown> => has(one, 'argument'));

  it('declare the same structs, enums and RPCs', () => {
    const baseTypes = ['error_code', 'gpid', 'rpc_address', 'host_port', 'blob'];
    for (const name of baseTypes) expect(idl.structs.get(name)).toEqual([]);
    const declared = [...idl.structs.keys()].filter((name) => !baseTypes.includes(name));
    expect(structs.map((one) => one.idl).sort()).toEqual(declared.sort());
    expect(enums.map((one) => one.idl).sort()).toEqual([...idl.enums.keys()].sort());
    expect(rpcs.map((one) => one.name).sort()).toEqual([...idl.functions.keys()].sort());
  });

  it.each(structs.map((one) => [one.idl, one] as const))('struct %s has the same ids, types and names', (name, one) => {
    const ours = one.fields.map((field) => ({ id: field.id, type: field.type.idl, name: field.name }));
    const declared = idl.structs.get(name) ?? [];
    expect(ours).toEqual(declared.map(({ id, type, name: fieldName }) => ({ id, type, name: fieldName })));
    // What the IDL calls optional may be absent; of the rest we tolerate more than it says.
    for (const field of declared.filter((known) => known.optional)) {
      expect(one.fields.find((known) => known.id === field.id)?.optional).toBe(true);
    }
  });

  it.each(enums.map((one) => [one.idl, one] as const))('enum %s has the same enumerators', (name, one) => {
    expect(one.enumerators).toEqual(idl.enums.get(name));
  });

  it.each(rpcs.map((one) => [one.name, one] as const))('%s takes and returns the same', (name, one) => {
    expect({ argument: one.argument.idl, result: one.result.idl }).toEqual(idl.functions.get(name));
  });
});

describe('requests of the official clients', () => {
  const queries = requestVectors.filter((vector) => vector.rpc === queryCfgRpc.name);

  it.each(requestVectors)('$id is read as recorded', (vector) => {
    const request = decodeRequest(vector.frame);
    expect(request).toMatchObject({
      headerVersion: vector.headerVersion,
      rpc: vector.rpc,
      seqId: vector.seqId,
      timeoutMs: vector.clientTimeoutMs,
      strict: true,
      oneway: false,
    });
  });

  it.each(queries)('$id: args as recorded, and the same bytes again', (vector) => {
    const frame = vector.frame;
    const request = decodeRequest(frame, queryCfgRpc);
    expect(request.args.app_name).toBe(vector.appName);
    expect(request.args.partition_indices ?? null).toEqual(vector.partitionIndices);
    expect(encodeRequest({ ...request, rpc: queryCfgRpc })).toEqual(vector.frame);
  });

  it.each(
    requestVectors.flatMap((vector) => {
      const rpc = [listAppsRpc, negotiationRpc, getRpc].find((one) => one.name === vector.rpc);
      return rpc === undefined ? [] : [{ id: vector.id, vector, rpc: rpc as messages.Rpc<unknown, unknown> }];
    }),
  )('$id: the same bytes again', ({ vector, rpc }) => {
    const request = decodeRequest(vector.frame, rpc);
    expect(encodeRequest({ ...request, rpc })).toEqual(vector.frame);
  });
});

describe('responses of the vectors', () => {
  const answers = responseVectors.filter((vector) => vector.bodyErr !== null);

  it.each(responseVectors)('$id is read as recorded', (vector) => {
    const response = decodeResponse(vector.frame);
    expect(response).toMatchObject({ headerError: vector.headerError, name: vector.rpc, seqId: vector.seqId });
  });

  it.each(answers)('$id: its result as recorded, and the same bytes again', (vector) => {
    const { seqId, result } = decodeResponse(vector.frame, queryCfgRpc);
    if (result === undefined) expect.unreachable();
    expect(result).toMatchObject({
      err: vector.bodyErr,
      app_id: vector.appId,
      partition_count: vector.partitionCount,
    });
    expect(encodeResponse({ rpc: queryCfgRpc, seqId, result })).toEqual(vector.frame);
  });

  it.each(responseVectors.filter((vector) => vector.headerError !== 'ERR_OK'))(
    '$id: no result, the same bytes again',
    (vector) => {
      const rpc = { ...queryCfgRpc, name: vector.rpc.replace(/_ACK$/, '') };
      const { seqId, headerError, result } = decodeResponse(vector.frame, rpc);
      expect(result).toBeUndefined();
      expect(encodeResponse({ rpc, seqId, headerError })).toEqual(vector.frame);
    },
  );

  it('of a negotiation', () => {
    const { frame, seqId } = responseVector('negotiation-auth-disable');
    const { result } = decodeResponse(frame, negotiationRpc);
    if (result === undefined) expect.unreachable();
    expect(result).toEqual({ status: 'SASL_AUTH_DISABLE', msg: Buffer.alloc(0) });
    expect(encodeResponse({ rpc: negotiationRpc, seqId, result }).equals(frame)).toBe(true);
  });

  it('carry every field of a partition', () => {
    const { result } = decodeResponse(responseVector('ok-4-hp').frame, queryCfgRpc);
    expect(result?.partitions?.[1]).toEqual({
      pid: { appId: 2, partitionIndex: 1 },
      ballot: 4n,
      max_replica_count: 3,
      primary: '10.132.5.2:34801',
      secondaries: ['10.132.5.3:34801', '10.132.5.5:34801'],
      last_drops: [],
      last_committed_decree: 1001n,
      partition_flags: 0,
      hp_primary: expect.stringMatching(/^[\w.-]+:34801$/),
      hp_secondaries: [expect.stringMatching(/:34801$/), expect.stringMatching(/:34801$/)],
      hp_last_drops: [],
    });
  });

  it('tell an invalid address from an absent one', () => {
    const partition = decodeResponse(responseVector('ok-4-hp-no-primary').frame, queryCfgRpc).result?.partitions?.[1];
    expect(partition).toHaveProperty('primary', undefined);
    expect(partition).toHaveProperty('hp_primary', undefined);
    const without = decodeResponse(responseVector('ok-4').frame, queryCfgRpc).result?.partitions?.[1];
    expect(without).not.toHaveProperty('hp_primary');
    const { result } = decodeResponse(responseVector('ok-4-hp-port-65535').frame, queryCfgRpc);
    expect(result?.partitions?.[0]?.hp_primary).toMatch(/:65535$/);
  });
});

describe('forms that no vector has', () => {
  const args = { app_name: 'temp' };

  it.each([
    { form: 'not strict', options: { strict: false } },
    { form: 'oneway', options: { oneway: true } },
    { form: 'not strict, oneway, version 1', options: { strict: false, oneway: true, headerVersion: 1 } },
    { form: 'a negative seqId', options: { seqId: -2_147_483_648 } },
  ] as const)('a request, $form, comes back as it was', ({ options }) => {
    const request = { rpc: queryCfgRpc, seqId: 5, args, ...options };
    expect(decodeRequest(encodeRequest(request), queryCfgRpc)).toMatchObject({ ...request, rpc: queryCfgRpc.name });
  });

  it('a put and the answer to a ttl', () => {
    const update = {
      key: Buffer.from('\0\x01hs'),
      value: Buffer.from([0, 255]),
      expire_ts_seconds: 7,
      type: 'UT_PUT',
    } as const;
    const frame = encodeRequest({ rpc: putRpc, seqId: 1, args: update, appId: 2, partitionIndex: 3, threadHash: 9 });
    expect(decodeRequest(frame, putRpc)).toMatchObject({ args: update, appId: 2, partitionIndex: 3, threadHash: 9 });
    const result = { error: 0, ttl_seconds: -1, app_id: 2, partition_index: 3, server: '127.0.0.1:1' };
    expect(decodeResponse(encodeResponse({ rpc: ttlRpc, seqId: 1, result }), ttlRpc).result).toEqual(result);
  });

  it('tables with envs, and a status that is newer than we are', () => {
    const info = {
      status: 'UNKNOWN_42',
      app_type: 'pegasus',
      app_name: 'temp',
      app_id: 2,
      partition_count: 8,
      envs: new Map([['a', 'b']]),
      drop_second: 2n ** 40n,
    } as const;
    const frame = encodeResponse({ rpc: listAppsRpc, seqId: 1, result: { err: 'ERR_OK', infos: [info] } });
    expect(decodeResponse(frame, listAppsRpc).result).toEqual({ err: 'ERR_OK', infos: [info] });
  });

  it('fields of a newer peer are stepped over', () => {
    const newer = { ...listAppsRpc, result: messages.queryCfgResponse } as messages.Rpc<
      unknown,
      messages.QueryCfgResponse
    >;
    const result = { err: 'ERR_OK', app_id: 1, partition_count: 2, is_stateful: true, partitions: [] };
    const frame = encodeResponse({ rpc: newer, seqId: 1, result });
    // As a list-apps answer: err is the same, app_id (i32) stands where infos (a list) is due.
    expect(decodeResponse(frame, listAppsRpc).result).toEqual({ err: 'ERR_OK' });
  });

  it('addresses that the wire cannot carry are refused', () => {
    const write = (type: WireType<string | undefined>, address: string) =>
      encodeRequest({ rpc: { name: 'X', argument: type, result: type }, seqId: 1, args: address });
    for (const address of ['localhost:1', '1.2.3:4', '1.2.3.256:1', '1.2.3.4:65536', '']) {
      expect(() => write(fieldType('primary'), address)).toThrow(RangeError);
    }
    expect(() => write(fieldType('hp_primary'), 'no-port')).toThrow(RangeError);
  });
});

describe('bytes that are not what they claim', () => {
  const { frame } = responseVector('ok-4-hp');
  const request = encodeRequest({ rpc: queryCfgRpc, seqId: 1, args: { app_name: 'temp', partition_indices: [1, 2] } });

  it('a frame cut short anywhere is refused', () => {
    for (let length = 12; length < frame.length - 1; length++) {
      expect(() => decodeResponse(frame.subarray(0, length), queryCfgRpc), `${length} bytes`).toThrow(
        MalformedFrameError,
      );
    }
    for (let length = 48; length < request.length - 1; length++) {
      expect(() => decodeRequest(request.subarray(0, length), queryCfgRpc), `${length} bytes`).toThrow(
        MalformedFrameError,
      );
    }
  });

  it('no byte turned over makes anything but a value or a MalformedFrameError', () => {
    for (let at = 0; at < frame.length; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const spoilt = Buffer.from(frame);
        spoilt[at] = (spoilt[at] as number) ^ flip;
        try {
          decodeResponse(spoilt, queryCfgRpc);
        } catch (error) {
          expect(error, `byte ${at} ^ ${flip}`).toBeInstanceOf(MalformedFrameError);
        }
      }
    }
  });

  it('another RPC, a struct without a field that it needs, no argument at all', () => {
    expect(() => decodeRequest(request, listAppsRpc)).toThrow(MalformedFrameError);
    expect(() => decodeResponse(frame, listAppsRpc)).toThrow(MalformedFrameError);
    const list = { ...queryCfgRpc, argument: messages.requestMetaV1 };
    expect(() => decodeRequest(encodeRequest({ rpc: list, seqId: 1, args: {} }), queryCfgRpc)).toThrow(
      /without app_name/,
    );
    const empty = Buffer.concat([request.subarray(0, request.indexOf('temp') - 10), Buffer.from([0])]);
    expect(() => decodeRequest(empty, queryCfgRpc)).toThrow(/no field 1/);
  });
});

function has<K extends string>(value: unknown, key: K): value is Record<K, unknown> {
  return typeof value === 'object' && value !== null && key in value;
}

function fieldType(name: string): WireType<string | undefined> {
  const field = messages.partitionConfiguration.fields.find((one) => one.name === name);
  return field?.type as WireType<string | undefined>;
}
