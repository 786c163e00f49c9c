import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** What can't be had within this time is skipped: a blocked download must not hold up the whole suite. */
export const PREPARATION_TIMEOUT_MS = 5 * 60_000;
const START_TIMEOUT_MS = 20_000;
const REPLY_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 2_000;
const MAX_REASON_LENGTH = 200;
const STDERR_TAIL = 4_000;

const GO_SOURCES = fileURLToPath(new URL('go/', import.meta.url));
const PYTHON_SOURCES = fileURLToPath(new URL('python/', import.meta.url));
const PYTHON_REQUIREMENTS = join(PYTHON_SOURCES, 'requirements.txt');
const PIP_INSTALL = ['install', '--quiet', '--disable-pip-version-check', '--no-deps', '-r'];

/** How to start a probe, or why it can't be had here: the suite skips what needs it and prints the reason. */
export type Preparation = { readonly command: readonly string[] } | { readonly missing: string };

/** One official client: how to get hold of it, and what it can do. */
export interface ClientKind {
  readonly name: string;
  /** Of the package, as its registry has it. */
  readonly version: () => Promise<string>;
  readonly prepare: () => Promise<Preparation>;
  /** Whether the one address may be a host name. */
  readonly takesHostNames: boolean;
  /** What opening a table that doesn't exist gives: in the reply's error, and in the client's log. */
  readonly unknownTable: { readonly error: RegExp; readonly log: RegExp };
  /** The longest it stays away from an address that has closed its connection once. */
  readonly reconnectMs: number;
}

export const CLIENTS: readonly ClientKind[] = [
  {
    name: 'Go',
    version: async () => `go-client ${await pinned(join(GO_SOURCES, 'go.mod'), /go-client (v\S+)/)}`,
    prepare: buildGoProbe,
    takesHostNames: true,
    unknownTable: { error: /ERR_OBJECT_NOT_FOUND/, log: /querying configuration of table/ },
    reconnectMs: 60_000,
  },
  {
    name: 'Python',
    version: async () => `pypegasus3 ${await pinned(PYTHON_REQUIREMENTS, /pypegasus3==(\S+)/)}`,
    prepare: preparePythonProbe,
    takesHostNames: false,
    // It gives its user None, whatever the matter is, and the cause to its log alone.
    unknownTable: { error: /init\(\) failed/, log: /ERR_OBJECT_NOT_FOUND/ },
    reconnectMs: 4_000,
  },
];

/** One JSON line of a probe. `value` is absent for what has none, a key that isn't there included. */
export interface ProbeReply {
  readonly cmd: string;
  readonly ok: boolean;
  readonly value?: string | number;
  readonly error?: string;
  /** How long the client took. */
  readonly ms: number;
}

export interface ProbeOptions {
  /** `host:port`; the Python client takes nothing but IPv4 addresses. */
  readonly metas: readonly string[];
  /** Deadline of one operation inside the client. */
  readonly timeoutMs?: number;
}

/** Builds the probe around the official Go client, once per version of its sources. */
function buildGoProbe(): Promise<Preparation> {
  const sources = ['go.mod', 'go.sum', 'main.go'].map((name) => join(GO_SOURCES, name));
  return prepare('go', sources, {
    toolchain: ['go', 'version'],
    async make(directory, signal) {
      await run('go', ['build', '-mod=readonly', '-buildvcs=false', '-o', join(directory, 'pegasus-go-probe'), '.'], {
        cwd: GO_SOURCES,
        signal,
        // A module proxy or nothing: never a source repository.
        env: { ...process.env, GOVCS: '*:off', GOFLAGS: '', GOWORK: 'off' },
      });
    },
    command: (directory) => [join(directory, 'pegasus-go-probe')],
  });
}

/** Installs the official Python client into a virtual environment of its own, once per list of requirements. */
function preparePythonProbe(): Promise<Preparation> {
  const python = (directory: string) => join(directory, 'venv', 'bin', 'python');
  return prepare('python', [PYTHON_REQUIREMENTS], {
    toolchain: ['python3', '--version'],
    async make(directory, signal) {
      await run('python3', ['-m', 'venv', join(directory, 'venv')], { signal });
      await run(python(directory), ['-m', 'pip', ...PIP_INSTALL, PYTHON_REQUIREMENTS], { signal });
      // The client is older than many a Python: find out here, not in the middle of a test. It logs to its directory.
      await run(python(directory), ['-c', 'import pypegasus.pgclient'], { cwd: directory, signal });
    },
    command: (directory) => [python(directory), join(PYTHON_SOURCES, 'probe.py')],
  });
}

interface Recipe {
  /** A command that tells whether the toolchain is there, and which. */
  readonly toolchain: readonly [file: string, ...args: string[]];
  readonly make: (directory: string, signal: AbortSignal) => Promise<void>;
  readonly command: (directory: string) => readonly string[];
}

/** Makes what `recipe` says in the cache, under a name that changes with its sources; a failure leaves nothing behind. */
async function prepare(name: string, sources: readonly string[], recipe: Recipe): Promise<Preparation> {
  const [tool, ...args] = recipe.toolchain;
  const version = await run(tool, args).catch(() => undefined);
  if (version === undefined) return { missing: `${name} client: ${tool} is not installed` };

  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'pegasus-meta-proxy', 'compat');
  const directory = join(cache, `${name}-${await hashOf(sources, version)}`);
  if (!existsSync(directory)) {
    await mkdir(cache, { recursive: true });
    const draft = await mkdtemp(`${directory}-draft-`);
    const signal = AbortSignal.timeout(PREPARATION_TIMEOUT_MS);
    try {
      await recipe.make(draft, signal);
      // Whole or not at all; where another process was faster, its result is as good.
      await rename(draft, directory).catch((cause: unknown) => {
        if (!existsSync(directory)) throw cause;
      });
    } catch (error) {
      const reason = signal.aborted ? `not ready in ${PREPARATION_TIMEOUT_MS / 1000} s` : reasonOf(error);
      return { missing: `${name} client: ${reason}` };
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
  }
  return { command: recipe.command(directory) };
}

