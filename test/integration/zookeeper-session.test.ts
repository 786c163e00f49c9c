import { createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { StoreUnavailableError } from '../../src/routing/route-store.ts';
import type { ZookeeperSessionOptions } from '../../src/routing/zookeeper-session.ts';
import { waitFor } from '../support/wait-for.ts';
import { ZooKeeperAdmin } from '../support/zookeeper-admin.ts';
import { endSession, ZooKeeperForwarder } from '../support/zookeeper-forwarder.ts';
import { SessionHarness } from '../support/zookeeper-harness.ts';
import type { ZooKeeperProcess } from '../support/zookeeper-process.ts';
import { freePort, startEnsemble, startZooKeeper } from '../support/zookeeper-server.ts';

const OP_SET_WATCHES = 101;
const WATCHED = 2_000;

describe('a ZooKeeper session', { timeout: 60_000 }, () => {
  let server: ZooKeeperProcess;
  let admin: ZooKeeperAdmin;
  let cleanups: (() => Promise<unknown>)[];

  beforeAll(async () => {
    server = await startZooKeeper();
    admin = new ZooKeeperAdmin(server.address);
  }, 60_000);

  afterAll(async () => {
    await admin.close();
    await server.stop();
  });

  beforeEach(() => {
    cleanups = [];
  });

  afterEach(async () => {
    server.thaw();
    for (const cleanup of cleanups.reverse()) await cleanup();
    if (server.pid === undefined) await server.restart();
  });

  function open(servers: string, options: Partial<ZookeeperSessionOptions> = {}): SessionHarness {
    const harness = new SessionHarness(servers, options);
    cleanups.push(() => harness.session.close());
    harness.session.start();
    return harness;
  }

  async function forward(): Promise<ZooKeeperForwarder> {
    const forwarder = await ZooKeeperForwarder.start(server.port);
    cleanups.push(() => forwarder.stop());
    return forwarder;
  }

  /** A TCP server that takes connections and greets each with this; undefined for silence. */
  async function stranger(greeting?: Buffer): Promise<{ address: string; connections: () => number }> {
    const port = await freePort();
    const sockets: Socket[] = [];
    const tcp = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      if (greeting !== undefined) socket.write(greeting);
    });
    await new Promise<void>((resolve) => tcp.listen(port, '127.0.0.1', resolve));
    cleanups.push(async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => tcp.close(resolve));
    });
    return { address: `127.0.0.1:${port}`, connections: () => sockets.length };
  }

  it('reads a node with the transaction that wrote it, and is told once of its change and of its deletion', async () => {
    const z = open(server.address);
    await z.live();
    await admin.put('/basic/a', 'one');
    const node = await z.session.getData('/basic/a', true);
    expect(node).toEqual(await admin.get('/basic/a'));
    await admin.put('/basic/a', 'two');
    await z.event('changed /basic/a');
    const changed = await z.session.getData('/basic/a', true);
    expect(changed?.content.toString()).toBe('two');
    expect(changed!.mzxid).toBeGreaterThan(node!.mzxid);
    await admin.delete('/basic/a');
    await z.event('deleted /basic/a');
    expect(await z.session.getData('/basic/a', true)).toBeUndefined();
    expect(z.events).toEqual(['changed /basic/a', 'deleted /basic/a']);
  });

  it('watches a node that does not exist yet for its creation', async () => {
    const z = open(server.address);
    await z.live();
    expect(await z.session.exists('/basic/new', true)).toBe(false);
    await admin.put('/basic/new', '');
    await z.event('created /basic/new');
    expect(await z.session.exists('/basic/new', false)).toBe(true);
    expect(await z.read('/basic/new')).toBe('');
  });

  it('obeys the session timeout that the server grants', async () => {
    const z = open(server.address, { sessionTimeoutMs: 100 });
    await z.live();
    expect(z.session.sessionTimeoutMs).toBe(200);
    expect(await server.command('dump')).toContain(z.session.sessionId);
  });

  it('notices a frozen server within the session timeout and lives again, with watches, once it thaws', async () => {
    await admin.put('/frozen/a', 'before');
    const z = open(server.address, { sessionTimeoutMs: 1_000, operationTimeoutMs: 250 });
    await z.live();
    expect(await z.read('/frozen/a')).toBe('before');

    server.freeze();
    const frozenAt = performance.now();
    await expect(z.session.getData('/frozen/a', true)).rejects.toThrow(StoreUnavailableError);
    const rejectedAfter = performance.now() - frozenAt;
    await z.lost();
    const noticedAfter = z.lostAt - frozenAt;
    const refusedAt = performance.now();
    await expect(z.session.getData('/frozen/a', true)).rejects.toThrow('no ZooKeeper session');
    expect(performance.now() - refusedAt).toBeLessThan(50);
    expect(rejectedAfter).toBeLessThan(600);
    expect(noticedAfter).toBeLessThan(1_000);

    server.thaw();
    await z.live(2);
    await admin.put('/frozen/a', 'after');
    await waitFor(async () => (await z.read('/frozen/a')) === 'after', { what: 'the new content' });
    await admin.put('/frozen/a', 'later');
    await z.event('changed /frozen/a');
  });

  it('rejects what is pending at the moment when the session is lost, without waiting for the deadline', async () => {
    const z = open(server.address, { sessionTimeoutMs: 1_000, operationTimeoutMs: 20_000 });
    await z.live();
    server.freeze();
    const reads = Array.from({ length: 50 }, (_, i) => z.session.getData(`/pending/${i}`, true));
    const results = await Promise.allSettled(reads);
    expect(results.every((r) => r.status === 'rejected' && r.reason instanceof StoreUnavailableError)).toBe(true);
    expect(z.losses).toHaveLength(1);
    expect(z.session.outstanding).toBe(0);
  });

  it('keeps its session, and the answers, through a turn of its own longer than its deadlines', async () => {
    const z = open(server.address, { sessionTimeoutMs: 1_500, operationTimeoutMs: 100 });
    await z.live();
    // From an immediate on: timers come next, and the sockets only after them.
    await new Promise((resolve) => setImmediate(resolve));
    const reads = Array.from({ length: 10 }, () => z.session.exists('/zookeeper', false));
    const until = performance.now() + 700; // more than a third of the session timeout, when the probe is judged
    while (performance.now() < until) {}
    expect(await Promise.all(reads)).toEqual(reads.map(() => true));
    expect(await z.session.exists('/zookeeper', false)).toBe(true); // by then every timer that was due has been judged
    expect(z.losses).toEqual([]);
  });

  it('survives kill -9 and restart of its only server', async () => {
    await admin.put('/killed/a', 'kept');
    const z = open(server.address);
    await z.live();
    const first = z.session.sessionId;
    await server.kill();
    await z.lost();
    await server.restart();
    await z.live(2);
    expect(z.session.sessionId).not.toBe(first);
    expect(await z.read('/killed/a')).toBe('kept');
    await admin.put('/killed/a', 'new');
    await z.event('changed /killed/a');
    expect(z.logged('session lost')).toHaveLength(1);
    expect(z.logged('session established')).toHaveLength(2);
  });

  it('makes a new session after its own has expired on the server', async () => {
    await admin.put('/expired/a', 'one');
    const forwarder = await forward();
    const z = open(forwarder.address);
    await z.live();
    const first = z.session.sessionId;
    await z.read('/expired/a');
    await endSession(server.port, forwarder.last.connectResponse!);
    await z.lost();
    await z.live(2);
    expect(z.session.sessionId).not.toBe(first);
    expect(await z.read('/expired/a')).toBe('one');
    await admin.put('/expired/a', 'two');
    await z.event('changed /expired/a');
  });

  it('notices a cut cable, and asks the next connection not to be older than what it has seen', async () => {
    await admin.put('/cut/a', 'one');
    const forwarder = await forward();
    const z = open(forwarder.address, { sessionTimeoutMs: 1_000, connectTimeoutMs: 300 });
    await z.live();
    const first = z.session.sessionId!;
    const node = await z.session.getData('/cut/a', true);
    forwarder.cut();
    const cutAt = performance.now();
    await z.lost();
    expect(z.lostAt - cutAt).toBeLessThan(1_000);
    await waitFor(async () => !(await server.command('dump')).includes(first), { what: 'the expiry' });
    forwarder.mend();
    await z.live(2);
    expect(forwarder.last.connectRequest!.readBigInt64BE(8)).toBeGreaterThanOrEqual(node!.mzxid);
  });

  it('waits for a server that is absent at the start, without flooding the log', async () => {
    const port = await freePort();
    const z = open(`127.0.0.1:${port}`, { backoffMinMs: 5, backoffMaxMs: 20 });
    await waitFor(() => z.logged('no ZooKeeper session yet').length > 0, { what: 'the first warning' });
    await expect(z.session.getData('/a', false)).rejects.toThrow(StoreUnavailableError);
    const late = await startZooKeeper({ port });
    cleanups.push(() => late.stop());
    await z.live();
    expect(z.losses).toEqual([]);
    expect(z.lines.map((line) => line.msg)).toEqual([
      'no ZooKeeper session yet, trying on',
      'ZooKeeper session established',
    ]);
    expect(z.logged('no ZooKeeper session yet')[0]?.reason).toContain('ECONNREFUSED');
  });

  it('passes over dead and silent addresses in its list', async () => {
    const dead = `127.0.0.1:${await freePort()}`;
    const silent = await stranger();
    const z = open([dead, silent.address, `localhost:${server.port}`].join(','), { connectTimeoutMs: 300 });
    await z.live();
    await z.read('/zookeeper');
    // Every one of the list has its turn, whatever the order: end the session until the silent one was tried.
    const forLoss = await waitFor(async () => {
      if (silent.connections() > 0) return z.losses.length + 1;
      const lives = z.lives;
      await server.restart();
      await z.live(lives + 1);
      return undefined;
    });
    await z.live(forLoss);
  });

  it.each([
    ['an HTTP server', Buffer.from('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')],
    ['an absurd length', Buffer.from([0x7f, 0xff, 0xff, 0xff, 1, 2, 3])],
    ['a negative length', Buffer.from([0xff, 0xff, 0xff, 0xfc, 1, 2, 3, 4])],
    ['a frame of nothing', Buffer.from([0, 0, 0, 0])],
    ['a short frame', Buffer.from([0, 0, 0, 5, 1, 2, 3, 4, 5])],
    ['random bytes', Buffer.from('00000020ffffffffffffffffffffffffffffffff7fffffffffffffffffffffffffffffff', 'hex')],
  ])('is not harmed by %s, and finds the real server beside it', async (_name, greeting) => {
    const rubbish = await stranger(greeting);
    const alone = open(rubbish.address);
    await waitFor(() => rubbish.connections() >= 3, { what: 'three attempts' });
    expect(alone.logged('no ZooKeeper session yet')).toHaveLength(1);
    expect(alone.lives).toBe(0);
    const both = open(`${rubbish.address},${server.address}`);
    await both.live();
  });

  it('reads a node protected by an ACL with digest credentials only, and keeps its session without them', async () => {
    const owner = new ZooKeeperAdmin(server.address, {
      auth: { scheme: 'digest', credentials: 'owner:secret' },
      protect: true,
    });
    cleanups.push(() => owner.close());
    await owner.put('/protected', 'treasure');
    const trusted = open(server.address, { auth: { scheme: 'digest', credentials: 'owner:secret' } });
    await trusted.live();
    expect(await trusted.read('/protected')).toBe('treasure');
    const stranger = open(server.address, { auth: { scheme: 'digest', credentials: 'owner:wrong' } });
    await stranger.live();
    await expect(stranger.read('/protected')).rejects.toThrow(/NO_AUTH/);
    await expect(stranger.read('/protected')).rejects.toThrow(StoreUnavailableError);
    expect(stranger.losses).toEqual([]);
    expect(JSON.stringify(stranger.lines)).not.toContain('wrong');
  });

  it('tries on, and says why, where the server refuses its authentication', async () => {
    const forwarder = await forward();
    const z = open(forwarder.address, { auth: { scheme: 'nosuchscheme', credentials: 'x' } });
    await waitFor(() => forwarder.connections.length >= 3, { what: 'three attempts' });
    expect(z.lives).toBe(0);
    expect(z.logged('no ZooKeeper session yet').map((line) => line.reason)).toEqual([
      'ZooKeeper refused the authentication',
    ]);
  });

  it(`never sends SetWatches: ${WATCHED} watches are left behind with their connection and set anew`, async () => {
    for (let i = 0; i < WATCHED; i += 250) {
      await Promise.all(Array.from({ length: 250 }, (_, j) => admin.put(`/many/t${i + j}`, `${i + j}`)));
    }
    const forwarder = await forward();
    const z = open(forwarder.address);
    await z.live();
    const readAll = () => Promise.all(Array.from({ length: WATCHED }, (_, i) => z.read(`/many/t${i}`)));
    await readAll();
    const before = forwarder.last;
    before.server.destroy();
    await z.lost();
    await z.live(2);
    expect(forwarder.last).not.toBe(before);
    expect(forwarder.last.operations.filter((op) => op !== 3)).toEqual([]);
    expect((await readAll()).map(Number)).toEqual(Array.from({ length: WATCHED }, (_, i) => i));
    expect(await server.command('wchs')).toMatch(new RegExp(`Total watches:${WATCHED}\\b`));
    await admin.put('/many/t1234', 'changed');
    await z.event('changed /many/t1234');
    expect(forwarder.connections.flatMap((c) => c.operations)).not.toContain(OP_SET_WATCHES);
  });

  it('bounds the operations outstanding', async () => {
    const z = open(server.address, { maxOutstanding: 10 });
    await z.live();
    const results = await Promise.allSettled(Array.from({ length: 25 }, () => z.session.exists('/zookeeper', false)));
    expect(results.filter((r) => r.status === 'fulfilled')).toHaveLength(10);
    expect(results.filter((r) => r.status === 'rejected' && r.reason instanceof StoreUnavailableError)).toHaveLength(
      15,
    );
    expect(await z.session.exists('/zookeeper', false)).toBe(true);
  });

  it('backs off from a server that drops every session at once', async () => {
    const forwarder = await forward();
    const z = open(forwarder.address, { backoffMinMs: 10, backoffMaxMs: 400 });
    const startedAt = performance.now();
    let dropped = 0;
    await waitFor(
      () => {
        if (z.lives > dropped) {
          dropped = z.lives;
          forwarder.drop();
        }
        return dropped >= 9;
      },
      { timeoutMs: 20_000, what: 'nine sessions' },
    );
    const took = performance.now() - startedAt;
    // Half of 10+20+40+80+160+320+400+400 ms is the least that the backoff may take.
    expect(took).toBeGreaterThan(715);
    await z.live(10);
  });

  it('ends its session on the server when closed, and leaves no socket and no timer', async () => {
    const resources = () =>
      process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap' || kind === 'Timeout').length;
    await admin.get('/');
    const before = resources();
    const z = open(server.address, { operationTimeoutMs: 30_000 });
    await z.live();
    const id = z.session.sessionId!;
    expect(await server.command('dump')).toContain(id);
    const reads = Promise.allSettled([z.read('/a'), z.read('/b')]);
    const closedAt = performance.now();
    await Promise.all([z.session.close(), z.session.close()]);
    expect(performance.now() - closedAt).toBeLessThan(1_000);
    await reads;
    expect(await server.command('dump')).not.toContain(id);
    expect(z.session.live).toBe(false);
    await expect(z.read('/a')).rejects.toThrow(StoreUnavailableError);
    await waitFor(() => resources() <= before, { what: 'sockets and timers to go' });
    expect(z.losses).toEqual([]);
  });

  it('closes within its deadline while the server is frozen, and while there is none', async () => {
    const z = open(server.address, { sessionTimeoutMs: 20_000, closeTimeoutMs: 200 });
    await z.live();
    server.freeze();
    const closedAt = performance.now();
    await z.session.close();
    expect(performance.now() - closedAt).toBeLessThan(1_000);
    const never = open(`127.0.0.1:${await freePort()}`);
    await waitFor(() => never.lines.length > 0);
    await never.session.close();
    const silent = open((await stranger()).address);
    await silent.session.close();
  });

  it('refuses a server that lags behind what it has seen, and in the end takes a restored one as a new era', async () => {
    const port = await freePort();
    let own = await startZooKeeper({ port });
    cleanups.push(() => own.stop());
    const writer = new ZooKeeperAdmin(own.address);
    for (let i = 0; i < 20; i += 1) await writer.put('/era', `${i}`);
    await writer.close();
    const forwarder = await ZooKeeperForwarder.start(port);
    cleanups.push(() => forwarder.stop());
    const z = open(forwarder.address, { restoredAfterMs: 1_000, connectTimeoutMs: 200 });
    await z.live();
    const seen = (await z.session.getData('/era', true))!.mzxid;
    await own.stop(); // takes its data along: what comes back knows less than we have seen
    await z.lost();
    forwarder.cut(); // a server hangs up on everybody while it starts, and that is not the refusal meant here
    own = await startZooKeeper({ port });
    const attempts = forwarder.connections.length;
    await waitFor(() => forwarder.connections.length > attempts, { what: 'an attempt that ends in silence' });
    forwarder.drop();
    forwarder.mend();
    const emptyAt = performance.now();
    await z.live(2);
    expect(performance.now() - emptyAt).toBeGreaterThanOrEqual(1_000);
    const asked = forwarder.connections.flatMap((c) => c.connectRequest?.readBigInt64BE(8) ?? []);
    expect(asked.at(-1)).toBe(0n);
    expect(asked.filter((zxid) => zxid >= seen).length).toBeGreaterThan(1);
    expect(z.session.era).toBe(1n);
    expect(z.logged('ZooKeeper has been set back')).toHaveLength(1);
    expect(await z.read('/era')).toBeUndefined();
  });

  it('refuses malformed server lists', () => {
    for (const servers of ['', 'localhost', 'localhost:0', 'a:1,,b:2', '127.0.0.1:99999']) {
      expect(() => new SessionHarness(servers)).toThrow(/not a ZooKeeper server/);
    }
  });
});

