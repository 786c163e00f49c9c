import { describe, expect, it } from 'vitest';
import { handlerNotFound, negotiationAuthDisabled, queryCfgError } from '../../../src/wire/local-response.ts';
import { MalformedFrameError } from '../../../src/wire/malformed-frame.ts';
import { answerKind, readBodyError, readForwardAddress } from '../../../src/wire/query-cfg.ts';
import { ResponseHead, responseFrameLength } from '../../../src/wire/response-frame.ts';
import { responseVector, responseVectors } from '../../support/vectors.ts';

function readHead(frame: Buffer): ResponseHead {
  const head = new ResponseHead();
  head.read(frame);
  return head;
}

function forwardOf(id: string): string | undefined {
  const { frame } = responseVector(id);
  const head = readHead(frame);
  expect(answerKind(frame, head)).toBe('forward');
  return readForwardAddress(frame, head);
}

describe('ResponseHead', () => {
  it.each(responseVectors)('reads $id', (vector) => {
    const { frame } = vector;
    expect(responseFrameLength(frame, 0, frame.length)).toBe(frame.length);
    const head = readHead(frame);
    expect(frame.toString('latin1', head.errorStart, head.errorEnd)).toBe(vector.headerError);
    expect(head.ok).toBe(vector.headerError === 'ERR_OK');
    expect(head.seqId).toBe(vector.seqId);
    expect(frame.readInt32BE(head.seqIdOffset)).toBe(vector.seqId);
  });

  it.each(responseVectors.filter(({ rpc }) => rpc.startsWith('RPC_CM_QUERY')))('knows what $id means', (vector) => {
    const head = readHead(vector.frame);
    const expected = {
      ERR_OK: 'ok',
      ERR_FORWARD_TO_OTHERS: 'forward',
    }[vector.bodyErr ?? ''];
    expect(answerKind(vector.frame, head)).toBe(vector.bodyErr === null ? 'header-error' : (expected ?? 'body-error'));
    if (vector.bodyErr !== null) expect(readBodyError(vector.frame, head)).toBe(vector.bodyErr);
  });

  it('finds the leader that a redirect names', () => {
    expect(forwardOf('forward-addr')).toBe('127.0.0.1:34602');
    expect(forwardOf('forward-addr-hp')).toBe('127.0.0.1:34602');
    expect(forwardOf('go-forward-addr')).toBe('127.0.0.1:34602');
  });

  it('finds none where a redirect names none', () => {
    expect(forwardOf('forward-empty-list')).toBeUndefined();
    expect(forwardOf('forward-nolist')).toBeUndefined();
    expect(forwardOf('forward-invalid-addr')).toBeUndefined();
  });

  it('throws, and reads nothing beyond, wherever a redirect is cut off', () => {
    const { frame } = responseVector('forward-addr');
    const { resultOffset } = readHead(frame);
    const primaryEnd = frame.indexOf(Buffer.from('7f000001872a0001', 'hex')) + 8;
    for (let end = resultOffset; end < primaryEnd; end++) {
      const cut = frame.subarray(0, end);
      expect(() => {
        answerKind(cut, readHead(cut));
        if (readForwardAddress(cut, readHead(cut)) === undefined) throw new MalformedFrameError('args', 'no address');
      }).toThrow(MalformedFrameError);
    }
  });

  it('refuses lengths that no response has', () => {
    const head = Buffer.alloc(4);
    for (const length of [0, 4, 19, -1, -2147483648]) {
      head.writeInt32BE(length);
      expect(() => responseFrameLength(head, 0, 4)).toThrow(MalformedFrameError);
    }
  });

  it('refuses a response that is no strict reply', () => {
    const frame = Buffer.from(responseVector('ok-4').frame);
    frame.writeInt32BE(0x80010001 | 0, 14);
    expect(() => readHead(frame)).toThrow(MalformedFrameError);
  });

  it('refuses an answer that does not begin with err', () => {
    const frame = Buffer.from(responseVector('ok-4').frame);
    const { resultOffset } = readHead(frame);
    frame.writeInt16BE(2, resultOffset + 4);
    expect(() => answerKind(frame, readHead(frame))).toThrow(MalformedFrameError);
  });
});

describe('local responses', () => {
  it.each([
    ['err-object-not-found', queryCfgError('ERR_OBJECT_NOT_FOUND')],
    ['err-service-not-active', queryCfgError('ERR_SERVICE_NOT_ACTIVE')],
    ['err-invalid-data', queryCfgError('ERR_INVALID_DATA')],
    ['hdr-handler-not-found-rpc-cm-list-apps', handlerNotFound('RPC_CM_LIST_APPS')],
    ['hdr-handler-not-found-rpc-rrdb-rrdb-get', handlerNotFound('RPC_RRDB_RRDB_GET')],
    ['negotiation-auth-disable', negotiationAuthDisabled()],
  ])('are byte for byte what a server writes: %s', (id, template) => {
    const vector = responseVector(id);
    expect(template.withSeqId(vector.seqId).toString('hex')).toBe(vector.frame.toString('hex'));
  });

  it('carry any seqId', () => {
    for (const seqId of [0, 1, -1, 2147483647, -2147483648]) {
      expect(readHead(queryCfgError('ERR_OBJECT_NOT_FOUND').withSeqId(seqId)).seqId).toBe(seqId);
    }
  });

  it('truncate a long name as the server does', () => {
    const frame = handlerNotFound('R'.repeat(200)).withSeqId(1);
    expect(frame.toString('latin1')).toContain('R'.repeat(47));
    expect(frame.toString('latin1')).not.toContain('R'.repeat(48));
  });
});
