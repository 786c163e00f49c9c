import { describe, expect, it } from 'vitest';
import { MalformedFrameError } from '../../../src/wire/malformed-frame.ts';
import { isQueryCfg, QUERY_CFG, readTableName } from '../../../src/wire/query-cfg.ts';
import { RequestHead, requestFrameLength } from '../../../src/wire/request-frame.ts';
import { requestVector, requestVectors } from '../../support/vectors.ts';

function readHead(frame: Buffer): RequestHead {
  const head = new RequestHead();
  head.read(frame);
  return head;
}

/** The same request with a non-strict message begin. */
function nonStrict(frame: Buffer): Buffer {
  const head = readHead(frame);
  const name = frame.subarray(head.nameStart - 4, head.nameEnd);
  const message = Buffer.concat([name, Buffer.from([1]), frame.subarray(head.seqIdOffset)]);
  const changed = Buffer.concat([frame.subarray(0, 48), message]);
  changed.writeInt32BE(message.length, 16);
  return changed;
}

describe('RequestHead', () => {
  it.each(requestVectors)('reads $id', (vector) => {
    const { frame } = vector;
    expect(requestFrameLength(frame, 0, frame.length)).toBe(frame.length);
    const head = readHead(frame);
    expect(frame.toString('latin1', head.nameStart, head.nameEnd)).toBe(vector.rpc);
    expect(head.seqId).toBe(vector.seqId);
    expect(frame.readInt32BE(head.seqIdOffset)).toBe(vector.seqId);
    expect(head.clientTimeoutMs).toBe(vector.clientTimeoutMs);
    expect(isQueryCfg(frame, head)).toBe(vector.rpc === QUERY_CFG);
    if (vector.rpc === QUERY_CFG) {
      expect(Buffer.from(readTableName(frame, head), 'latin1').toString('utf8')).toBe(vector.appName);
    }
  });

  it('reads the old, non-strict message begin', () => {
    const frame = nonStrict(requestVector('go-query-temp-all-seq65535').frame);
    const head = readHead(frame);
    expect(isQueryCfg(frame, head)).toBe(true);
    expect(head.seqId).toBe(65535);
    expect(frame.readInt32BE(head.seqIdOffset)).toBe(65535);
    expect(readTableName(frame, head)).toBe('temp');
  });

  it('takes a ONEWAY message as a request', () => {
    const frame = Buffer.from(requestVector('go-query-temp-all-seq1').frame);
    frame[51] = 4;
    expect(isQueryCfg(frame, readHead(frame))).toBe(true);
  });

  it('finds the table behind fields that it does not know', () => {
    const { frame } = requestVector('go-query-temp-all-seq1');
    const head = readHead(frame);
    // field 9: map<string, list<struct>>, before the request struct, and field 7: string, before app_name
    const unknown = Buffer.from('0d00090b0f000000010000000161' + '0c00000001' + '0b00010000000178' + '00', 'hex');
    const inner = Buffer.from('0b000700000003626f6f', 'hex');
    const args = frame.subarray(head.argsOffset);
    const changed = Buffer.concat([
      frame.subarray(0, head.argsOffset),
      unknown,
      args.subarray(0, 3),
      inner,
      args.subarray(3),
    ]);
    expect(readTableName(changed, readHead(changed))).toBe('temp');
  });

  it('reads an absent app_name as the empty name', () => {
    const { frame } = requestVector('go-query-temp-all-seq1');
    const head = readHead(frame);
    for (const args of ['00', '0c00010000', '0c00010800010000000100' + '00']) {
      const changed = Buffer.concat([frame.subarray(0, head.argsOffset), Buffer.from(args, 'hex')]);
      expect(readTableName(changed, readHead(changed))).toBe('');
    }
  });

  it.each([
    ['another magic', 0, 'magic', (frame: Buffer) => frame.write('GET ', 0)],
    ['header version 2', 1, 'header', (frame: Buffer) => frame.writeInt32BE(2, 4)],
    ['a v0 header of 47 bytes', 1, 'header', (frame: Buffer) => frame.writeInt32BE(47, 8)],
    ['a negative body length', 1, 'header', (frame: Buffer) => frame.writeInt32BE(-1, 16)],
  ])('refuses %s as soon as it is seen', (_what, _n, reason, change) => {
    const frame = Buffer.from(requestVector('go-query-temp-all-seq1').frame);
    change(frame);
    expect(reasonOf(() => requestFrameLength(frame, 0, 20))).toBe(reason);
  });

  it.each([
    ['a reply', (frame: Buffer) => frame.writeUInt8(2, 51)],
    ['an exception', (frame: Buffer) => frame.writeUInt8(3, 51)],
    ['another thrift version', (frame: Buffer) => frame.writeUInt16BE(0x8002, 48)],
    ['a name longer than the frame', (frame: Buffer) => frame.writeInt32BE(1000, 52)],
    ['a negative name length', (frame: Buffer) => frame.writeInt32BE(-5, 52)],
  ])('refuses %s', (_what, change) => {
    const frame = Buffer.from(requestVector('go-query-temp-all-seq1').frame);
    change(frame);
    expect(reasonOf(() => readHead(frame))).toBe('message');
  });

  it('refuses a frame that ends before its seqId, or has no body', () => {
    const { frame } = requestVector('go-query-temp-all-seq1');
    expect(reasonOf(() => readHead(frame.subarray(0, 97)))).toBe('message');
    expect(reasonOf(() => readHead(frame.subarray(0, 48)))).toBe('message');
  });

  it('refuses what would lead a server past the end of the frame, behind the name as well', () => {
    const { frame } = requestVector('go-query-temp-idx0_3_7-seq1');
    const { argsOffset } = readHead(frame);
    for (let end = argsOffset; end < frame.length; end++) {
      const cut = frame.subarray(0, end);
      expect(reasonOf(() => readTableName(cut, readHead(cut)))).toBe('args');
    }
    const behindName = frame.indexOf('temp') + 4;
    const withTail = (hex: string) => Buffer.concat([frame.subarray(0, behindName), Buffer.from(hex, 'hex')]);
    for (const tail of [
      '0f0002080000000900000000' + '0000',
      '0f00020a00000001' + '0000000000000001' + '0000',
      '0b0003000000ff61' + '0000',
    ]) {
      const changed = withTail(tail);
      expect(reasonOf(() => readTableName(changed, readHead(changed)))).toBe('args');
    }
  });

  it('lets fields pass that it has never heard of, hand-made base types included', () => {
    const { frame } = requestVector('go-query-temp-all-seq1');
    const behindName = frame.indexOf('temp') + 4;
    // field 3, a host_port as it would be on the wire: a struct by its header, a string, a port and a type in truth
    const hostPort = `0c000300000009${Buffer.from('localhost').toString('hex')}872a010000`;
    for (const tail of [
      hostPort,
      '0f00030c00000001' + '000a' + '0000',
      '080003000000050000',
      '0b00030000000161' + '0000',
    ]) {
      const changed = Buffer.concat([frame.subarray(0, behindName), Buffer.from(tail, 'hex')]);
      expect(readTableName(changed, readHead(changed))).toBe('temp');
    }
  });

  it('refuses args that are cut off at any byte', () => {
    const { frame } = requestVector('go-query-temp-idx0_3_7-seq1');
    const head = readHead(frame);
    const nameEnd = frame.indexOf('temp') + 4;
    for (let end = head.argsOffset; end < nameEnd; end++) {
      const cut = frame.subarray(0, end);
      expect(reasonOf(() => readTableName(cut, readHead(cut)))).toBe('args');
    }
  });

  it('refuses nesting that would exhaust the stack, and counts that can not be', () => {
    const { frame } = requestVector('go-query-temp-all-seq1');
    const { argsOffset } = readHead(frame);
    const withArgs = (hex: string) => Buffer.concat([frame.subarray(0, argsOffset), Buffer.from(hex, 'hex')]);
    const deep = withArgs('0c0009'.repeat(50_000));
    expect(reasonOf(() => readTableName(deep, readHead(deep)))).toBe('args');
    const many = withArgs('0f0009' + '0c7fffffff' + '00');
    expect(reasonOf(() => readTableName(many, readHead(many)))).toBe('args');
    const negative = withArgs('0f0009' + '0cffffffff' + '00');
    expect(reasonOf(() => readTableName(negative, readHead(negative)))).toBe('args');
    const type = withArgs('630009' + '00');
    expect(reasonOf(() => readTableName(type, readHead(type)))).toBe('args');
  });

  it('reads a v1 meta with unknown and missing fields, and refuses one that is cut off', () => {
    const { frame } = requestVector('java-query-temp-all-seq1');
    const metaLength = frame.readInt32BE(8);
    const body = frame.subarray(16 + metaLength);
    const withMeta = (hex: string) => {
      const meta = Buffer.from(hex, 'hex');
      const changed = Buffer.concat([frame.subarray(0, 16), meta, body]);
      changed.writeInt32BE(meta.length, 8);
      return changed;
    };
    expect(readHead(withMeta('00')).clientTimeoutMs).toBe(0);
    expect(readHead(withMeta('0b000900000002616208000300000064' + '00')).clientTimeoutMs).toBe(100);
    expect(reasonOf(() => readHead(withMeta('')))).toBe('header');
    expect(reasonOf(() => readHead(withMeta('080003000000')))).toBe('header');
  });
});

function reasonOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof MalformedFrameError) return error.reason;
    throw error;
  }
  return 'nothing was thrown';
}
