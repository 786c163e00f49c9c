import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { endProcess, spawnTied } from './belongings.ts';
import { DemoFailure, within } from './demo-failure.ts';
import { type LogLine, parseLogLine } from './log-line.ts';

const LOG_TIMEOUT_MS = 15_000;
const MAX_ERROR_OUTPUT = 4_000;

type Match = (line: LogLine) => boolean;

/** The real proxy: `pegasus-meta-proxy serve` as a process of its own, its log read line by line. */
export class ProxyProcess {
  /** Called with each log line from now on, instead of keeping it for `takeLines`. */
  onLine: ((line: LogLine) => void) | undefined;
  /** Resolves when the process has ended: how, in words. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #lines: LogLine[] = [];
  readonly #waiters = new Set<() => void>();
  #errorOutput = '';
  #end: string | undefined;

  constructor(configPath: string) {
    const cli = fileURLToPath(new URL('../cli/main.js', import.meta.url));
    this.#child = spawnTied(process.execPath, [cli, 'serve', '--config', configPath], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const { stdout, stderr } = this.#child;
    if (stdout === null || stderr === null) throw new Error('spawned without pipes');
    createInterface({ input: stdout }).on('line', (text) => this.#onText(text));
    stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errorOutput = (this.#errorOutput + text).slice(-MAX_ERROR_OUTPUT);
    });
    this.ended = new Promise((resolve) => {
      const onEnd = (end: string) => {
        this.#end ??= end;
        resolve(this.#end);
        for (const look of this.#waiters) look();
      };
      this.#child.once('error', (error) => onEnd(`could not be started: ${error.message}`));
      // 'close', not 'exit': the last log lines have been read by then.
      this.#child.once('close', (code, signal) => onEnd(signal === null ? `exit code ${code}` : `signal ${signal}`));
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Whether the process runs. */
  get isRunning(): boolean {
    return this.#end === undefined;
  }

  /** What it said on standard error: the reason for an end at the start. */
  get errorOutput(): string {
    return this.#errorOutput.trim();
  }

  /** The line whose message begins so, of those not taken yet, or as soon as it comes. */
  async logged(message: string, match: Match = () => true): Promise<LogLine> {
    const found = new Promise<LogLine>((resolve, reject) => {
      const look = () => {
        const line = this.#lines.find((each) => each.msg.startsWith(message) && match(each));
        if (line === undefined && this.isRunning) return;
        this.#waiters.delete(look);
        if (line !== undefined) resolve(line);
        else reject(new DemoFailure(`the proxy has ended (${this.#end}) ${this.errorOutput}`.trimEnd()));
      };
      this.#waiters.add(look);
      look();
    });
    return await within(LOG_TIMEOUT_MS, `a line "${message}" in the proxy's log`, found);
  }

  /** The lines since the last call. */
  takeLines(): LogLine[] {
    return this.#lines.splice(0);
  }

  /** SIGTERM; resolves to how it ended. */
  async stop(): Promise<string> {
    await endProcess(this.#child);
    return await this.ended;
  }

  killNow(): void {
    this.#child.kill('SIGKILL');
  }

  #onText(text: string): void {
    const line = parseLogLine(text);
    if (line === undefined) return;
    if (this.onLine !== undefined) this.onLine(line);
    else this.#lines.push(line);
    for (const look of this.#waiters) look();
  }
}
