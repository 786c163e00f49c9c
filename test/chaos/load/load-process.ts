import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { endWithUs } from '../stage/children.ts';
import type { LoadControl } from './load-control.ts';

const MAIN = fileURLToPath(new URL('./load-main.js', import.meta.url));

export interface LoadCall {
  readonly id: number;
  readonly method: keyof LoadControl;
  readonly args: readonly unknown[];
}

export interface LoadResult {
  readonly id: number;
  readonly result: unknown;
}

/** The runner's end of the load's process. */
export class LoadProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (result: unknown) => void>();
  #nextId = 0;
  #isStopping = false;

  /** `onCrash` is told when it ends by itself. */
  constructor(onCrash: (reason: string) => void) {
    this.#child = fork(MAIN, { serialization: 'advanced' });
    endWithUs(this.#child);
    this.#child.on('message', ({ id, result }: LoadResult) => {
      this.#waiting.get(id)?.(result);
      this.#waiting.delete(id);
    });
    this.#child.on('exit', (code, signal) => {
      if (!this.#isStopping) onCrash(`the load generator ended (${signal ?? code})`);
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Has it do something; resolves to what comes of it, once it has been done. */
  call<Method extends keyof LoadControl>(
    method: Method,
    ...args: Parameters<LoadControl[Method]>
  ): Promise<ReturnType<LoadControl[Method]>> {
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#waiting.set(id, (result) => resolve(result as ReturnType<LoadControl[Method]>));
      const call: LoadCall = { id, method, args };
      this.#child.send(call);
    });
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}
