import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LogLine } from './proxy.ts';
import { waitFor } from './wait-for.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface StartDaemonOptions {
  /** The whole configuration file. */
  readonly config: string;
  /** The command line, `CONFIG` standing for the configuration file and `LOG` for a log file; `serve` unless told. */
  readonly args?: readonly string[];
  /** File descriptors that the process may have; as many as this one unless told. */
  readonly maxOpenFiles?: number;
}

/** The built program as a process of its own, as an operator runs it. It dies with this process at the latest. */
export class DaemonProcess {
  readonly child: ChildProcess;
  readonly logFile: string;
  readonly exited: Promise<number | null>;
  stdout = '';
  stderr = '';
  readonly #folder: string;

  private constructor(child: ChildProcess, folder: string) {
    this.child = child;
    this.#folder = folder;
    this.logFile = join(folder, 'proxy.log');
    child.stdout?.on('data', (chunk: Buffer) => {
      this.stdout += chunk.toString();
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    const kill = () => child.kill('SIGKILL');
    process.once('exit', kill);
    this.exited = once(child, 'close').then(([code]) => {
      process.off('exit', kill);
      return code as number | null;
    });
  }

  static async start(options: StartDaemonOptions): Promise<DaemonProcess> {
    const { config, args = ['serve', '--config', 'CONFIG'], maxOpenFiles } = options;
    const folder = await mkdtemp(join(tmpdir(), 'meta-proxy-daemon-'));
    const configFile = join(folder, 'config.yaml');
    await writeFile(configFile, config);
    const argv = args.map((arg) => ({ CONFIG: configFile, LOG: join(folder, 'proxy.log') })[arg] ?? arg);
    const command = [process.execPath, MAIN, ...argv];
    // A shell can only lower its limit; exec leaves the daemon with its pid.
    if (maxOpenFiles !== undefined) command.unshift('sh', '-c', `ulimit -n ${maxOpenFiles}; exec "$@"`, 'sh');
    const child = spawn(command[0] as string, command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
    return new DaemonProcess(child, folder);
  }

  /** What it has logged, on stdout and in its log file. */
  async log(): Promise<LogLine[]> {
    const file = await readFile(this.logFile, 'utf8').catch(() => '');
    return (this.stdout + file)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as LogLine);
  }

  /** Waits for a log line that begins with `msg`. */
  async logged(msg: string): Promise<LogLine> {
    return await waitFor(async () => (await this.log()).find((line) => line.msg.startsWith(msg)), {
      what: `the log line "${msg}" (stderr: ${this.stderr})`,
      timeoutMs: 30_000,
    });
  }

  /** Where it listens, once it does. */
  async address(): Promise<string> {
    return (await this.logged('serving')).listen as string;
  }

  /** Ends it with SIGTERM, or as told; returns its exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.child.kill(signal);
    const code = await this.exited;
    await rm(this.#folder, { recursive: true, force: true });
    return code;
  }
}
