import type { Config } from '../daemon/config.ts';
import type { Logger } from '../telemetry/logger.ts';

/** What `serve` runs. */
export interface RunningDaemon {
  /** Resolves when clients are accepted. Rejects with the system's error where it can't listen. */
  start(): Promise<void>;
  /** Finishes what is in flight; may be called while `start` is still under way. */
  stop(): Promise<void>;
}

/** The process around the command line, so that tests can be that process. */
export interface Host {
  out(text: string): void;
  err(text: string): void;
  /** Signals and unexpected errors: the part of `process` that is listened to. */
  readonly events: Pick<NodeJS.EventEmitter, 'on' | 'off'>;
  /** Ends the process at once. */
  exit(code: number): void;
  createDaemon(config: Config, logger: Logger): RunningDaemon;
}

/** What the exit code of the process says. */
export const EXIT = {
  ok: 0,
  /** It could not start (cannot listen), or was made to stop before it was done. */
  failed: 1,
  /** The command line or the configuration is wrong: starting it again changes nothing. */
  usage: 2,
  /** A bug: an error that nobody expected. A supervisor should start it again. */
  crashed: 70,
} as const;
