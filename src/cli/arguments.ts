import yargs, { type Argv } from 'yargs';
import type { ConfigOverride } from '../daemon/config.ts';
import { ALL_KEYS, type AnyKey } from '../daemon/config-keys.ts';
import { nearest } from '../daemon/nearest.ts';
import { programVersion } from '../daemon/program-version.ts';

/** What the command line asks for. */
export type Invocation =
  | {
      readonly command: 'serve';
      readonly config: string;
      readonly logFile: string | undefined;
      readonly overrides: readonly ConfigOverride[];
    }
  | { readonly command: 'check'; readonly config: string }
  | { readonly command: 'print'; readonly text: string };

/** A command line that can't be understood. The message is one line. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const PROGRAM = 'pegasus-meta-proxy';
const COMMANDS = ['serve', 'check'];
/** Options that go before a key of the configuration file. */
const OVERRIDES = { 'log-level': 'log.level', listen: 'listen' } as const;

/** Reads the arguments after the program's name. Throws `UsageError`. */
export async function parseArguments(argv: readonly string[]): Promise<Invocation> {
  let asked: Invocation | undefined;
  let printed = '';
  const take = (invocation: Invocation) => {
    asked = invocation;
  };
  await commandLine(take).parseAsync([...argv], {}, (_error, _args, output) => {
    printed = output;
  });
  if (asked !== undefined) return asked;
  if (printed === '') throw new UsageError(`expected a command: ${COMMANDS.join(', ')}; see ${PROGRAM} --help`);
  return { command: 'print', text: `${printed}\n` };
}

function commandLine(take: (invocation: Invocation) => void): Argv {
  return yargs()
    .scriptName(PROGRAM)
    .usage('$0 <command> [options]\n\nOne address in front of many Apache Pegasus clusters.')
    .locale('en') // the messages of `fail` are matched below
    .parserConfiguration({
      'boolean-negation': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'duplicate-arguments-array': false,
      'parse-positional-numbers': false,
    })
    .command(
      'serve',
      'Run the proxy until SIGTERM or SIGINT',
      (command) => serveOptions(command),
      (args) =>
        take({
          command: 'serve',
          config: pathOf('--config', args.config),
          logFile: args['log-file'],
          overrides: overridesOf(args),
        }),
    )
    .command(
      'check',
      'Check a configuration file and print the effective configuration, secrets masked',
      (command) => configOption(command).example('$0 check --config meta-proxy.yaml', 'Nothing is started'),
      (args) => take({ command: 'check', config: pathOf('--config', args.config) }),
    )
    .command(
      '$0 [config] [logfile]',
      false,
      (command) =>
        command
          .positional('config', { type: 'string', describe: "The Go meta-proxy's form: its configuration file" })
          .positional('logfile', { type: 'string', describe: 'and the file that the log is appended to' }),
      (args) => take(dropIn(args.config, args.logfile)),
    )
    .example('$0 serve --config meta-proxy.yaml', 'Run, logging JSON lines to standard output')
    .example('$0 meta-proxy.yaml meta-proxy.log', 'Run as the Go meta-proxy is run: its configuration, a log file')
    .version(programVersion())
    .help()
    .alias('help', 'h')
    .strict()
    .wrap(100)
    .exitProcess(false)
    .fail((message, error) => {
      // yargs' own errors are complaints too; any other is a bug of ours
      if (error !== undefined && error.name !== 'YError') throw error;
      throw new UsageError(usageMessage(message ?? error.message));
    }) as Argv;
}

function configOption<T>(command: Argv<T>) {
  return command.option('config', {
    type: 'string',
    requiresArg: true,
    describe: 'The configuration file (required)',
  });
}

function serveOptions<T>(command: Argv<T>) {
  return configOption(command)
    .option('log-file', { type: 'string', requiresArg: true, describe: 'Append the log here, not to standard output' })
    .option('log-level', { type: 'string', requiresArg: true, describe: describeOverride('log-level') })
    .option('listen', { type: 'string', requiresArg: true, describe: describeOverride('listen') })
    .example('$0 serve --config meta-proxy.yaml --log-level debug', '')
    .epilogue(`Keys of the configuration file:\n\n${keyHelp()}`);
}

function describeOverride(option: keyof typeof OVERRIDES): string {
  const key = keyNamed(OVERRIDES[option]);
  return `${key.help} Goes before ${key.key} of the file (default: ${key.kind.show(key.default)})`;
}

function overridesOf(args: Readonly<Record<string, unknown>>): ConfigOverride[] {
  return Object.entries(OVERRIDES).flatMap(([option, key]) => {
    const value = args[option];
    return typeof value === 'string' ? [{ key, value, from: `--${option}` }] : [];
  });
}

/** The Go daemon's form: both arguments, no options. */
function dropIn(config: string | undefined, logFile: string | undefined): Invocation {
  if (config === undefined) throw new UsageError(`expected a command: ${COMMANDS.join(', ')}; see ${PROGRAM} --help`);
  if (logFile === undefined) {
    const meant = nearest(config, COMMANDS);
    const hint = meant === undefined ? `${PROGRAM} CONFIG.yaml LOGFILE, or a command: ${COMMANDS.join(', ')}` : meant;
    throw new UsageError(`${config}: not a command, ${meant === undefined ? 'expected' : 'did you mean'} ${hint}`);
  }
  return { command: 'serve', config: pathOf('CONFIG', config), logFile: pathOf('LOGFILE', logFile), overrides: [] };
}

function pathOf(name: string, value: string | undefined): string {
  if (value === undefined || value === '') throw new UsageError(`${name}: expected the path of a file, found nothing`);
  return value;
}

/** yargs' complaint on one line, with the option that was probably meant. */
function usageMessage(message: string): string {
  const line = message.split('\n').join(' ');
  const unknown = /^Unknown arguments?: ([^,]+)/.exec(line)?.[1];
  if (unknown === undefined) return `${line}; see ${PROGRAM} --help`;
  const meant = nearest(unknown, ['config', 'log-file', 'log-level', 'listen', 'help', 'version']);
  return meant === undefined ? `${line}; see ${PROGRAM} --help` : `${line}; did you mean --${meant}?`;
}

function keyHelp(): string {
  return ALL_KEYS.map(({ key, kind, help, default: value, required }) => {
    const start = required === undefined ? `default ${formatDefault(kind.show(value))}` : `needed ${required}`;
    return `  ${key}: ${kind.type}${kind.unit === undefined ? '' : ` (${kind.unit})`}, ${start}\n      ${help}`;
  }).join('\n');
}

function formatDefault(value: unknown): string {
  return value === '' || (Array.isArray(value) && value.length === 0) ? 'none' : String(value);
}

function keyNamed(name: string): AnyKey {
  const key = ALL_KEYS.find((each) => each.key === name);
  if (key === undefined) throw new Error(`no such configuration key: ${name}`);
  return key;
}
