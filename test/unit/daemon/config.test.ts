import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Config,
  ConfigError,
  describeConfig,
  formatConfig,
  loadConfig,
  parseConfig,
} from '../../../src/daemon/config.ts';
import { renderConfigurationKeys } from '../../../src/daemon/config-docs.ts';
import { ALL_KEYS } from '../../../src/daemon/config-keys.ts';

const GO_DAEMON = `zookeeper:
  address: [127.0.0.1:22181,127.0.0.2:22181]
  root: /pegasus-cluster
  timeout: 1000 # ms
  table_watcher_cache_capacity: 1024
metric:
  type: prometheus # or falcon
  tags: [region=local_tst,service=meta_proxy]
`;
const ZK = 'zookeeper: {address: zk, root: /r}\n';

const parse = (text: string | Uint8Array) => parseConfig(text, 'dir/x.yaml');

/** The message of the mistake in `text`. */
function mistake(text: string | Uint8Array): string {
  try {
    parse(text);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).message;
  }
  return expect.fail(`no mistake was found in ${JSON.stringify(String(text).slice(0, 80))}`);
}

describe("the Go daemon's file", () => {
  it('loads unchanged', () => {
    const config = parse(GO_DAEMON);
    expect(config.zookeeper).toEqual({
      servers: ['127.0.0.1:22181', '127.0.0.2:22181'],
      root: '/pegasus-cluster',
      sessionTimeoutMs: 1000,
      auth: { scheme: 'digest', credentials: '' },
    });
    expect(config.cache.capacity).toBe(1024);
    expect(config.metric).toEqual({ type: 'prometheus', tags: { region: 'local_tst', service: 'meta_proxy' } });
    expect(config.listen).toEqual({ host: '0.0.0.0', port: 34601 });
    expect(config.admin.listen).toEqual({ host: '0.0.0.0', port: 9091 });
  });

  it.each([
    ['one string of addresses', 'zookeeper: {address: "a:1, b:2", root: /r}', { servers: ['a:1', 'b:2'] }],
    ['an address without a port', 'zookeeper: {address: [a], root: /r}', { servers: ['a:2181'] }],
    ['an address twice', 'zookeeper: {address: [a:1, A:1], root: /r}', { servers: ['a:1'] }],
    ['a slash at the end of the root', 'zookeeper: {address: a, root: /r/s/}', { root: '/r/s' }],
    ['the root of all', 'zookeeper: {address: a, root: /}', { root: '/' }],
    ['keys in another letter case', 'Zookeeper: {Address: a, ROOT: /r}', { servers: ['a:2181'], root: '/r' }],
    ['a number in quotes', 'zookeeper: {address: a, root: /r, timeout: "1500"}', { sessionTimeoutMs: 1500 }],
  ])('is taken with %s', (_what, text, expected) => {
    expect(parse(text).zookeeper).toMatchObject(expected);
  });

  it.each([
    ['falcon with names Prometheus would refuse', 'type: falcon, tags: [cluster-name=x]', { 'cluster-name': 'x' }],
    ['tags as one string', 'tags: "a=1, b=2"', { a: '1', b: '2' }],
    ['tags as a mapping', 'tags: {a: 1, b: x}', { a: '1', b: 'x' }],
    ['no tags', 'tags: []', {}],
  ])('is taken with %s', (_what, metric, expected) => {
    expect(parse(`${ZK}metric: {${metric}}`).metric.tags).toEqual(expected);
  });
});

