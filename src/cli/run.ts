import { ConfigError } from '../daemon/config.ts';
import { parseArguments, UsageError } from './arguments.ts';
import { check } from './check.ts';
import { EXIT, type Host } from './host.ts';
import { serve } from './serve.ts';

/** Does what the arguments after the program's name ask for; resolves to the exit code of the process. */
export async function run(argv: readonly string[], host: Host): Promise<number> {
  try {
    const asked = await parseArguments(argv);
    if (asked.command === 'serve') return await serve(asked, host);
    if (asked.command === 'check') return await check(asked.config, host);
    host.out(asked.text);
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof UsageError)) throw error;
    host.err(`${error.message}\n`);
    return EXIT.usage;
  }
}