async function hashOf(sources: readonly string[], toolVersion: string): Promise<string> {
  const hash = createHash('sha256').update(toolVersion);
  for (const file of sources) hash.update('\0').update(await readFile(file));
  return hash.digest('hex').slice(0, 16);
}

async function pinned(file: string, pattern: RegExp): Promise<string> {
  return pattern.exec(await readFile(file, 'utf8'))?.[1] ?? 'unknown';
}

interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
}

async function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  // On SIGINT, unlike on the others, both go and pip see to their own children.
  const { stdout } = await promisify(execFile)(file, args, { killSignal: 'SIGINT', ...options });
  return stdout;
}

/** The last line that a failed command wrote: the ones before are pip's and go's progress. */
function reasonOf(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string };
  const [line = ''] = (stderr?.trim() || message).split('\n').slice(-1);
  return line.replace(/\s+/g, ' ').slice(-MAX_REASON_LENGTH);
}

interface Waiter {
  readonly settle: (reply: ProbeReply) => void;
  readonly fail: (error: Error) => void;
}

/** One process with one client in it. It answers in the order of its commands, one at a time. */
export class Probe {
  readonly #child: ChildProcess;
  readonly #directory: string;
  readonly #ended: Promise<void>;
  readonly #onExit = () => {
    this.#kill();
    rmSync(this.#directory, { recursive: true, force: true });
  };
  readonly #waiting: Waiter[] = [];
  #stderr = '';
  #isOver = false;

  private constructor(command: readonly string[], directory: string) {
    const [file = '', ...args] = command;
    this.#directory = directory;
    this.#child = spawn(file, args, { cwd: directory, stdio: ['pipe', 'pipe', 'pipe'] });
    process.once('exit', this.#onExit);
    this.#ended = new Promise((resolve) => {
      const end = (why: string) => {
        this.#isOver = true;
        for (const waiter of this.#waiting.splice(0)) waiter.fail(this.#error(why));
        resolve();
      };
      this.#child.once('error', (error) => end(error.message));
      this.#child.once('close', (code, signal) => end(`it ended (${signal ?? code})`));
    });
    this.#child.stdin?.on('error', () => {}); // a probe that is gone says so by 'close'
    this.#child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      this.#stderr = (this.#stderr + chunk).slice(-STDERR_TAIL);
    });
    if (this.#child.stdout) createInterface({ input: this.#child.stdout }).on('line', (line) => this.#onLine(line));
  }

  /** Resolves once the client object stands; nothing has been asked of a meta by then. */
  static async start(command: readonly string[], options: ProbeOptions): Promise<Probe> {
    // A client that insists on writing a log file finds an empty directory to do so.
    const directory = await mkdtemp(join(tmpdir(), 'pegasus-probe-'));
    const timeout = options.timeoutMs === undefined ? [] : ['--timeout-ms', String(options.timeoutMs)];
    const probe = new Probe([...command, ...timeout, ...options.metas], directory);
    try {
      await probe.#reply('ready', START_TIMEOUT_MS);
    } catch (error) {
      await probe.close();
      throw error;
    }
    return probe;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** The end of what the client logged. */
  get log(): string {
    return this.#stderr;
  }

  /**
   * `open T`, `set T hash sort value [ttl]`, `get T hash sort`, `del T hash sort`, `ttl T hash sort`. A failed operation
   * is a reply; it rejects where none comes in time, and the late one is then dropped.
   */
  send(command: readonly string[], deadlineMs = REPLY_TIMEOUT_MS): Promise<ProbeReply> {
    if (this.#isOver) return Promise.reject(this.#error('it has ended'));
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
    return this.#reply(command.join(' '), deadlineMs);
  }

  /** Ends the process, by its pid where it doesn't leave on its own; resolves when it is gone. */
  async close(): Promise<void> {
    if (!this.#isOver) this.#child.stdin?.end('["quit"]\n');
    const timer = setTimeout(() => this.#kill(), STOP_TIMEOUT_MS);
    await this.#ended;
    clearTimeout(timer);
    await rm(this.#directory, { recursive: true, force: true });
    process.off('exit', this.#onExit);
  }

  #reply(what: string, deadlineMs: number): Promise<ProbeReply> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(this.#error(`no reply to '${what}' in ${deadlineMs} ms`)), deadlineMs);
      this.#waiting.push({
        settle: (reply) => {
          clearTimeout(timer);
          resolve(reply);
        },
        fail: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
    });
  }

  #onLine(line: string): void {
    const waiter = this.#waiting.shift();
    try {
      waiter?.settle(JSON.parse(line) as ProbeReply);
    } catch {
      waiter?.fail(this.#error(`not a reply: ${line.slice(0, 200)}`));
    }
  }

  #kill(): void {
    const { pid } = this.#child;
    if (pid === undefined || this.#isOver) return;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {} // gone already
  }

  #error(why: string): Error {
    return new Error(`${this.#child.spawnargs.slice(0, 2).join(' ')}: ${why}\n${this.#stderr}`);
  }
}
