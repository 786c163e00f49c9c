import { EventEmitter } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Host, RunningDaemon } from '../../../src/cli/host.ts';
import { run } from '../../../src/cli/run.ts';
import type { Config } from '../../../src/daemon/config.ts';
import { waitFor } from '../../support/wait-for.ts';

const FULL = `zookeeper: {address: zk, root: /r, auth: {credentials: "u:hunter2"}}
metric: {tags: [region=x]}
`;

let folder: string;
let config: string;
let log: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cli-test-'));
  config = join(folder, 'c.yaml');
  log = join(folder, 'x.log');
  await writeFile(config, FULL);
});
afterEach(() => rm(folder, { recursive: true }));

/** A process that isn't one, with a daemon whose start and stop the test decides on. */
class TestHost implements Host {
  output = '';
  errors = '';
  readonly events = new EventEmitter();
  readonly exits: number[] = [];
  readonly calls: string[] = [];
  config: Config | undefined;
  readonly #daemon: Partial<RunningDaemon>;

  constructor(daemon: Partial<RunningDaemon> = {}) {
    this.#daemon = daemon;
  }

  out(text: string): void {
    this.output += text;
  }

  err(text: string): void {
    this.errors += text;
  }

  exit(code: number): void {
    this.exits.push(code);
  }

  createDaemon(config: Config): RunningDaemon {
    this.config = config;
    return {
      start: async () => {
        this.calls.push('start');
        await this.#daemon.start?.();
      },
      stop: async () => {
        this.calls.push('stop');
        await this.#daemon.stop?.();
      },
    };
  }
}

const logLines = async () =>
  (await readFile(log, 'utf8'))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('serve', () => {
  it.each(['SIGTERM', 'SIGINT'])('runs until %s, stops the daemon and exits 0', async (signal) => {
    const host = new TestHost();
    const ended = run(['serve', '--config', config, '--log-file', log], host);
    await waitFor(() => host.calls.includes('start'), { what: 'the start' });
    host.events.emit(signal, signal);
    expect(await ended).toBe(0);
    expect(host.calls).toEqual(['start', 'stop']);
    expect(host.exits).toEqual([]);
    expect(host.events.eventNames()).toEqual([]);
    expect(await logLines()).toMatchObject([{ level: 'info', signal }]);
  });

  it('hands the daemon the configuration, options before the file', async () => {
    const host = new TestHost();
    const options = ['--listen', '[::1]:0', '--log-level', 'error', '--log-file', log];
    const ended = run(['serve', `--config=${config}`, ...options], host);
    await waitFor(() => host.calls.includes('start'), { what: 'the start' });
    expect(host.config).toMatchObject({ listen: { host: '::1', port: 0 }, log: { level: 'error' } });
    host.events.emit('SIGTERM', 'SIGTERM');
    expect(await ended).toBe(0);
    expect(await logLines()).toEqual([]);
  });

  it("takes the Go daemon's form: CONFIG LOGFILE, appending to the log", async () => {
    await writeFile(log, '{"msg":"of before"}\n');
    const host = new TestHost();
    const ended = run([config, log], host);
    await waitFor(() => host.calls.includes('start'), { what: 'the start' });
    host.events.emit('SIGTERM', 'SIGTERM');
    expect(await ended).toBe(0);
    expect((await logLines()).map(({ msg }) => msg)).toEqual(['of before', expect.stringContaining('signal received')]);
  });

  it('exits 1 at once on a second signal, while the first is still at work', async () => {
    const host = new TestHost({ stop: () => new Promise(() => {}) });
    void run([config, log], host);
    await waitFor(() => host.calls.includes('start'), { what: 'the start' });
    host.events.emit('SIGTERM', 'SIGTERM');
    expect(host.exits).toEqual([]);
    host.events.emit('SIGINT', 'SIGINT');
    expect(host.exits).toEqual([1]);
  });

  it('can be stopped while it is still starting', async () => {
    const host = new TestHost({ start: () => new Promise(() => {}) });
    const ended = run([config, log], host);
    await waitFor(() => host.calls.includes('start'), { what: 'the start' });
    host.events.emit('SIGTERM', 'SIGTERM');
    expect(await ended).toBe(0);
  });

  it.each([
    [
      'EADDRINUSE',
      { address: '127.0.0.1', port: 7 },
      'cannot listen on 127.0.0.1:7: another program listens there already',
    ],
    [
      'EACCES',
      { address: '::1', port: 80 },
      'cannot listen on [::1]:80: no permission (ports below 1024 need privileges)',
    ],
    ['ENOTFOUND', { hostname: 'nohost' }, 'cannot listen on nohost: the host name is not known'],
  ])('that can not listen (%s) says so on one line and exits 1', async (code, details, message) => {
    const error = Object.assign(new Error('listen'), { code, syscall: 'listen', ...details });
    const host = new TestHost({ start: () => Promise.reject(error) });
    expect(await run([config, log], host)).toBe(1);
    expect(host.errors).toBe(`${message} (${code})\n`);
    expect(await logLines()).toMatchObject([{ level: 'fatal', reason: `${message} (${code})` }]);
  });

  it.each(['uncaughtException', 'unhandledRejection'])(
    'ends with a stack in the log and code 70 on an %s',
    async (event) => {
      const host = new TestHost();
      void run([config, log], host);
      await waitFor(() => host.calls.includes('start'), { what: 'the start' });
      host.events.emit(event, new TypeError('a bug'));
      expect(host.exits).toEqual([70]);
      const [line] = await logLines();
      const stack = expect.stringContaining('run.test.ts');
      expect(line).toMatchObject({ level: 'fatal', err: { type: 'TypeError', message: 'a bug', stack } });
    },
  );

  it('takes a start or a stop that fails for no known reason as a crash', async () => {
    const bug = () => Promise.reject(new Error('a bug'));
    const badStart = new TestHost({ start: bug });
    void run([config, log], badStart);
    await waitFor(() => badStart.exits.length > 0, { what: 'the exit' });
    const badStop = new TestHost({ stop: bug });
    void run([config, log], badStop);
    await waitFor(() => badStop.calls.includes('start'), { what: 'the start' });
    badStop.events.emit('SIGTERM', 'SIGTERM');
    await waitFor(() => badStop.exits.length > 0, { what: 'the exit' });
    expect([badStart.exits, badStop.exits]).toEqual([[70], [70]]);
  });

  it('says where the log can not be written, and starts nothing', async () => {
    const host = new TestHost();
    expect(await run([config, join(folder, 'none', 'x.log')], host)).toBe(2);
    expect(host.errors).toBe(`${join(folder, 'none', 'x.log')}: the log can't be written there (ENOENT)\n`);
    expect(host.calls).toEqual([]);
  });

  it.each([[['serve', '--config']], [['check', '--config']]])(
    '%j with a mistake in the file: exit 2, one line, nothing else',
    async (args) => {
      await writeFile(config, `${FULL}deadline: {max_ms: fast}\n`);
      const host = new TestHost();
      expect(await run([...args, config], host)).toBe(2);
      expect(host.errors).toBe(
        `${config}:3: deadline.max_ms: expected a whole number from 10 to 600000 (ms), found "fast"\n`,
      );
      expect(host.output).toBe('');
      expect(host.calls).toEqual([]);
    },
  );
});

