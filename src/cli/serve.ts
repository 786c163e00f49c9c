import { type Config, type ConfigOverride, loadConfig } from '../daemon/config.ts';
import { createLogger, type Logger } from '../telemetry/logger.ts';
import { UsageError } from './arguments.ts';
import { EXIT, type Host, type RunningDaemon } from './host.ts';

export interface ServeOptions {
  readonly config: string;
  readonly logFile: string | undefined;
  readonly overrides: readonly ConfigOverride[];
}

/** Why the system does not let us listen, in words. Any other error of `start` is a bug. */
const LISTEN_ERRORS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there already',
  EACCES: 'no permission (ports below 1024 need privileges)',
  EPERM: 'no permission',
  EADDRNOTAVAIL: 'this machine has no such address',
  EAFNOSUPPORT: 'this machine does not speak that kind of address',
  ENOTFOUND: 'the host name is not known',
  EAI_AGAIN: 'the host name could not be looked up',
};

/**
 * Runs the proxy until it is told to stop. Resolves to the exit code of the process.
 * Throws `ConfigError` and `UsageError` before anything is started.
 */
export async function serve(options: ServeOptions, host: Host): Promise<number> {
  const config = await loadConfig(options.config, options.overrides);
  const logger = openLogger(config, options.logFile);
  return new Supervisor(host, logger, options.logFile !== undefined).run(() => host.createDaemon(config, logger));
}

function openLogger(config: Config, file: string | undefined): Logger {
  try {
    return createLogger({ level: config.log.level, file });
  } catch (error) {
    throw new UsageError(`${file}: the log can't be written there (${(error as NodeJS.ErrnoException).code ?? error})`);
  }
}

/** Stands between the process and the daemon: signals, trouble at the start, and errors that nobody caught. */
class Supervisor {
  readonly #host: Host;
  readonly #logger: Logger;
  readonly #logsToFile: boolean;
  #daemon: RunningDaemon | undefined;
  #stopping = false;
  #end: (code: number) => void = () => {};

  constructor(host: Host, logger: Logger, logsToFile: boolean) {
    this.#host = host;
    this.#logger = logger;
    this.#logsToFile = logsToFile;
  }

  async run(create: () => RunningDaemon): Promise<number> {
    const ended = new Promise<number>((resolve) => {
      this.#end = resolve;
    });
    const { events } = this.#host;
    const onSignal = (signal: NodeJS.Signals) => this.#onSignal(signal);
    const onError = (error: unknown) => this.#crash(error);
    events.on('SIGTERM', onSignal).on('SIGINT', onSignal);
    events.on('uncaughtException', onError).on('unhandledRejection', onError);
    try {
      this.#daemon = create();
      this.#daemon.start().catch((error: unknown) => this.#onStartFailed(error));
      return await ended;
    } finally {
      events.off('SIGTERM', onSignal).off('SIGINT', onSignal);
      events.off('uncaughtException', onError).off('unhandledRejection', onError);
    }
  }

  #onSignal(signal: NodeJS.Signals): void {
    if (this.#stopping) {
      this.#logger.warn({ signal }, 'second signal, ending at once');
      this.#host.exit(EXIT.failed);
      return;
    }
    this.#stopping = true;
    this.#logger.info({ signal }, 'signal received, stopping; a second one ends at once');
    this.#daemon?.stop().then(
      () => this.#end(EXIT.ok),
      (error: unknown) => this.#crash(error),
    );
  }

  #onStartFailed(error: unknown): void {
    if (this.#stopping) return;
    const { code, syscall, address, hostname, port } = error as NodeJS.ErrnoException & {
      readonly address?: string;
      readonly hostname?: string;
      readonly port?: number;
    };
    const reason = LISTEN_ERRORS[code ?? ''];
    if (reason === undefined || syscall === undefined) {
      this.#crash(error);
      return;
    }
    const host = address ?? hostname ?? '';
    const place = `${host.includes(':') ? `[${host}]` : host}${port === undefined ? '' : `:${port}`}`;
    const message = `cannot listen on ${place}: ${reason} (${code})`;
    this.#host.err(`${message}\n`);
    if (this.#logsToFile) this.#logger.fatal({ reason: message }, 'not started');
    this.#end(EXIT.failed);
  }

  #crash(error: unknown): void {
    const err = error instanceof Error ? error : new Error(String(error));
    this.#logger.fatal({ err }, 'unexpected error, ending');
    this.#host.exit(EXIT.crashed);
  }
}
