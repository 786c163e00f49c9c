import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { DemoFailure } from './demo-failure.ts';

interface Belonging {
  readonly close: () => Promise<void> | void;
  readonly killNow: () => void;
}

/** All that the demo has started or made, so that nothing outlives it, however it ends. */
export class Belongings {
  readonly #all: Belonging[] = [];
  #isClosing = false;

  /**
   * `close` ends it in good order; `killNow` is the way out when there is no time for that, in an exit handler. Throws
   * where the end has begun meanwhile: whoever starts things then has to stop.
   */
  own(close: () => Promise<void> | void, killNow: () => void = () => {}): void {
    this.#all.push({ close, killNow });
    if (!this.#isClosing) return;
    killNow();
    throw new DemoFailure('ended while it was starting');
  }

  ownFolder(path: string): void {
    const remove = () => rmSync(path, { recursive: true, force: true });
    this.own(remove, remove);
  }

  /** Ends everything, the latest first. What can't be ended doesn't keep the rest; its error is thrown at the end. */
  async close(): Promise<void> {
    this.#isClosing = true;
    const errors: unknown[] = [];
    for (const one of this.#all.toReversed()) {
      try {
        await one.close();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }

  /** Ends everything here and now; what is ended already takes no harm. */
  killNow(): void {
    this.#isClosing = true;
    for (const one of this.#all.toReversed()) one.killNow();
  }
}

const canTieToParent = spawnSync('setpriv', ['--version'], { stdio: 'ignore' }).status === 0;

/**
 * Spawns a process that dies with this one, even on kill -9 where Linux' setpriv is at hand. It gets a process group of
 * its own: a Ctrl-C is for the demo, which then ends it in good order.
 */
export function spawnTied(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  const detached = { ...options, detached: true };
  return canTieToParent
    ? spawn('setpriv', ['--pdeathsig', 'KILL', command, ...args], detached)
    : spawn(command, args, detached);
}

const KILL_AFTER_MS = 8_000;

/** SIGTERM, after a while SIGKILL; resolves when the process has ended. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
  await ended;
  clearTimeout(timer);
}
