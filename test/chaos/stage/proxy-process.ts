import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { waitFor } from '../../support/wait-for.ts';
import { now } from '../clock.ts';
import { endWithUs } from './children.ts';
import { PROJECT } from './project.ts';

const MAIN = fileURLToPath(new URL('dist/cli/main.js', PROJECT));
const MEMORY_PROBE = new URL('./memory-probe.js', import.meta.url).href;
const START_TIMEOUT_MS = 15_000;
const PROBE_TIMEOUT_MS = 5_000;
const STOP_TIMEOUT_MS = 15_000;
const KEPT_LINES = 20_000;
const MIB = 1024 * 1024;

/** After a full collection, MiB. */
export interface Memory {
  readonly rssMb: number;
  readonly heapMb: number;
}

/** The program as an operator runs it, and watched: it must not end by itself, nor log what nobody expected. */
export class ProxyProcess {
  /** The end of its log. */
  readonly lines: string[] = [];
  /** Log lines that say that something happened which must not. */
  readonly alarms: string[] = [];
  readonly #configFile: string;
  #child: ChildProcess | undefined;
  #isServing = false;
  #isEnding = false;
  #memory: ((memory: Memory) => void) | undefined;

  constructor(folder: string) {
    this.#configFile = join(folder, 'meta-proxy.yaml');
  }

  /** Starts it; resolves, once it serves, to the ms that took. */
  async start(config: string): Promise<number> {
    await writeFile(this.#configFile, config);
    const startedAt = now();
    const args = ['--expose-gc', '--import', MEMORY_PROBE, MAIN, 'serve', '--config', this.#configFile];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
    endWithUs(child);
    this.#child = child;
    this.#isServing = false;
    this.#isEnding = false;
    const [stdout, stderr, reports] = child.stdio.slice(1) as [Readable, Readable, Readable];
    createInterface({ input: stdout }).on('line', (line) => this.#take(line));
    createInterface({ input: stderr }).on('line', (line) => this.#alarm(`stderr: ${line}`));
    createInterface({ input: reports }).on('line', (line) => this.#takeMemory(line));
    child.once('exit', (code, signal) => {
      if (!this.#isEnding) this.#alarm(`the proxy ended by itself (${signal ?? `exit code ${code}`})`);
    });
    await waitFor(() => this.#isServing || child.exitCode !== null, { what: 'the proxy', timeoutMs: START_TIMEOUT_MS });
    if (!this.#isServing) throw new Error(`the proxy did not start: ${this.alarms.join('; ')}`);
    return now() - startedAt;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Whether it still runs. */
  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Its memory once all garbage is collected. Throws where it does not answer: it hangs, or has ended. */
  async memory(): Promise<Memory> {
    let memory: Memory | undefined;
    this.#memory = (report) => {
      memory = report;
    };
    this.#child?.kill('SIGUSR2');
    return await waitFor(() => memory, { what: "the proxy's memory report", timeoutMs: PROBE_TIMEOUT_MS });
  }

  /** Ends it with SIGTERM, or as told. It must end with code 0 upon SIGTERM. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.isRunning) return;
    this.#isEnding = true;
    const ended = once(child, 'exit');
    child.kill(signal);
    const timer = setTimeout(() => {
      this.#alarm(`the proxy did not end within ${STOP_TIMEOUT_MS} ms of ${signal}`);
      child.kill('SIGKILL');
    }, STOP_TIMEOUT_MS);
    const [code] = await ended;
    clearTimeout(timer);
    if (signal === 'SIGTERM' && code !== 0) this.#alarm(`exit code ${code} upon SIGTERM`);
  }

  /** Puts a line of our own between those of its log. */
  note(text: string): void {
    this.#keep(`${new Date().toISOString()} ${text}`);
  }

  #keep(line: string): void {
    this.lines.push(line);
    if (this.lines.length > KEPT_LINES) this.lines.shift();
  }

  #take(line: string): void {
    this.#keep(line);
    if (line.includes('"msg":"serving"')) this.#isServing = true;
    // `err` is an error that nobody expected (src/telemetry/logger.ts).
    if (line.startsWith('{"level":"fatal"') || line.includes('"err":{')) this.#alarm(line);
  }

  #takeMemory(line: string): void {
    const { rss, heapUsed } = JSON.parse(line) as NodeJS.MemoryUsage;
    this.#memory?.({ rssMb: rss / MIB, heapMb: heapUsed / MIB });
  }

  #alarm(what: string): void {
    this.alarms.push(what);
  }
}
