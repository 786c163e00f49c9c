import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from './wait-for.ts';

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 3_000;
const COMMAND_TIMEOUT_MS = 2_000;
/** Short: a connection that comes early in ZooKeeper's start may be accepted and then never looked at. */
const READY_TIMEOUT_MS = 250;

/** A JVM that starts fast and stays small, and a ZooKeeper without fsync (power loss is not tested here). */
const JAVA_OPTIONS = [
  '-Xmx160m',
  '-Xshare:auto',
  '-XX:TieredStopAtLevel=1',
  '-XX:+UseSerialGC',
  '-XX:-UsePerfData',
  '-Dzookeeper.forceSync=no',
  '-Dzookeeper.preAllocSize=512',
  '-Dzookeeper.jmx.log4j.disable=true',
  '-Dzookeeper.nio.numSelectorThreads=1',
  '-Dzookeeper.nio.numWorkerThreads=2',
  '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
];
const MAIN_CLASS = 'org.apache.zookeeper.server.quorum.QuorumPeerMain';

/** Everything started here dies with this process, however it ends: setpriv sees to a kill, the handler to the rest. */
const running = new Map<ChildProcess, string>();
const canTieToParent = spawnSync('setpriv', ['--version'], { stdio: 'ignore' }).status === 0;
process.once('exit', () => {
  for (const [child, directory] of running) {
    child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
});

/** One member's own settings; `lines` are added to its configuration file. */
export interface ZooKeeperProcessOptions {
  readonly classPath: string;
  readonly port: number;
  readonly tickTimeMs: number;
  readonly lines?: readonly string[];
  readonly id?: number;
}

/** One ZooKeeper server process with its own port on 127.0.0.1 and its own data directory. */
export class ZooKeeperProcess {
  readonly port: number;
  /** `127.0.0.1:port`. */
  readonly address: string;
  readonly #options: ZooKeeperProcessOptions;
  readonly #directory: string;
  #child: ChildProcess | undefined;

  constructor(options: ZooKeeperProcessOptions) {
    this.#options = options;
    this.port = options.port;
    this.address = `127.0.0.1:${options.port}`;
    this.#directory = mkdtempSync(join(tmpdir(), 'zookeeper-test-'));
    this.#configure();
  }

  /** Undefined while it isn't running. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Launches the server without waiting for it; a member of an ensemble can't serve before the others run. */
  launch(): void {
    const log = openSync(join(this.#directory, 'log'), 'a');
    const command = [...JAVA_OPTIONS, '-cp', this.#options.classPath, MAIN_CLASS, join(this.#directory, 'zoo.cfg')];
    const child = canTieToParent
      ? spawn('setpriv', ['--pdeathsig', 'KILL', 'java', ...command], { stdio: ['ignore', log, log] })
      : spawn('java', command, { stdio: ['ignore', log, log] });
    closeSync(log);
    child.unref();
    child.once('exit', () => {
      running.delete(child);
      if (this.#child === child) this.#child = undefined;
    });
    child.once('error', () => {});
    running.set(child, this.#directory);
    this.#child = child;
  }

  /** Resolves when the server answers `srvr` with its mode: it then takes sessions. */
  async serving(): Promise<void> {
    try {
      await waitFor(
        async () => {
          if (this.#child === undefined) return 'ended';
          return (await this.mode()) !== undefined && 'serving';
        },
        { timeoutMs: START_TIMEOUT_MS, what: `ZooKeeper on ${this.address}` },
      );
    } catch (cause) {
      throw new Error(`ZooKeeper doesn't serve on ${this.address}:\n${this.logTail()}`, { cause });
    }
    if (this.#child === undefined) throw new Error(`ZooKeeper on ${this.address} ended:\n${this.logTail()}`);
  }

  /** `standalone`, `leader` or `follower`; undefined while it serves nobody. */
  async mode(): Promise<string | undefined> {
    const answer = await this.command('srvr', READY_TIMEOUT_MS).catch(() => '');
    return /^Mode: (\w+)$/m.exec(answer)?.[1];
  }

  /** Asks one of the four-letter words (`stat`, `cons`, `dump`, `wchs`, …) and resolves to the whole answer. */
  command(word: string, timeoutMs = COMMAND_TIMEOUT_MS): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port: this.port });
      let answer = '';
      socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no answer to ${word}`)));
      socket.setEncoding('utf8');
      socket.on('connect', () => socket.write(word));
      socket.on('data', (chunk: string) => {
        answer += chunk;
      });
      socket.on('error', reject);
      socket.on('close', () => resolve(answer));
    });
  }

  /** SIGTERM, after a while SIGKILL; removes the data. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** kill -9; port and data are kept for `restart`. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Starts it again with the same port and data, ending it first where it runs; resolves when it serves. */
  async restart(): Promise<void> {
    await this.#end('SIGTERM');
    this.launch();
    await this.serving();
  }

  /** SIGSTOP: the kernel goes on accepting connections for it, and nothing is answered once this returns. */
  freeze(): void {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('it is not running');
    process.kill(pid, 'SIGSTOP');
    // Threads on other processors run on for a moment, and may still answer something.
    const deadline = performance.now() + STOP_TIMEOUT_MS;
    while (!isStopped(pid)) {
      if (performance.now() > deadline) throw new Error(`${this.address} does not stop`);
    }
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
  }

  logTail(): string {
    try {
      return readFileSync(join(this.#directory, 'log'), 'utf8').slice(-4_000);
    } catch {
      return '(no log)';
    }
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    child.kill('SIGCONT'); // a frozen process takes its SIGTERM only once it runs again
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
  }

  #configure(): void {
    const data = join(this.#directory, 'data');
    mkdirSync(data);
    if (this.#options.id !== undefined) writeFileSync(join(data, 'myid'), `${this.#options.id}\n`);
    const lines = [
      `tickTime=${this.#options.tickTimeMs}`,
      'initLimit=50',
      'syncLimit=25',
      `dataDir=${data}`,
      `clientPort=${this.port}`,
      'clientPortAddress=127.0.0.1',
      'maxClientCnxns=0',
      'minSessionTimeout=200',
      'maxSessionTimeout=60000',
      'admin.enableServer=false',
      '4lw.commands.whitelist=*',
      ...(this.#options.lines ?? []),
    ];
    writeFileSync(join(this.#directory, 'zoo.cfg'), `${lines.join('\n')}\n`);
  }
}

/** Whether every thread is in state T (proc(5): the third field, behind a name in brackets). */
function isStopped(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T');
  });
}

/**
 * A port that nobody listens on. It lies below the range from which Linux takes the ports of outgoing connections
 * (32768 and up), so that it is still free when a killed server comes back to it.
 */
export async function freePort(): Promise<number> {
  return await waitFor(() => ifFree(randomInt(20_000, 32_000)), { what: 'a free port' });
}

function ifFree(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(port)));
  });
}
