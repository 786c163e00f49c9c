import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { RawClient } from '../../support/raw-client.ts';
import { TABLES } from '../layout.ts';
import { endWithUs } from './children.ts';
import { PROJECT } from './project.ts';

const SIM_MAIN = fileURLToPath(new URL('dist/sim/sim-main.js', PROJECT));
const START_TIMEOUT_MS = 15_000;

type Reply = { readonly ok?: boolean; readonly error?: string };

/** For those who wait for one that has been killed. */
const ENDED: Reply = { ok: true };

/** One MetaServer as a process of its own: a simulated cluster of one, told on its stdin what to answer. */
export class MetaProcess {
  readonly address: string;
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  #isFrozen = false;
  /** Answers come in the order of the commands. */
  #replies: ((reply: Reply) => void)[] = [];

  /** `tables` as sim-main's `--tables` has them. */
  constructor(name: string, port: number, tables: string) {
    this.address = `127.0.0.1:${port}`;
    this.#args = ['--name', name, '--metas', '1', '--meta-ports', `${port}`, '--tables', tables, '--record-limit', '0'];
  }

  /** Whether it takes commands now. */
  get isResponsive(): boolean {
    return this.#child !== undefined && !this.#isFrozen;
  }

  /** Starts it where it does not run; resolves once it listens, and is warm. */
  async start(): Promise<void> {
    if (this.#child !== undefined) return;
    const child = spawn(process.execPath, [SIM_MAIN, ...this.#args], { stdio: ['pipe', 'pipe', 'inherit'] });
    endWithUs(child);
    const isReady = new Promise<Reply>((resolve) => {
      this.#replies = [resolve];
    });
    createInterface({ input: child.stdout }).on('line', (line) => this.#replies.shift()?.(JSON.parse(line) as Reply));
    // Writing to one that has just been killed is no trouble of ours.
    child.stdin.on('error', () => {});
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
      for (const reply of this.#replies.splice(0)) reply(ENDED);
    });
    this.#child = child;
    this.#isFrozen = false;
    const timer = setTimeout(() => child.kill('SIGKILL'), START_TIMEOUT_MS);
    await isReady;
    clearTimeout(timer);
    if (this.#child !== child) throw new Error(`sim-main on ${this.address} ended at its start`);
    await this.#warmUp();
  }

  /**
   * Has it answer for every table once, which a fresh process does as its leader: the simulator's first answer of a kind
   * takes it some 200 ms, which would be measured as the proxy's.
   */
  async #warmUp(): Promise<void> {
    const client = await RawClient.connect(this.address);
    for (const { name } of TABLES) await client.query(name, { indices: [] });
    await client.close();
  }

  /** Has it do something of `sim-commands.ts`; resolves at once where it can't answer now. */
  async command(command: Readonly<Record<string, unknown>>): Promise<void> {
    const stdin = this.#child?.stdin;
    if (!this.isResponsive || stdin === undefined || stdin === null) return;
    const answered = new Promise<Reply>((resolve) => this.#replies.push(resolve));
    stdin.write(`${JSON.stringify(command)}\n`);
    const reply = await answered;
    if (reply.ok !== true) throw new Error(`sim-main refused ${JSON.stringify(command)}: ${reply.error}`);
  }

  /** SIGSTOP: the kernel goes on accepting connections and bytes for it. */
  freeze(): void {
    this.#isFrozen = true;
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#isFrozen = false;
    this.#child?.kill('SIGCONT');
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }
}
