import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../support/wait-for.ts';
import { freePort, startZooKeeper, ZooKeeperAdmin } from '../support/zookeeper-server.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MAIN = join(ROOT, 'dist/demo/main.js');

/** What every whole tour says, in this order. */
const LANDMARKS = [
  '1/6  Start',
  'registry can be read',
  '2/6  One address for all tables',
  /user_profile +east +2 +8 /,
  /orders +east +3 +4 /,
  /clickstream +west +7 +16 /,
  'ok  the data is that of the right cluster',
  '3/6  Redirects stay inside',
  /ERR_FORWARD_TO_OTHERS: ask 127\.0\.0\.1:\d+/,
  'leader found',
  'ok  the client has seen none of it',
  '4/6  A table moves to another cluster',
  'route changed  table=orders from=east cluster=west',
  /orders +west +9 +8 /,
  /ok {2}[\d.]+ ms from the write to the first answer from west/,
  'ok  the next 100 queries all landed on west',
  '5/6  Trouble',
  /no_such_table +ERR_OBJECT_NOT_FOUND/,
  'ok  answered all the same',
  '6/6  Summary',
];

/** Those of a tour that ends by itself. */
const END = [/the proxy has counted the same \d+ queries, and ended with exit code 0/, 'All was as it should be.'];

/** The built demo as a process; its temporary files are in a folder that must be empty in the end. */
class DemoProcess {
  readonly child: ChildProcess;
  readonly folder = mkdtempSync(join(tmpdir(), 'meta-proxy-demo-test-'));
  readonly #exited: Promise<number | string>;
  stdout = '';
  stderr = '';

