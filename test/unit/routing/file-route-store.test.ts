import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileRouteStore } from '../../../src/routing/file-route-store.ts';
import { StoreUnavailableError } from '../../../src/routing/route-store.ts';
import { waitFor } from '../../support/wait-for.ts';

const TWO_TABLES = 'clusters: {a: [m1:1, m2:2]}\ntables: {temp: a, stat: a}\n';

interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly table?: string;
  readonly reason?: string;
}

let folder: string;
let file: string;
let store: FileRouteStore;
let events: string[];
let lines: LogLine[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'file-route-store-test-'));
  file = join(folder, 'tables.yaml');
  events = [];
  lines = [];
});

afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

function logger(): Logger {
  return pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line) as LogLine) });
}

/** `pollMs` is an hour unless the poll itself is tested: then only the watch can tell of changes. */
function start(path = file, pollMs = 3_600_000): void {
  store = new FileRouteStore(path, logger(), { settleMs: 5, pollMs });
  store.start({
    onChanged: (table) => events.push(table),
    onAvailable: () => events.push('available'),
    onUnavailable: (reason) => events.push(`unavailable: ${reason}`),
  });
}

/** Replaces the file in one step: a file that is written in place is empty for a moment, which may be seen. */
async function put(content: string): Promise<void> {
  await writeFile(join(folder, 'new'), content);
  await rename(join(folder, 'new'), file);
}

async function startWith(content: string): Promise<void> {
  await writeFile(file, content);
  start();
  await waitFor(() => store.available, { what: 'the first read' });
}

const metasOf = async (table: string) => (await store.read(table))?.route?.metas;
const errors = () => lines.filter(({ level }) => level >= 50);