describe('values', () => {
  it('are those of the table where the file is silent', () => {
    const { deadline, meta, client, shutdown, cache, log, registry } = parse(ZK);
    expect({ deadline, registry, log, shutdown }).toEqual({
      deadline: { defaultMs: 900, minMs: 500, maxMs: 4000 },
      registry: 'zookeeper',
      log: { level: 'info' },
      shutdown: { graceMs: 10_000 },
    });
    expect(meta.maxResponseBytes).toBe(67_108_864);
    expect(client.maxRequestBytes).toBe(65_536);
    expect(cache.missingTtlMs).toBe(1000);
  });

  it('of one and the same key are taken at both bounds and refused beyond', () => {
    for (const key of ALL_KEYS.filter(({ kind }) => kind.type === 'integer')) {
      const [least = Number.NaN, most = Number.NaN] = key.kind.bounds?.split(' … ').map(Number) ?? [];
      expect(key.kind.read(least), key.key).toBe(least);
      expect(key.kind.read(most), key.key).toBe(most);
      expect(key.kind.read(least - 1), key.key).toBeUndefined();
      expect(key.kind.read(most + 1), key.key).toBeUndefined();
      expect(key.kind.read(key.default as number), key.key).toBe(key.default);
    }
  });

  it('cannot be changed afterwards', () => {
    const { client, zookeeper } = parse(GO_DAEMON);
    expect(() => Object.assign(client, { maxInFlight: 1 })).toThrow(TypeError);
    expect(() => Object.assign(zookeeper.servers, ['x'])).toThrow(TypeError);
  });

  it.each([
    ['127.0.0.1:0', '127.0.0.1', 0],
    ['"[::]:34601"', '::', 34601],
    ['Proxy.Example.com:1', 'proxy.example.com', 1],
  ])('listen takes %s', (text, host, port) => {
    expect(parse(`${ZK}listen: ${text}`).listen).toEqual({ host, port });
  });

  it('snapshot.path starts there too, and is a file of its own', () => {
    const file = (snapshot: string) =>
      parseConfig(`registry: file\nfile: {path: t.yaml}\nsnapshot: {path: ${snapshot}}`, '/etc/x/c.yaml');
    expect(file('routes').snapshot.path).toBe('/etc/x/routes');
    expect(parse(ZK).snapshot).toEqual({ path: '', intervalMs: 5000 });
    expect(() => file('./t.yaml')).toThrow(
      '/etc/x/c.yaml:3: snapshot.path: expected a file of its own, found "./t.yaml"',
    );
    expect(() => file('/etc/x/c.yaml')).toThrow('snapshot.path: expected a file of its own');
  });

  it('file.path starts at the folder of the file', () => {
    expect(parseConfig('registry: file\nfile: {path: t.yaml}', '/etc/x/c.yaml').file.path).toBe('/etc/x/t.yaml');
    expect(parseConfig('registry: file\nfile: {path: /a/t.yaml}', '/etc/x/c.yaml').file.path).toBe('/a/t.yaml');
  });

  it('of the command line go before those of the file, and are checked alike', () => {
    const listen = { key: 'listen', value: '[::1]:7', from: '--listen' };
    expect(parseConfig(`${ZK}listen: a:1`, 'x', [listen]).listen).toEqual({ host: '::1', port: 7 });
    expect(() => parseConfig(ZK, 'x', [{ ...listen, value: 'seven' }])).toThrow(
      new ConfigError('--listen: expected host:port or [v6-address]:port, found "seven"'),
    );
  });
});

describe('a mistake is told on one line with file, line, key, what was expected and what was found', () => {
  it.each([
    [
      `${ZK}deadline:\n  default_ms: soon`,
      'dir/x.yaml:3: deadline.default_ms: expected a whole number from 10 to 600000 (ms), found "soon"',
    ],
    [
      `${ZK}deadline: {default_ms: 1.5}`,
      'dir/x.yaml:2: deadline.default_ms: expected a whole number from 10 to 600000 (ms), found 1.5',
    ],
    [`${ZK}listen:`, 'dir/x.yaml:2: listen: expected host:port or [v6-address]:port, found nothing'],
    [`${ZK}listen: 34601`, 'dir/x.yaml:2: listen: expected host:port or [v6-address]:port, found 34601'],
    [`${ZK}registry: fil`, 'dir/x.yaml:2: registry: expected one of zookeeper, file, found "fil"'],
    [
      'zookeeper: 3',
      'dir/x.yaml:1: zookeeper: expected the keys address, root, timeout, auth, table_watcher_cache_capacity, found 3',
    ],
    [`${ZK}lisen: a:1`, 'dir/x.yaml:2: unknown key "lisen", did you mean listen?'],
    [
      `${ZK}client: {max_conections: 1}`,
      'dir/x.yaml:2: unknown key "client.max_conections", did you mean client.max_connections?',
    ],
    [
      `${ZK}client.max_connections: 1`,
      'dir/x.yaml:2: client.max_connections: expected nested keys, max_connections below client:, not dots',
    ],
    [`${ZK}shutdown: {foo: 1}`, 'dir/x.yaml:2: shutdown: unknown key "shutdown.foo", expected grace_ms'],
    [`${ZK}listen: a:1\nLISTEN: b:1`, 'dir/x.yaml:3: listen: stands there twice'],
    [`${ZK}listen: a:1\nlisten: b:1`, 'dir/x.yaml:3: the key "listen" stands there twice'],
    [
      `${ZK}metric: {tags: [a-b=c]}`,
      'dir/x.yaml:2: metric.tags: expected names of letters, digits and _ (for metric.type prometheus), found "a-b"',
    ],
    [
      `${ZK}metric: {tags: [a=1, a=2]}`,
      'dir/x.yaml:2: metric.tags: expected at most 64 tags as name=value, each name once, found ["a=1","a=2"]',
    ],
    [
      'zookeeper: {address: [zk], root: r}',
      'dir/x.yaml:1: zookeeper.root: expected the path of a znode, such as /pegasus-cluster, found "r"',
    ],
    [
      'zookeeper: {address: [], root: /r}',
      'dir/x.yaml:1: zookeeper.address: expected 1 to 64 servers as host:port, in a list or separated by commas, found []',
    ],
    [
      'zookeeper:\n  root: /r',
      'dir/x.yaml: zookeeper.address: expected the ZooKeeper servers as host:port (registry is zookeeper), found nothing',
    ],
    [
      'zookeeper:\n  address: zk',
      'dir/x.yaml: zookeeper.root: expected the znode whose children are the tables (registry is zookeeper), found nothing',
    ],
    [
      'registry: file',
      'dir/x.yaml: file.path: expected the path of the YAML file of tables (registry is file), found nothing',
    ],
    [
      `${ZK}deadline: {min_ms: 1000}`,
      'dir/x.yaml:2: deadline.min_ms: expected at most deadline.default_ms, which is 900, found 1000',
    ],
    [
      `${ZK}deadline: {default_ms: 5000}`,
      'dir/x.yaml:2: deadline.default_ms: expected at most deadline.max_ms, which is 4000, found 5000',
    ],
    [
      `${ZK}deadline: {max_ms: 600}`,
      'dir/x.yaml:2: deadline.max_ms: expected at least deadline.default_ms, which is 900, found 600',
    ],
    [
      `${ZK}meta: {backoff_min_ms: 2000}`,
      'dir/x.yaml:2: meta.backoff_min_ms: expected at most meta.backoff_max_ms, which is 1000, found 2000',
    ],
  ])('%j', (text, message) => {
    expect(mistake(text)).toBe(message);
  });

  it.each([
    ['', 'the file is empty'],
    ['# only a comment\n', 'the file is empty'],
    ['just text', 'dir/x.yaml:1: expected the keys listen,'],
    ['- a\n- b', 'dir/x.yaml:1: expected the keys listen,'],
    ['a: 1\n---\nb: 2', 'more than one YAML document'],
    [`${ZK}listen: [a`, 'dir/x.yaml:2: not valid YAML'],
    ['\tlisten: a:1', 'dir/x.yaml:1: not valid YAML'],
    ['a: &a [x]\nb: [*a, *a]', 'dir/x.yaml:2: aliases (*name) are not supported'],
    ['a: &x {b: *x}', 'aliases (*name) are not supported'],
    ['a: !!js/function x', 'not valid YAML: Unresolved tag'],
    ['a: !!binary YWJj', 'a value that is neither text nor number'],
    ['? [a]\n: 1', 'not valid YAML'],
    [`a: ${'['.repeat(20)}${']'.repeat(20)}`, 'nested deeper than 16 levels'],
    ['__proto__: {x: 1}', 'unknown key "__proto__"'],
    ['"li\\nsten": 1', 'unknown key "li\\nsten", did you mean listen?'],
  ])('%j', (text, message) => {
    expect(mistake(text)).toContain(message);
    expect(mistake(text)).not.toMatch(/[\n\r]/);
  });

  it('bytes that are no UTF-8', () => {
    expect(mistake(Uint8Array.of(0xff, 0xfe, 0x61, 0))).toBe('dir/x.yaml: not UTF-8 text');
  });
});