  constructor(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.child = spawn(process.execPath, [MAIN, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, TMPDIR: this.folder, ...env },
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.#exited = once(this.child, 'close').then(([code, signal]) => (code ?? signal) as number | string);
  }

  async says(text: string): Promise<void> {
    await waitFor(() => this.stdout.includes(text), { what: `"${text}" in the output`, timeoutMs: 30_000 });
  }

  /** Its exit code; a failure shows what it has said. */
  async ends(expected: number): Promise<void> {
    const code = await this.#exited;
    expect(code, `${this.stdout}\n${this.stderr}`).toBe(expected);
  }

  /** Nothing that it has started or written is left. */
  async leavesNothing(): Promise<void> {
    expect(readdirSync(this.folder)).toEqual([]);
    const pid = this.proxyPid();
    await waitFor(() => !isRunning(pid), { what: 'the end of the proxy' });
  }

  proxyPid(): number {
    const pid = /process of its own \(pid (\d+)\)/.exec(this.stdout)?.[1];
    if (pid === undefined) throw new Error(`no pid of the proxy in:\n${this.stdout}`);
    return Number(pid);
  }

  async remove(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.#exited;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const started: DemoProcess[] = [];

function demo(args: readonly string[], env?: NodeJS.ProcessEnv): DemoProcess {
  const process = new DemoProcess(args, env);
  started.push(process);
  return process;
}

beforeAll(() => {
  if (isBuilt()) return;
  const build = spawnSync('npm', ['exec', '--', 'tsc', '-p', 'tsconfig.build.json'], { cwd: ROOT, encoding: 'utf8' });
  if (build.status !== 0) throw new Error(`the build failed:\n${build.stdout}${build.stderr}`);
});

afterEach(async () => {
  for (const process of started.splice(0)) await process.remove();
});

describe('the demo', () => {
  it('shows with --once all that it promises, ends with 0 and leaves nothing', async () => {
    const run = demo(['--once']);
    await run.ends(0);
    expectInOrder(run.stdout, [...LANDMARKS, ...END]);
    expect(run.stderr).toBe('');
    const tooLong = (line: string) => line.length > 100 && !line.includes(run.folder);
    expect(run.stdout.split('\n').filter(tooLong)).toEqual([]);
    expect(run.stdout).not.toContain('\u001b');
    await run.leavesNothing();
  });

  it('stays up without --once, shows a change made by hand, and ends cleanly on Ctrl-C', async () => {
    const run = demo([]);
    await run.says('Ctrl-C ends it all');
    await waitFor(() => /orders +west +app id 9/.test(run.stdout), { what: 'the first answers' });
    const path = /registry +the file (.*)/.exec(run.stdout)?.[1] ?? '';
    writeFileSync(path, readFileSync(path, 'utf8').replace('orders: west', 'orders: east'));
    await run.says('west -> east');
    expect(run.stdout).toContain('route changed  table=orders from=west cluster=east');
    run.child.kill('SIGINT');
    await run.ends(0);
    await run.leavesNothing();
  });

  it('says so and ends with 1 when the proxy is killed', async () => {
    const run = demo([]);
    await run.says('Ctrl-C ends it all');
    process.kill(run.proxyPid(), 'SIGKILL');
    await run.ends(1);
    expect(run.stderr).toContain('demo failed in the live view');
    await run.leavesNothing();
  });

  it('ends with 2 and the usage on an argument that it does not know', async () => {
    const run = demo(['--twice']);
    await run.ends(2);
    expect(run.stderr).toContain('unknown argument: --twice\nusage: npm run demo');
  });
});

describe('the demo over ZooKeeper', () => {
  it('starts a ZooKeeper of its own', async () => {
    const run = demo(['--once', '--zookeeper']);
    await run.ends(0);
    expectInOrder(run.stdout, ['Starting a real ZooKeeper', 'registry: zookeeper', ...LANDMARKS.slice(1), ...END]);
    await run.leavesNothing();
  });

  it('uses the one that it is given, and removes what it wrote there', async () => {
    const server = await startZooKeeper();
    const admin = new ZooKeeperAdmin(server.address);
    try {
      await admin.put('/meta-proxy-of-others', 'stays');
      const run = demo(['--once', '--zookeeper', server.address]);
      await run.ends(0);
      expectInOrder(run.stdout, [...LANDMARKS, ...END]);
      const root = /root: (\/meta-proxy-demo-[0-9a-f]+)/.exec(run.stdout)?.[1] ?? '';
      expect(run.stdout).toMatch(/orders +\{"cluster_name":"west"/);
      expect(await admin.get(root)).toBeUndefined();
      expect((await admin.get('/meta-proxy-of-others'))?.content.toString()).toBe('stays');
      await run.leavesNothing();
    } finally {
      await admin.close();
      await server.stop();
    }
  });

  it('says where there is none, and ends with 1', async () => {
    const address = `127.0.0.1:${await freePort()}`;
    const run = demo(['--once', '--zookeeper', address]);
    await run.ends(1);
    expect(run.stderr).toContain(`demo failed in step 1: no ZooKeeper at ${address}: `);
    expect(run.stderr).toContain('ECONNREFUSED');
    expect(readdirSync(run.folder)).toEqual([]);
  });

  it('says so where something else listens', async () => {
    const server = createServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    try {
      const { port } = server.address() as { port: number };
      const run = demo(['--once', '--zookeeper', `127.0.0.1:${port}`]);
      await run.ends(1);
      expect(run.stderr).toContain(`demo failed in step 1: no ZooKeeper at 127.0.0.1:${port}: `);
    } finally {
      server.close();
    }
  });

  it('leaves nothing when it is told to end in the middle of its start', async () => {
    const silent = createServer((socket) => socket.on('error', () => {}).resume());
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    try {
      const { port } = silent.address() as { port: number };
      const connected = once(silent, 'connection');
      const run = demo(['--once', '--zookeeper', `127.0.0.1:${port}`]);
      await connected;
      run.child.kill('SIGTERM');
      await run.ends(143);
      expect(readdirSync(run.folder)).toEqual([]);
    } finally {
      silent.close();
    }
  });

  it('says how to install it where it is missing, and ends with 1', async () => {
    const run = demo(['--once', '--zookeeper'], { PATH: '' });
    await run.ends(1);
    expect(run.stderr).toContain('apt-get install -y --no-install-recommends zookeeper');
    expect(readdirSync(run.folder)).toEqual([]);
  });
});

function expectInOrder(text: string, landmarks: readonly (string | RegExp)[]): void {
  let rest = text;
  for (const landmark of landmarks) {
    const at = typeof landmark === 'string' ? rest.indexOf(landmark) : rest.search(landmark);
    expect(at, `${landmark} is missing, or not in its place, in:\n${text}`).toBeGreaterThanOrEqual(0);
    rest = rest.slice(at);
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Whether the build is newer than every source file. */
function isBuilt(): boolean {
  if (!existsSync(MAIN)) return false;
  const built = statSync(MAIN).mtimeMs;
  const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' });
  return sources.every((name) => statSync(join(ROOT, 'src', name)).mtimeMs <= built);
}