describe('the file', () => {
  it('gives the routes of its tables', async () => {
    await startWith(`
clusters:
  a: [m1:1, "[::1]:2"]
  b: "m3:3, m4:4"
tables:
  short: a
  string: b
  named: { cluster: a }
  rfc: { cluster: c, meta-addrs: [m5:5] }
  deployed: { cluster_name: c, meta_addrs: "m5:5,m6:6" }
`);
    expect(events).toEqual(['available']);
    expect(await store.read('short')).toEqual({ version: 1n, route: { cluster: 'a', metas: ['m1:1', '[::1]:2'] } });
    expect(await metasOf('string')).toEqual(['m3:3', 'm4:4']);
    expect(await metasOf('named')).toEqual(['m1:1', '[::1]:2']);
    expect(await store.read('rfc')).toMatchObject({ route: { cluster: 'c', metas: ['m5:5'] } });
    expect(await metasOf('deployed')).toEqual(['m5:5', 'm6:6']);
    expect(await store.read('other')).toBeUndefined();
    expect(await store.read('__proto__')).toBeUndefined();
  });

  it('with a mistake in one entry gives the others, and the problem of that one', async () => {
    await startWith(`clusters: {a: [m1:1], bad: [m1]}
tables:
  good: a
  no_cluster: b
  bad_cluster: bad
  number: 7
  nothing:
  typo: { cluster: a, meta_adrs: [m1:1] }
  no_metas: { cluster: a, meta-addrs: [] }
  a/b: a
  '..': a
`);
    expect(await metasOf('good')).toEqual(['m1:1']);
    const problem = async (table: string) => (await store.read(table))?.problem;
    expect(await problem('no_cluster')).toBe('line 4: no cluster "b" under "clusters"');
    expect(await problem('bad_cluster')).toBe('line 1: not a host:port: "m1"');
    expect(await problem('number')).toBe("line 6: expected a cluster's name or the fields of a route");
    expect(await problem('nothing')).toBe("line 7: expected a cluster's name or the fields of a route");
    expect(await problem('typo')).toContain('line 8: unknown field "meta_adrs"');
    expect(await problem('no_metas')).toBe('line 9: the list of MetaServer addresses is empty');
    expect(await problem('a/b')).toBe('line 10: not a table name: "a/b"');
    expect(await problem('..')).toBe('line 11: not a table name: ".."');
    expect(errors().map(({ table }) => table)).toHaveLength(8);
  });

  it.each([
    ['', 'the file is empty, expected "tables"'],
    ['tables', 'line 1: expected "tables" and, if wanted, "clusters"'],
    ['clusters: {}', '"tables" is missing'],
    ['tables:', 'line 1: "tables": expected a mapping (for none: {})'],
    ['tables: [a]', 'line 1: "tables": expected a mapping (for none: {})'],
    ['tables: {}\nclusters: x', 'line 2: "clusters": expected a mapping (for none: {})'],
    ['tables: {}\ntable: {}', 'line 2: unknown key "table", expected "tables" and, if wanted, "clusters"'],
    ['tables: {a: x, a: y}', 'line 1: the key "a" stands there twice'],
    ['tables: {a: *x}', 'line 1: aliases (*name) are not supported'],
    ['\xff'.repeat(1024 * 1024), 'larger than 1048576 bytes'],
  ])('that is no file of tables makes the store unavailable: %.20j', async (content, reason) => {
    await writeFile(file, content);
    start();
    await waitFor(() => events.length > 0, { what: 'a word from the store' });
    expect(events).toEqual([`unavailable: ${file}: ${reason}`]);
    expect(store.available).toBe(false);
    await expect(store.read('temp')).rejects.toThrow(new StoreUnavailableError(`${file}: ${reason}`));
    await put(TWO_TABLES);
    await waitFor(() => store.available, { what: 'the mended file' });
    expect(events.at(-1)).toBe('available');
  });

  it('that is missing at the start is taken when it appears', async () => {
    start();
    await waitFor(() => events.length > 0, { what: 'a word from the store' });
    expect(events).toEqual([`unavailable: ${file}: no such file`]);
    await put(TWO_TABLES);
    await waitFor(() => store.available, { what: 'the file to be found' });
    expect(await metasOf('temp')).toEqual(['m1:1', 'm2:2']);
  });

  it('in a folder that is missing at the start is found by the poll', async () => {
    const deep = join(folder, 'later', 'tables.yaml');
    start(deep, 20);
    await waitFor(() => events.length > 0, { what: 'a word from the store' });
    await mkdir(join(folder, 'later'));
    await writeFile(deep, TWO_TABLES);
    await waitFor(() => store.available, { what: 'the file to be found' });
  });
});

