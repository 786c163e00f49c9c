import { openSync } from 'node:fs';
import { type Level, type Logger, pino, stdTimeFunctions } from 'pino';
import { LogDestination } from './log-destination.ts';

export type { Logger } from 'pino';
export type LogLevel = Level | 'silent';

declare module 'pino' {
  namespace pino {
    /**
     * The names under which log lines say who and where; the message says what happened. One thing has one name
     * everywhere, so that a search for `table` finds all that befell a table. Merged into pino's own type, so that
     * the compiler holds every log call to it. Other fields may stand beside these; a number names its unit.
     */
    interface LogFnFields {
      readonly table?: string | undefined;
      /** The cluster's name, as its route gives it. */
      readonly cluster?: string | undefined;
      /** The client at the other end of a connection, `host:port`. */
      readonly peer?: string | undefined;
      /** A MetaServer, `host:port`. */
      readonly meta?: string | undefined;
      /** Why, in words for a person. */
      readonly reason?: string | undefined;
      /** An error that nobody expected, with its stack. */
      readonly err?: unknown;
      readonly file?: string | undefined;
      /** Where routes come from: `zookeeper`, `file`. */
      readonly registry?: string | undefined;
      /** Our own address for clients, `host:port`. */
      readonly listen?: string | undefined;
      readonly signal?: NodeJS.Signals;
    }
  }
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
