import { describe, expect, it } from 'vitest';
import { encodeResponse } from '../../src/wire/message-frame.ts';
import { queryCfgRpc } from '../../src/wire/messages.ts';
import { ALLOWANCE_MS, appIdOf } from './layout.ts';
import { NOWHERE, Oracle } from './load/oracle.ts';

const [A, B, C] = [0, 1, 2] as const;
/** A table whose home is the cluster A. */
const TABLE = 0;
const SENT_AT = 100_000;

function answer({ err = 'ERR_OK', appId = 0, headerError = 'ERR_OK', partitions = 8 }): Buffer {
  const result = { err, app_id: appId, partition_count: partitions, is_stateful: true, partitions: [] };
  return encodeResponse({ rpc: queryCfgRpc, seqId: 7, ...(headerError === 'ERR_OK' ? { result } : { headerError }) });
}

const answerFrom = (cluster: number, table = TABLE) => answer({ appId: appIdOf(cluster, table) });

describe('the oracle', () => {
  const references = new Map([A, B, C].map((cluster) => [appIdOf(cluster, TABLE), answerFrom(cluster)]));
  const judge = (oracle: Oracle, frame: Buffer, sentAt = SENT_AT) => oracle.judge(TABLE, sentAt, frame);

  it('takes the answer of the cluster where the table is, under any seqId', () => {
    const frame = answerFrom(A);
    frame.writeInt32BE(-5, frame.indexOf(Buffer.from([0, 0, 0, 7])));
    expect(judge(new Oracle(references), frame)).toEqual({ kind: 'good', place: A });
  });

  it('finds the answer of a cluster where the table never was', () => {
    expect(judge(new Oracle(references), answerFrom(B))).toMatchObject({ kind: 'bad', category: 'wrong-cluster' });
  });

  it('lets the old cluster answer what was sent within the allowance, and nothing later', () => {
    const oracle = new Oracle(references);
    oracle.allow(TABLE, B);
    oracle.revoke(TABLE, A, SENT_AT);
    expect(judge(oracle, answerFrom(B))).toMatchObject({ kind: 'good', place: B });
    expect(judge(oracle, answerFrom(A), SENT_AT + ALLOWANCE_MS)).toMatchObject({ kind: 'good', place: A });
    expect(judge(oracle, answerFrom(A), SENT_AT + ALLOWANCE_MS + 1)).toMatchObject({ kind: 'bad', category: 'stale' });
  });

  it('finds the old cluster wrong once the new one has been seen, the allowance or not', () => {
    const oracle = new Oracle(references);
    oracle.allow(TABLE, B);
    oracle.revoke(TABLE, A, SENT_AT);
    oracle.settle(TABLE, A, SENT_AT + 50);
    expect(judge(oracle, answerFrom(A), SENT_AT + 50)).toMatchObject({ kind: 'good' });
    expect(judge(oracle, answerFrom(A), SENT_AT + 51)).toMatchObject({ kind: 'bad', category: 'wrong-cluster' });
  });

  it('lets a table be unknown only where it was deleted', () => {
    const oracle = new Oracle(references);
    const notFound = answer({ err: 'ERR_OBJECT_NOT_FOUND' });
    expect(judge(oracle, notFound)).toMatchObject({ kind: 'bad', category: 'wrong-cluster' });
    oracle.allow(TABLE, NOWHERE);
    expect(judge(oracle, notFound)).toEqual({ kind: 'good', place: NOWHERE });
  });

  it('takes "not now" for an error, and every other error for a wrong answer', () => {
    const oracle = new Oracle(references);
    expect(judge(oracle, answer({ err: 'ERR_SERVICE_NOT_ACTIVE' }))).toMatchObject({ kind: 'error' });
    for (const frame of [
      answer({ err: 'ERR_FORWARD_TO_OTHERS' }),
      answer({ err: 'ERR_MADE_UP' }),
      answer({ headerError: 'ERR_HANDLER_NOT_FOUND' }),
      Buffer.from('rubbish that is no answer at all'),
    ]) {
      expect(judge(oracle, frame)).toMatchObject({ kind: 'bad', category: 'wrong-answer' });
    }
  });

  it('finds the answer about another table, and altered bytes', () => {
    const oracle = new Oracle(references);
    expect(judge(oracle, answerFrom(A, 3))).toMatchObject({ kind: 'bad', category: 'wrong-answer' });
    const altered = answer({ appId: appIdOf(A, TABLE), partitions: 9 });
    expect(judge(oracle, altered)).toMatchObject({ kind: 'bad', category: 'wrong-answer' });
  });
});