describe('a ZooKeeper session with an ensemble', { timeout: 90_000 }, () => {
  it('lives through the loss of the leader, and through that of the member it talks to', async () => {
    const ensemble = await startEnsemble(3);
    const admin = new ZooKeeperAdmin(ensemble.addresses);
    const z = new SessionHarness(ensemble.addresses);
    try {
      await admin.put('/ensemble', 'one');
      z.session.start();
      await z.live();
      expect(await z.read('/ensemble')).toBe('one');
      const leader = await ensemble.leader();
      await leader.kill();
      await z.lost();
      await z.live(2);
      await admin.put('/ensemble', 'two');
      await waitFor(async () => (await z.read('/ensemble')) === 'two', {
        what: 'the content written after the election',
      });
      await admin.put('/ensemble', 'three');
      await z.event('changed /ensemble');
      await leader.restart();

      const losses = z.losses.length;
      const server = z.logged('session established').at(-1)?.server;
      const member = ensemble.members.find((m) => m.address === server)!;
      member.freeze();
      await z.lost(losses + 1);
      await z.live(losses + 2);
      expect(await waitFor(() => z.read('/ensemble').catch(() => undefined))).toBe('three');
      member.thaw();
    } finally {
      await z.session.close();
      await admin.close();
      await ensemble.stop();
    }
  });
});