describe('a change', () => {
  beforeEach(async () => {
    await startWith(TWO_TABLES);
    events.length = 0;
  });

  it('is told for tables that were added, changed and removed, and raises their version alone', async () => {
    await put('clusters: {a: [m1:1, m2:2], b: [m3:3]}\ntables: {temp: b, added: a}\n');
    await waitFor(() => events.length >= 3, { what: 'three changes' });
    expect(events.toSorted()).toEqual(['added', 'stat', 'temp']);
    expect(await store.read('temp')).toEqual({ version: 2n, route: { cluster: 'b', metas: ['m3:3'] } });
    expect(await store.read('stat')).toBeUndefined();

    await put('clusters: {a: [m1:1, m2:2], b: [m3:3]}\ntables: {temp: b, added: a, stat: a}\n');
    await waitFor(() => events.includes('stat') && events.length >= 4, { what: 'the table to come back' });
    expect((await store.read('stat'))?.version).toBe(3n);
    expect((await store.read('temp'))?.version).toBe(2n);
    expect(events).toHaveLength(4);
  });

  it.each([
    ['by a rename over the file', put],
    ['in place', (content: string) => writeFile(file, content)],
  ])('%s is seen, and each further one', async (_how, write) => {
    for (const meta of ['m7:7', 'm8:8', 'm9:9']) {
      await write(`clusters: {a: [${meta}]}\ntables: {temp: a}\n`);
      await waitFor(async () => (await metasOf('temp'))?.[0] === meta, { what: `the change to ${meta}` });
    }
  });

  it('to rubbish leaves the last good tables, with one error for each content', async () => {
    await put('tables: {temp: ');
    await waitFor(() => errors().length === 1, { what: 'the error' });
    expect(errors()[0]).toMatchObject({ msg: "the file of tables can't be used, the last good one stays" });
    expect(errors()[0]?.reason).toMatch(/^line 1: not valid YAML: /);
    expect(store.available).toBe(true);
    expect(await metasOf('temp')).toEqual(['m1:1', 'm2:2']);
    await put(TWO_TABLES.replaceAll('m1:1', 'm9:9'));
    await waitFor(async () => (await metasOf('temp'))?.[0] === 'm9:9', { what: 'the mended file' });
    expect(errors()).toHaveLength(1);
    expect(events.toSorted()).toEqual(['stat', 'temp']);
  });

  it('of one entry to rubbish is the problem of that one', async () => {
    await put('clusters: {a: [m1:1, m2:2]}\ntables: {temp: nowhere, stat: a}\n');
    await waitFor(() => events.length > 0, { what: 'the change' });
    expect(events).toEqual(['temp']);
    expect(await store.read('temp')).toEqual({ version: 2n, problem: 'line 2: no cluster "nowhere" under "clusters"' });
    expect((await store.read('stat'))?.version).toBe(1n);
  });

  it('that takes the file away leaves its tables', async () => {
    await unlink(file);
    await waitFor(() => errors().length === 1, { what: 'the error' });
    expect(errors()[0]?.reason).toBe('no such file');
    expect(store.available).toBe(true);
    await put('clusters: {a: [m9:9]}\ntables: {temp: a}\n');
    await waitFor(async () => (await metasOf('temp'))?.[0] === 'm9:9', { what: 'the file to be back' });
  });

  it('that changes no route tells nobody', async () => {
    await put(`# a comment\n${TWO_TABLES}`);
    await waitFor(() => lines.filter(({ msg }) => msg === 'file of tables read').length === 2, { what: 'the re-read' });
    expect(events).toEqual([]);
    expect((await store.read('temp'))?.version).toBe(1n);
  });

  it('is not told any more after the store was closed', async () => {
    await store.close();
    await expect(store.read('temp')).rejects.toThrow(StoreUnavailableError);
    expect(store.available).toBe(false);
    await store.close();
    expect(events).toEqual([]);
  });
});

describe('a change without an event', () => {
  it('of a symlink that is swapped, as in a ConfigMap, is seen', async () => {
    await mkdir(join(folder, '..v1'));
    await mkdir(join(folder, '..v2'));
    await writeFile(join(folder, '..v1', 'tables.yaml'), TWO_TABLES);
    await writeFile(join(folder, '..v2', 'tables.yaml'), TWO_TABLES.replaceAll('m1:1', 'm9:9'));
    await symlink('..v1', join(folder, '..data'));
    await symlink(join('..data', 'tables.yaml'), file);
    start();
    await waitFor(() => store.available, { what: 'the first read' });
    await symlink('..v2', join(folder, '..tmp'));
    await rename(join(folder, '..tmp'), join(folder, '..data'));
    await waitFor(async () => (await metasOf('temp'))?.[0] === 'm9:9', { what: 'the swap' });
  });

  it('behind a symlink to another folder is found by the poll', async () => {
    const elsewhere = join(folder, 'elsewhere');
    await mkdir(elsewhere);
    await writeFile(join(elsewhere, 'real.yaml'), TWO_TABLES);
    await symlink(join(elsewhere, 'real.yaml'), file);
    start(file, 20);
    await waitFor(() => store.available, { what: 'the first read' });
    await writeFile(join(elsewhere, 'real.yaml'), TWO_TABLES.replaceAll('m1:1', 'm9:9'));
    await waitFor(async () => (await metasOf('temp'))?.[0] === 'm9:9', { what: 'the poll' });
  });
});
