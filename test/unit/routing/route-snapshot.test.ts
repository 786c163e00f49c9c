import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DISK, type Disk } from '../../../src/routing/atomic-file.ts';
import { RouteSnapshot } from '../../../src/routing/route-snapshot.ts';
import {
  decodeSnapshot,
  encodeSnapshot,
  type KnownRoute,
  type RegistryIdentity,
} from '../../../src/routing/route-snapshot-format.ts';
import { createMetrics, type Metrics } from '../../../src/telemetry/metrics.ts';
import type { LogLine } from '../../support/proxy.ts';
import { waitFor } from '../../support/wait-for.ts';

const REGISTRY: RegistryIdentity = { kind: 'zookeeper', places: ['zk1:2181', 'zk2:2181'], root: '/tables' };
const HEAD = { program: '1.2.3', registry: REGISTRY };

const known = (table: string, cluster = 'c', version = 1n): KnownRoute => ({
  table,
  route: { cluster, metas: ['m1:34601', '[::1]:34602'] },
  version,
  verifiedAt: 1_735_689_600_000,
});
const encode = (routes: Iterable<KnownRoute>, head = HEAD, maxBytes?: number) =>
  Buffer.concat([...encodeSnapshot(head, routes, maxBytes)]);

describe('the format', () => {
  it('gives back what was put in, in its order, versions beyond 64 bits included', () => {
    const routes = [known('b', 'c2', (1n << 64n) | 7n), known('a'), known('x.y:z')];
    expect(decodeSnapshot(encode(routes), REGISTRY)).toMatchObject({ program: '1.2.3', routes });
    expect(decodeSnapshot(encode([]), REGISTRY).routes).toEqual([]);
  });

  it('takes any order and number of tables across its pieces', () => {
    const routes = Array.from({ length: 1001 }, (_, i) => known(`t${i}`));
    expect(decodeSnapshot(encode(routes), REGISTRY).routes).toEqual(routes);
  });

  it('is refused when truncated, at every length', () => {
    const content = encode([known('a'), known('b')]);
    for (let length = 0; length < content.length; length++) {
      expect(() => decodeSnapshot(content.subarray(0, length), REGISTRY), `${length} bytes`).toThrow(
        /it is (truncated|empty|no snapshot)|checksum/,
      );
    }
  });

  it('is refused when any byte differs', () => {
    const content = encode([known('a'), known('b')]);
    for (let at = 0; at < content.length; at++) {
      const corrupt = Buffer.from(content);
      corrupt[at] = (corrupt[at] as number) ^ 0x01;
      expect(() => decodeSnapshot(corrupt, REGISTRY), `byte ${at}`).toThrow(/^it (is|has) /);
    }
  });

  it('is refused with something behind it, or doubled', () => {
    const content = encode([known('a')]);
    for (const more of ['x', '\n', '{}\n', content]) {
      expect(() => decodeSnapshot(Buffer.concat([content, Buffer.from(more)]), REGISTRY)).toThrow(/^it is /);
    }
  });

  it('is refused in a newer format, whatever follows', () => {
    const newer = Buffer.from('{"magic":"pegasus-meta-proxy routes","format":2,"program":"9.0.0"}\nwho knows');
    expect(() => decodeSnapshot(newer, REGISTRY)).toThrow('it has format 2, written by version 9.0.0');
  });

  it.each([
    ['another root', { ...REGISTRY, root: '/other' }],
    ['another kind', { ...REGISTRY, kind: 'file' }],
    ['other servers', { ...REGISTRY, places: ['zk7:2181'] }],
  ])('is refused when it is of %s', (_what, registry) => {
    expect(() => decodeSnapshot(encode([known('a')], { ...HEAD, registry }), REGISTRY)).toThrow('of another registry');
  });

  it('is of the same registry while one server is', () => {
    const grown = { ...REGISTRY, places: ['zk2:2181', 'zk3:2181'] };
    expect(decodeSnapshot(encode([known('a')]), grown).routes).toHaveLength(1);
  });

  it.each([
    ['a version', { ...known('a'), version: -1n }],
    ['a table', { ...known('a'), table: '../a' }],
    ['a cluster', known('a', '')],
    ['an address', { ...known('a'), route: { cluster: 'c', metas: ['nowhere'] } }],
  ])('is refused where %s makes no sense, although the checksum is right', (_what, bad) => {
    expect(() => decodeSnapshot(encode([known('z'), bad]), REGISTRY)).toThrow(/^line [45] makes no sense/);
  });

  it('leaves out the tables used least where there are too many', () => {
    const routes = Array.from({ length: 2000 }, (_, i) => known(`t${i}`));
    const content = encode(routes, HEAD, 40_000);
    const kept = decodeSnapshot(content, REGISTRY).routes;
    expect(kept).toEqual(routes.slice(0, kept.length));
    expect(kept.length).toBeLessThan(2000);
  });

  it('makes and reads 30,000 tables in pieces of a few ms', () => {
    const routes = Array.from({ length: 30_000 }, (_, i) => known(`some_table_name_${i}`, `cluster${i % 20}`));
    const pieces = encodeSnapshot(HEAD, routes);
    const content: Buffer[] = [];
    const times: number[] = [];
    for (;;) {
      const start = performance.now();
      const { done, value } = pieces.next();
      times.push(performance.now() - start);
      if (done) break;
      content.push(value);
    }
    const start = performance.now();
    decodeSnapshot(Buffer.concat(content), REGISTRY);
    const sum = times.reduce((a, b) => a + b, 0);
    process.stdout.write(
      `30,000 tables, ${Buffer.concat(content).length} bytes: made in ${sum.toFixed(0)} ms, longest piece ` +
        `${Math.max(...times).toFixed(1)} ms, read in ${(performance.now() - start).toFixed(0)} ms\n`,
    );
    expect(times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)]).toBeLessThan(10);
  });
});

