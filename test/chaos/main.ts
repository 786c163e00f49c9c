import { FAULTS } from './faults/all-faults.ts';
import { type ChaosOptions, readOptions, USAGE } from './options.ts';
import { renderTable } from './report.ts';
import { Suite } from './suite.ts';

const EXIT = { ok: 0, broken: 1, failed: 2, interrupted: 130 };

/** Resolves to the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args);
  if (options.help) {
    process.stdout.write(USAGE);
    return EXIT.ok;
  }
  if (options.list) {
    for (const { name } of [...FAULTS.single, ...FAULTS.ensemble]) process.stdout.write(`${name}\n`);
    return EXIT.ok;
  }
  return await runSuite(options);
}

async function runSuite(options: ChaosOptions): Promise<number> {
  const out = options.json ? process.stderr : process.stdout;
  const say = (text: string) => void out.write(`${text}\n`);
  say(`seed ${options.seed}; the same again: npm run chaos -- --seed ${options.seed}`);
  const suite = new Suite(options, say);
  const onSignal = () => void suite.stop().then(() => process.exit(EXIT.interrupted));
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  process.on('uncaughtException', (error) => onUncaught(error, say));
  try {
    await suite.run();
  } finally {
    say(`\n${renderTable(suite.results)}`);
  }
  const { seed, isLong } = options;
  if (options.json)
    process.stdout.write(`${JSON.stringify({ seed, isLong, isOk: suite.isOk, results: suite.results })}\n`);
  say(suite.isOk ? 'every bound held' : 'BROKEN: see above');
  return suite.isOk ? EXIT.ok : EXIT.broken;
}

/**
 * The ZooKeeper library with which the runner writes throws out of its socket's handler when an answer was cut off; the
 * write is made again then. Whatever else is not caught ends the run, and all that it has started.
 */
function onUncaught(error: Error, say: (text: string) => void): void {
  if (error.stack?.includes('node-zookeeper-client') === true) return;
  say(`not caught: ${error.stack}`);
  process.exit(EXIT.failed);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = EXIT.failed;
}
// Nothing that was forgotten may keep the process; what it has to say goes out first.
process.stdout.write('', () => process.exit());