describe('check', () => {
  it('prints the effective configuration, secrets masked, and starts nothing', async () => {
    const host = new TestHost();
    expect(await run(['check', '--config', config], host)).toBe(0);
    expect(host.output).toContain('credentials: "******"');
    expect(host.output).toContain('max_connections: 100000');
    expect(host.output).toContain('- region=x');
    expect(host.output + host.errors).not.toContain('hunter2');
    expect(host.calls).toEqual([]);
  });

  it('looks into the file of tables too', async () => {
    const tables = join(folder, 't.yaml');
    await writeFile(config, 'registry: file\nfile: {path: t.yaml}\n');
    const missing = new TestHost();
    expect(await run(['check', '--config', config], missing)).toBe(2);
    expect(missing.errors).toBe(`${tables}: no such file\n`);

    await writeFile(tables, 'clusters: {a: [m:1]}\ntables:\n  good: a\n  bad: b\n');
    const bad = new TestHost();
    expect(await run(['check', '--config', config], bad)).toBe(2);
    expect(bad.errors).toBe(`${tables}: bad: line 4: no cluster "b" under "clusters"\n`);

    await writeFile(tables, 'clusters: {a: [m:1]}\ntables: {good: a}\n');
    expect(await run(['check', '--config', config], new TestHost())).toBe(0);
  });

  it.each(['meta-proxy.yaml', 'go-meta-proxy.yaml', 'file-registry.yaml'])('finds config/%s good', async (name) => {
    const host = new TestHost();
    expect(await run(['check', '--config', join(import.meta.dirname, '../../../config', name)], host)).toBe(0);
    expect(host.errors).toBe('');
  });
});

describe('the command line', () => {
  it.each([
    [[], 'expected a command: serve, check; see pegasus-meta-proxy --help'],
    [['serve'], '--config: expected the path of a file, found nothing'],
    [['serve', '--config'], 'Not enough arguments following: config; see pegasus-meta-proxy --help'],
    [['serve', '--config', ''], '--config: expected the path of a file, found nothing'],
    [['serve', '--confg', 'x'], 'Unknown argument: confg; did you mean --config?'],
    [['serve', '--config', 'x', '--lissen', 'y'], 'Unknown argument: lissen; did you mean --listen?'],
    [['check', '--config', 'x', 'extra'], 'Unknown argument: extra; see pegasus-meta-proxy --help'],
    [['sevre', '--config', 'x'], 'sevre: not a command, did you mean serve'],
    [['x.yaml'], 'x.yaml: not a command, expected pegasus-meta-proxy CONFIG.yaml LOGFILE, or a command: serve, check'],
    [['x.yaml', 'x.log', 'more'], 'Unknown argument: more; see pegasus-meta-proxy --help'],
    [['x.yaml', 'x.log', '--listne', 'y'], 'Unknown argument: listne; did you mean --listen?'],
  ])('%j is refused with one line and code 2', async (argv, message) => {
    const host = new TestHost();
    expect(await run(argv, host)).toBe(2);
    expect(host.errors).toBe(`${message}\n`);
    expect(host.output).toBe('');
  });

  it('prints its version', async () => {
    const host = new TestHost();
    expect(await run(['--version'], host)).toBe(0);
    expect(host.output).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it.each([
    [['--help'], ['serve', 'check', 'Examples:', 'meta-proxy.yaml meta-proxy.log']],
    [['-h'], ['Commands:']],
    [
      ['serve', '--help'],
      ['--config', '--log-file', 'client.max_connections: integer (connections), default 100000'],
    ],
    [['check', '--help'], ['--config']],
  ])('%j prints help', async (argv, parts) => {
    const host = new TestHost();
    expect(await run(argv, host)).toBe(0);
    for (const part of parts) expect(host.output).toContain(part);
    expect(host.errors).toBe('');
  });
});