describe('RouteSnapshot', () => {
  let folder: string;
  let path: string;
  let log: LogLine[];
  let metrics: Metrics;
  let source: { revision: number; routes: KnownRoute[]; knownRoutes(): KnownRoute[] };
  let opened: RouteSnapshot[];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'route-snapshot-'));
    path = join(folder, 'routes');
    log = [];
    metrics = createMetrics();
    opened = [];
    source = { revision: 0, routes: [], knownRoutes: () => source.routes };
  });

  afterEach(async () => {
    await Promise.all(opened.map((one) => one.close()));
    await rm(folder, { recursive: true, force: true });
  });

  function open(disk: Partial<Disk> = {}, registry = REGISTRY): RouteSnapshot {
    const logger = pino({ level: 'debug' }, { write: (line: string) => void log.push(JSON.parse(line)) });
    const options = { path, intervalMs: 5, registry, program: '1.2.3' };
    const snapshot = new RouteSnapshot(options, source, metrics, logger, { ...DISK, ...disk });
    opened.push(snapshot);
    return snapshot;
  }

  function set(...routes: KnownRoute[]): void {
    source.routes = routes;
    source.revision++;
  }

  const logged = (text: string) => log.filter(({ msg }) => msg.includes(text));
  const load = async () => (await open().load()).map(({ table }) => table);
  const written = () => waitFor(() => logged('snapshot of routes written')[0], { what: 'the snapshot' });

  it('starts without a file, writes what changes, and gives it back', async () => {
    const snapshot = open();
    expect(await snapshot.load()).toEqual([]);
    expect(logged('no snapshot of routes yet')).toHaveLength(1);
    snapshot.start();
    set(known('a'), known('b'));
    await written();
    expect(await open().load()).toEqual([known('a'), known('b')]);
    expect(metrics.snapshotFailures.value).toBe(0);
    expect(await readdir(folder)).toEqual(['routes']);
  });

  it('writes nothing while nothing changes, and once more at its end', async () => {
    const snapshot = open();
    snapshot.start();
    set(known('a'));
    await written();
    const { ino } = await stat(path);
    const age = () => metrics.snapshotAge.value;
    // The age falls whenever the file has been found to be complete.
    for (let looks = 0; looks < 3; looks++) {
      const before = age();
      await waitFor(() => age() < before + 0.001, { what: 'another look' });
    }
    expect((await stat(path)).ino).toBe(ino);
    set(known('a'), known('b'));
    await snapshot.close();
    expect(await load()).toEqual(['a', 'b']);
  });

  it('leaves the file of before alone when nothing was ever known', async () => {
    await writeFile(path, encode([known('a')]));
    const snapshot = open();
    snapshot.start();
    await snapshot.close();
    expect(await load()).toEqual(['a']);
  });

  it('leaves the old one when it is killed between writing and renaming, and what it left behind goes later', async () => {
    await writeFile(path, encode([known('old')]));
    let reached = () => {};
    const renaming = new Promise<void>((resolve) => {
      reached = resolve;
    });
    let go = () => {};
    const killed = new Promise<void>((resolve) => {
      go = resolve;
    });
    const dying = open({
      rename: async () => {
        reached();
        await killed;
        throw new Error('killed');
      },
      remove: async () => {},
    });
    dying.start();
    set(known('new'));
    await renaming;
    expect(await load()).toEqual(['old']);
    const leftover = (await readdir(folder)).find((name) => name.endsWith('.tmp')) as string;
    expect(decodeSnapshot(await readFile(join(folder, leftover)), REGISTRY).routes).toEqual([known('new')]);
    await utimes(join(folder, leftover), 0, 0);
    expect(await load()).toEqual(['old']);
    expect(await readdir(folder)).toEqual(['routes']);
    go();
  });

  it.each([
    ['truncated', encode([known('a')]).subarray(0, -20), 'it is truncated'],
    ['empty', Buffer.alloc(0), 'it is empty'],
    ['foreign', encode([known('a')], { ...HEAD, registry: { ...REGISTRY, root: '/else' } }), 'of another registry'],
    ['no snapshot at all', Buffer.from('tables:\n  a: {}\n'), 'it is no snapshot'],
  ])('starts without one that is %s, says why in one line, and puts it aside', async (_what, content, why) => {
    await writeFile(path, content);
    expect(await load()).toEqual([]);
    expect(log).toHaveLength(1);
    expect(log[0]).toMatchObject({ level: 50, file: path, keptAs: `${path}.rejected` });
    expect(log[0]?.msg).toBe('snapshot of routes refused and put aside, starting without');
    expect(log[0]?.reason).toContain(why);
    expect(await readdir(folder)).toEqual(['routes.rejected']);
    expect(await readFile(`${path}.rejected`)).toEqual(content);
    expect(metrics.snapshotFailures.value).toBe(1);
  });

  it('starts without one that can not be read or put aside', async () => {
    await symlink(path, path);
    const rename = () => Promise.reject(new Error('EROFS: read-only file system'));
    expect(await open({ rename }).load()).toEqual([]);
    expect(log).toHaveLength(1);
    expect(log[0]).toMatchObject({ problem: 'EROFS: read-only file system' });
    expect(log[0]?.reason).toContain('ELOOP');
  });

  it('never moves away what is no file', async () => {
    await mkdir(path);
    expect(await load()).toEqual([]);
    expect(log[0]?.reason).toBe('it is not a regular file');
    expect(await readdir(folder)).toEqual(['routes']);
  });

  it('says once that it can not write, counts, goes on trying, and says when it can', async () => {
    let full = true;
    const noSpace = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    const snapshot = open({
      open: async (name, flags) => {
        const file = await DISK.open(name, flags);
        return full
          ? { write: () => Promise.reject(noSpace), sync: () => file.sync(), close: () => file.close() }
          : file;
      },
    });
    snapshot.start();
    set(known('a'));
    await waitFor(() => metrics.snapshotFailures.value >= 3, { what: 'three failures' });
    expect(logged('could not be written')).toHaveLength(1);
    expect(logged('could not be written')[0]?.reason).toContain('ENOSPC');
    expect(metrics.snapshotAge.value).toBeGreaterThan(0);
    expect(await readdir(folder)).toEqual([]);
    full = false;
    await waitFor(() => logged('is written again')[0], { what: 'success' });
    expect(await load()).toEqual(['a']);
  });

  it('writes later into a folder that does not exist yet', async () => {
    path = join(folder, 'later', 'routes');
    const snapshot = open();
    expect(await snapshot.load()).toEqual([]);
    snapshot.start();
    set(known('a'));
    await waitFor(() => logged('could not be written')[0], { what: 'a failure' });
    await mkdir(join(folder, 'later'));
    await waitFor(() => logged('is written again')[0], { what: 'success' });
  });

  it('does not wait for ever for a disk that hangs at the end', async () => {
    const snapshot = open({ rename: () => new Promise(() => {}) });
    snapshot.start();
    set(known('a'));
    await snapshot.close();
    expect(logged('could not be written')[0]?.reason).toContain('the disk has not answered');
  });
});
