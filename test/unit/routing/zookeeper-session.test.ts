import { afterEach, describe, expect, it } from 'vitest';
import { ZookeeperRouteStore } from '../../../src/routing/zookeeper-route-store.ts';
import type { ZookeeperSessionOptions } from '../../../src/routing/zookeeper-session.ts';
import { waitFor } from '../../support/wait-for.ts';
import {
  connectResponse,
  type FakeRequest,
  type FakeScript,
  FakeZooKeeper,
  nodeData,
  notification,
  OP,
  reply,
  stat,
} from '../../support/zookeeper-fake.ts';
import { captureLog, SessionHarness } from '../../support/zookeeper-harness.ts';

const NO_NODE = -101;
const THROTTLED = -127;
const CHANGED = 3;
const OK_ROUTE = '{"cluster":"c","meta-addrs":["h:1"]}';

/** What hazards a real server can't be made to produce at will. */
describe('a ZooKeeper session with a scripted server', { timeout: 20_000 }, () => {
  const cleanups: (() => Promise<unknown>)[] = [];

  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  /** A server that gives a session and answers probes, and asks `script` about the rest. */
  async function serve(script: FakeScript, sessionTimeoutMs = 3_000): Promise<FakeZooKeeper> {
    const fake = await FakeZooKeeper.start((request) => {
      if (request.type === OP.connect) return connectResponse(sessionTimeoutMs);
      if (request.type === OP.closeSession) return reply(request, 1n, 0);
      if (request.type === OP.exists && pathOf(request) === '/zookeeper') return reply(request, 7n, 0, stat(1n));
      return script(request);
    });
    cleanups.push(() => fake.stop());
    return fake;
  }

  function open(fake: FakeZooKeeper, options: Partial<ZookeeperSessionOptions> = {}): SessionHarness {
    const harness = new SessionHarness(fake.address, { closeTimeoutMs: 50, ...options });
    cleanups.push(() => harness.session.close());
    harness.session.start();
    return harness;
  }

  it('carries the last zxid seen into the next connect request, and a new session', async () => {
    const fake = await serve((request) => reply(request, 0x5_0000_0009n, NO_NODE));
    const z = open(fake);
    await z.live();
    expect(await z.read('/missing')).toBeUndefined();
    fake.requests.at(-1)!.socket.destroy();
    await z.live(2);
    const connects = fake.requests.filter((request) => request.type === OP.connect);
    expect(connects.map((request) => request.frame.readBigInt64BE(8))).toEqual([0n, 0x5_0000_0009n]);
    expect(connects.map((request) => request.frame.readBigInt64BE(20))).toEqual([0n, 0n]);
  });

  it('asks for the session timeout configured', async () => {
    const fake = await serve(() => undefined);
    await open(fake, { sessionTimeoutMs: 12_345 }).live();
    expect(fake.requests[0]!.frame.readInt32BE(16)).toBe(12_345);
  });

  it('keeps the session when one operation fails with an error code that the library does not know', async () => {
    const fake = await serve((request) =>
      pathOf(request) === '/throttled' ? reply(request, 8n, THROTTLED) : reply(request, 8n, 0, nodeData('fine', 3n)),
    );
    const z = open(fake);
    await z.live();
    await expect(z.read('/throttled')).rejects.toThrow(/SYSTEM_ERROR/);
    expect(await z.read('/other')).toBe('fine');
    expect(z.losses).toEqual([]);
  });

  it.each([
    ['a content longer than its frame', (r: FakeRequest) => reply(r, 8n, 0, nodeData('x', 1n, 0x7fff_ffff))],
    ['a content of negative length', (r: FakeRequest) => reply(r, 8n, 0, nodeData('x', 1n, -2))],
    ['a reply cut short', (r: FakeRequest) => reply(r, 8n, 0, Buffer.from([0, 0]))],
    ['an answer out of turn', (r: FakeRequest) => reply({ ...r, xid: r.xid + 5 }, 8n, 0, nodeData('x', 1n))],
    ['a watch event of a kind unknown', () => notification(99, '/a')],
    ['a frame beyond all limits', () => Buffer.from([0x48, 0x54, 0x54, 0x50])],
  ])('takes %s for a lost session, and makes a new one', async (_name, answer) => {
    const fake = await serve((request) => (request.connection === 0 ? answer(request) : reply(request, 9n, NO_NODE)));
    const z = open(fake);
    await z.live();
    await expect(z.read('/a')).rejects.toThrow(/session is lost/);
    await z.live(2);
    expect(await z.read('/a')).toBeUndefined();
    expect(z.losses).toHaveLength(1);
  });

  it('takes no password longer than the frame of its connect response', async () => {
    const fake = await FakeZooKeeper.start(() => connectResponse(3_000, 0x7fff_ffff));
    cleanups.push(() => fake.stop());
    const z = open(fake);
    await waitFor(() => z.lines.length > 0, { what: 'the warning' });
    expect(z.lines[0]?.reason).toContain('longer than its frame');
  });

  it('takes a session timeout of 0, an expired session, for a lost one', async () => {
    const fake = await FakeZooKeeper.start(() => connectResponse(0));
    cleanups.push(() => fake.stop());
    const z = open(fake);
    await waitFor(() => fake.connections >= 3, { what: 'three attempts' });
    expect(z.lines.map((line) => line.reason)).toEqual(['the session has expired']);
  });

  it('gives up on a server that gives a session but answers no read', async () => {
    const fake = await FakeZooKeeper.start((r) => (r.type === OP.connect ? connectResponse(3_000) : undefined));
    cleanups.push(() => fake.stop());
    const z = open(fake, { connectTimeoutMs: 100 });
    await waitFor(() => fake.connections >= 3, { what: 'three attempts' });
    expect(z.lives).toBe(0);
    expect(z.lines.map((line) => line.reason)).toEqual(['no session within 100 ms']);
  });

  it('tells a read before the change that came in the same chunk', async () => {
    const fake = await serve((request) =>
      Buffer.concat([reply(request, 8n, 0, nodeData('old', 3n)), notification(CHANGED, '/a')]),
    );
    const z = open(fake);
    await z.live();
    const content = await z.read('/a');
    expect(content).toBe('old');
    expect(z.events).toEqual([]);
    await z.event('changed /a');
  });

  it('does not mistake a slow answer for silence while its bytes come in', async () => {
    let isBusy = false;
    const held: FakeRequest[] = [];
    const fake = await FakeZooKeeper.start((request) => {
      if (request.type === OP.connect) return connectResponse(300);
      if (isBusy) {
        held.push(request);
        return undefined;
      }
      if (request.type !== OP.getData) return reply(request, 7n, 0, stat(1n));
      isBusy = true;
      // 129 bytes, 10 ms each: more than four times the session timeout, and nothing else answered meanwhile.
      const whole = reply(request, 8n, 0, nodeData('x'.repeat(37), 3n));
      for (let i = 0; i < whole.length; i += 1) {
        setTimeout(() => {
          request.socket.write(whole.subarray(i, i + 1));
          if (i < whole.length - 1) return;
          isBusy = false;
          for (const late of held) late.socket.write(reply(late, 9n, 0, stat(1n)));
        }, i * 10);
      }
      return undefined;
    });
    cleanups.push(() => fake.stop());
    const z = open(fake, { operationTimeoutMs: 10_000 });
    await z.live();
    const readAt = performance.now();
    expect(await z.read('/a')).toBe('x'.repeat(37));
    expect(performance.now() - readAt).toBeGreaterThan(1_000);
    expect(await z.session.exists('/b', false)).toBe(true);
    expect(z.losses).toEqual([]);
  });

  it('reads a table again that was created between the read and the watch, and gives up on one that flickers', async () => {
    let createdAfter = 1;
    const fake = await serve((request) => {
      const reads = fake.requests.filter((r) => r.type === OP.getData).length;
      if (request.type === OP.exists) return reply(request, 8n, 0, stat(5n));
      return reads > createdAfter ? reply(request, 8n, 0, nodeData(OK_ROUTE, 5n)) : reply(request, 8n, NO_NODE);
    });
    const store = new ZookeeperRouteStore(
      { servers: fake.address, root: '/zookeeper', sessionTimeoutMs: 3_000, operationTimeoutMs: 2_000 },
      captureLog().log,
    );
    cleanups.push(() => store.close());
    store.start({ onAvailable: () => {}, onUnavailable: () => {}, onChanged: () => {} });
    await waitFor(() => store.available);
    expect(await store.read('temp')).toEqual({ version: 5n, route: { cluster: 'c', metas: ['h:1'] } });
    expect(store.missingWatches).toBe(0);
    createdAfter = 1_000;
    await expect(store.read('temp')).rejects.toThrow(/again and again/);
  });
});

/** The path of an exists or getData request: behind length, xid and type. */
function pathOf(request: FakeRequest): string {
  return request.frame.subarray(16, 16 + request.frame.readInt32BE(12)).toString();
}