describe('a file that can not be read', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'config-test-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('is one line', async () => {
    const large = join(folder, 'large.yaml');
    await writeFile(large, `# ${'x'.repeat(1024 * 1024)}`);
    await expect(loadConfig(large)).rejects.toThrow(new ConfigError(`${large}: larger than 1048576 bytes`));
    await expect(loadConfig(folder)).rejects.toThrow(
      new ConfigError(`${folder}: this is a directory, expected a file`),
    );
    const missing = join(folder, 'missing.yaml');
    await expect(loadConfig(missing)).rejects.toThrow(new ConfigError(`${missing}: no such file`));
    await expect(loadConfig('/dev/null')).rejects.toThrow(new ConfigError('/dev/null: this is not a regular file'));
  });

  it('is read where it can be', async () => {
    const file = join(folder, 'good.yaml');
    await writeFile(file, `\ufeff${GO_DAEMON}`);
    expect((await loadConfig(file)).zookeeper.root).toBe('/pegasus-cluster');
  });
});

describe('secrets', () => {
  const SECRET = `zookeeper: {address: zk, root: /r, auth: {scheme: digest, credentials: "user:hunter2"}}`;

  it('are read, and masked where the configuration is shown', () => {
    const config = parse(SECRET);
    expect(config.zookeeper.auth).toEqual({ scheme: 'digest', credentials: 'user:hunter2' });
    expect(describeConfig(config)).toMatchObject({ zookeeper: { auth: { credentials: '******' } } });
    expect(formatConfig(config)).not.toContain('hunter2');
  });

  it.each([
    'zookeeper: {auth: "user:hunter2"}',
    'zookeeper: {auth: {user:hunter2}}',
    'zookeeper: {auth: {user: hunter2}}',
    'zookeeper: {auth: {credentials: hunter2}}',
    'zookeeper: {auth: {credentials: [user, hunter2]}}',
    'zookeeper: {auth: {credential: "user:hunter2"}}',
  ])('are in no message: %s', (text) => {
    expect(mistake(text)).not.toContain('hunter2');
    expect(mistake(text)).toContain('zookeeper.auth');
  });
});

describe('what is shown', () => {
  it('is a configuration file of the same values', () => {
    const config: Config = parse(`${GO_DAEMON}listen: "[::1]:0"\nclient: {max_in_flight: 7}\n`);
    expect(parse(formatConfig(config))).toEqual(config);
  });

  it('names every key of the table once in the documentation', () => {
    const rows = renderConfigurationKeys().split('\n').slice(2);
    expect(rows.map((row) => row.split('`')[1])).toEqual(ALL_KEYS.map(({ key }) => key));
    expect(rows.every((row) => row.replaceAll('\\|', '').split('|').length === 7)).toBe(true);
  });
});
