import { openSync } from 'node:fs';
import { type Level, type Logger, pino, stdTimeFunctions } from 'pino';
import { LogDestination } from './log-destination.ts';

export type { Logger } from 'pino';
export type LogLevel = Level | 'silent';

/**
 * The names under which lines say who and where; the message says what happened. One thing has one name everywhere,
 * so that a search for `table` finds all that befell a table. Count and size fields beside them name their unit.
 */
export interface LogFields {
  readonly table?: string;
  /** The cluster's name as its route gives it. */
  readonly cluster?: string;
  /** The client at the other end of a connection, `host:port`. */
  readonly peer?: string;
  /** A MetaServer, `host:port`. */
  readonly meta?: string;
  /** Why, in words for a person. */
  readonly reason?: string;
  /** An error that nobody expected, with its stack. */
  readonly err?: unknown;
  readonly file?: string;
  /** Which store routes come from: `zookeeper`, `file`. */
  readonly store?: string;
  readonly [other: string]: unknown;
}

export interface LoggerOptions {
  readonly level: LogLevel;
  /** Appended to; created where it doesn't exist. Default: standard output. */
  readonly file?: string | undefined;
}

const STDOUT = 1;

/**
 * A logger that writes one JSON object per line: `level`, `time` (ISO 8601, UTC), the fields above, `msg`.
 *
 * A fatal line, and every line at the end of the process, is written out before it goes on; trouble with the
 * destination never ends or stops the process (`LogDestination`). Throws the system's error where `file` can't be opened.
 */
export function createLogger({ level, file }: LoggerOptions): Logger {
  // opened here and now: an error belongs to who asked for the file, and no line has to wait for the file to open
  const fd = file === undefined ? STDOUT : openSync(file, 'a');
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    new LogDestination(fd),
  );
}
