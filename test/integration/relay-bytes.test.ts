import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { QUERY_CFG, readTableName } from '../../src/wire/query-cfg.ts';
import { RequestHead } from '../../src/wire/request-frame.ts';
import { isTableName } from '../../src/wire/table-name.ts';
import { TestProxy } from '../support/proxy.ts';
import type { RawClient } from '../support/raw-client.ts';
import { ScriptedMeta, withSeqId } from '../support/scripted-meta.ts';
import { requestVector, requestVectors, responseVector, responseVectors } from '../support/vectors.ts';

const queries = requestVectors.filter(({ rpc }) => rpc === QUERY_CFG);
const routable = queries.filter(({ appName }) => isTableName(appName ?? ''));
const answers = responseVectors.filter(
  ({ rpc, headerError, bodyErr }) =>
    rpc === `${QUERY_CFG}_ACK` && headerError === 'ERR_OK' && bodyErr !== 'ERR_FORWARD_TO_OTHERS',
);

describe('a relayed request and its answer', () => {
  let meta: ScriptedMeta;
  let proxy: TestProxy;
  let client: RawClient;

  beforeAll(async () => {
    meta = await ScriptedMeta.start();
    const tables = [...new Set(routable.map(({ appName }) => appName as string))];
    const place = { cluster: 'a', metas: [meta.address] };
    proxy = await TestProxy.start(Object.fromEntries(tables.map((table) => [table, place])));
    client = await proxy.connect();
  });

  afterAll(async () => {
    await proxy.stop();
    await meta.stop();
  });

  beforeEach(() => {
    meta.received.length = 0;
    meta.script = ({ seqId }, socket) => socket.write(withSeqId(responseVector('ok-4').frame, seqId));
  });

  /** The frame with the seqId of another one in the place of its own. */
  function withSeqIdOf(frame: Buffer, other: Buffer): Buffer {
    const head = new RequestHead();
    head.read(frame);
    const changed = Buffer.from(frame);
    other.copy(changed, head.seqIdOffset, head.seqIdOffset, head.seqIdOffset + 4);
    return changed;
  }

  async function exchange(frame: Buffer, seqId: number, cut = 0): Promise<Buffer> {
    if (cut > 0) {
      await new Promise((sent) => client.socket.write(frame.subarray(0, cut), sent));
      client.sendRaw(frame.subarray(cut));
    } else {
      client.sendRaw(frame);
    }
    return client.response(seqId);
  }

  it.each(routable)("$id: the MetaServer gets the client's bytes, the client the MetaServer's", async (vector) => {
    const answer = await exchange(vector.frame, vector.seqId);
    expect(meta.received).toHaveLength(1);
    const received = meta.received[0] as Buffer;
    expect(received.toString('hex')).toBe(withSeqIdOf(vector.frame, received).toString('hex'));
    expect(answer.toString('hex')).toBe(withSeqId(responseVector('ok-4').frame, vector.seqId).toString('hex'));
  });

  it.each(answers)('$id: passes unchanged, whatever is in it', async ({ frame }) => {
    meta.script = ({ seqId }, socket) => socket.write(withSeqId(frame, seqId));
    const answer = await exchange(requestVector('go-query-temp-all-seq65535').frame, 65535);
    expect(answer.toString('hex')).toBe(withSeqId(frame, 65535).toString('hex'));
  });

  it.each(['java', 'go', 'python', 'nodejs'])('a frame of the %s client, cut at every byte boundary', async (name) => {
    const vector = routable.find(({ client, seqId }) => client === name && seqId === 65535) as (typeof routable)[0];
    for (let cut = 1; cut < vector.frame.length; cut++) {
      const answer = await exchange(vector.frame, vector.seqId, cut);
      expect(answer.toString('hex')).toBe(withSeqId(responseVector('ok-4').frame, 65535).toString('hex'));
      const received = meta.received.pop() as Buffer;
      expect(received.toString('hex')).toBe(withSeqIdOf(vector.frame, received).toString('hex'));
    }
  });

  it('an answer cut at every byte boundary', async () => {
    const { frame } = responseVector('ok-4-hp');
    for (let cut = 1; cut < frame.length; cut += 3) {
      meta.script = ({ seqId }, socket) => {
        const answer = withSeqId(frame, seqId);
        socket.write(answer.subarray(0, cut), () => socket.write(answer.subarray(cut)));
      };
      const answer = await exchange(requestVector('go-query-temp-all-seq1').frame, 1);
      expect(answer.toString('hex')).toBe(withSeqId(frame, 1).toString('hex'));
    }
  });

  it('all vectors in one chunk, answered in reverse order', async () => {
    const held: (() => void)[] = [];
    meta.script = ({ seqId }, socket) => {
      held.push(() => socket.write(withSeqId(responseVector('ok-64').frame, seqId)));
      if (held.length === routable.length) for (const send of held.reverse()) send();
    };
    // Each with a seqId of its own, so that the answers can be told apart.
    const frames = routable.map(({ frame }, i) => {
      const changed = Buffer.from(frame);
      const head = new RequestHead();
      head.read(changed);
      changed.writeInt32BE(-1000 - i, head.seqIdOffset);
      return changed;
    });
    const all = Promise.all(frames.map((_, i) => client.response(-1000 - i)));
    client.sendRaw(Buffer.concat(frames));
    const got = await all;
    got.forEach((answer, i) => {
      expect(answer.toString('hex')).toBe(withSeqId(responseVector('ok-64').frame, -1000 - i).toString('hex'));
    });
    expect(client.unclaimed).toHaveLength(0);
  });

  it('an answer of 200 KB and more', async () => {
    const { frame } = responseVector('ok-64');
    const large = Buffer.concat([frame, Buffer.alloc(300_000, 0x5a)]);
    large.writeInt32BE(large.length, 0);
    meta.script = ({ seqId }, socket) => socket.write(withSeqId(large, seqId));
    const answer = await exchange(requestVector('go-query-temp-all-seq2').frame, 2);
    expect(answer.equals(withSeqId(large, 2))).toBe(true);
  });

  it('the same seqId used by many clients at once', async () => {
    const clients = await Promise.all(Array.from({ length: 50 }, () => proxy.connect()));
    const tables = [...new Set(routable.map(({ appName }) => appName as string))];
    const appIdAt = responseVector('ok-4').frame.indexOf(Buffer.from('08000200000002', 'hex')) + 3;
    meta.script = ({ frame, seqId }, socket) => {
      // Each client is told its own table's number, as the app id.
      const head = new RequestHead();
      head.read(frame);
      const answer = withSeqId(responseVector('ok-4').frame, seqId);
      answer.writeInt32BE(tables.indexOf(readTableName(frame, head)), appIdAt);
      socket.write(answer);
    };
    const got = await Promise.all(
      clients.map(async (one, i) => {
        const table = tables[i % tables.length];
        one.sendRaw(
          (routable.find(({ appName, seqId }) => appName === table && seqId === 1) as (typeof routable)[0]).frame,
        );
        return (await one.response(1)).readInt32BE(appIdAt);
      }),
    );
    expect(got).toEqual(clients.map((_, i) => i % tables.length));
  });
});
