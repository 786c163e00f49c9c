import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { Belongings } from './belongings.ts';
import { type DemoOptions, DemoUsageError, readDemoArguments, USAGE } from './demo-arguments.ts';
import { DemoFailure } from './demo-failure.ts';
import { LiveView } from './live-view.ts';
import type { ProxyProcess } from './proxy-process.ts';
import { Screen } from './screen.ts';
import { type Stage, setStage } from './stage.ts';
import { Tour } from './tour.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
/** The shell's way to say "ended by this signal". */
const EXIT_SIGNAL = 128;
const PROXY_END_MS = 500;
/** Of the proxy's log, shown with a failure. */
const MAX_LOG_LINES = 20;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The demo as a process: it shows, cleans up however it ends, and says by its exit code whether all was well. */
class Demo {
  readonly #options: DemoOptions;
  readonly #screen = new Screen(process.stdout, process.env);
  readonly #belongings = new Belongings();
  #proxy: ProxyProcess | undefined;
  #part = 'the start';
  #isOver = false;

  constructor(options: DemoOptions) {
    this.#options = options;
  }

  /** Resolves to the exit code. */
  async run(): Promise<number> {
    process.once('exit', () => this.#belongings.killNow());
    const outside = this.#untilInterrupted();
    let code: number;
    try {
      code = await Promise.race([this.#show(), outside]);
    } catch (error) {
      await this.#report(error);
      code = EXIT_FAILED;
    }
    this.#isOver = true;
    try {
      await this.#belongings.close();
    } catch (error) {
      await this.#report(error);
      code = code === 0 ? EXIT_FAILED : code;
    }
    return code;
  }

  async #show(): Promise<number> {
    const screen = this.#screen;
    screen.title('pegasus-meta-proxy: one address in front of many Apache Pegasus clusters');
    this.#begin(1, 'Start');
    const stage = await setStage(this.#options, {
      screen,
      belongings: this.#belongings,
      onProxy: (proxy) => {
        this.#proxy = proxy;
      },
    });
    const tour = new Tour(stage);
    this.#begin(2, 'One address for all tables');
    await tour.queryTables();
    this.#begin(3, 'Redirects stay inside');
    await tour.showRedirect();
    this.#begin(4, 'A table moves to another cluster');
    await tour.moveTable();
    this.#begin(5, 'Trouble');
    await tour.makeTrouble();
    this.#begin(6, 'Summary');
    tour.sumUp();
    if (this.#options.once) return await this.#endInGoodOrder(stage);
    this.#part = 'the live view';
    const live = new LiveView(stage);
    live.introduce();
    return await live.run();
  }

  #begin(number: number, title: string): void {
    this.#part = `step ${number}`;
    this.#screen.step(`${number}/6  ${title}`);
  }

  /** The proxy is told to stop, and has to agree on the count. */
  async #endInGoodOrder({ screen, proxy, client }: Stage): Promise<number> {
    const { sent } = client;
    client.close();
    const end = await proxy.stop();
    const stopped = await proxy.logged('stopped');
    screen.say('The proxy is told to stop (SIGTERM):');
    screen.log(proxy.takeLines());
    if (end !== 'exit code 0') throw new DemoFailure(`the proxy should end with exit code 0, it ended with ${end}`);
    if (stopped.queries !== sent) {
      throw new DemoFailure(`the proxy has counted ${stopped.queries} queries, the client ${sent}`);
    }
    screen.confirmed(`the proxy has counted the same ${sent} queries, and ended with exit code 0`);
    screen.title('All was as it should be.');
    return 0;
  }

  /** Resolves to an exit code when something from outside ends the demo: a signal, a closed pipe, a bug. */
  #untilInterrupted(): Promise<number> {
    return new Promise((resolve, reject) => {
      for (const signal of SIGNALS) {
        process.on(signal, () => {
          if (this.#isOver) process.exit(EXIT_FAILED); // the second one: enough of good order
          const isMeant = this.#part === 'the live view' && signal !== 'SIGHUP';
          if (isMeant) this.#screen.say('Ending: the proxy, the clusters, the temporary files.');
          resolve(isMeant ? 0 : EXIT_SIGNAL + constants.signals[signal]);
        });
      }
      process.stdout.on('error', () => resolve(EXIT_FAILED)); // `| head`
      process.on('uncaughtException', reject);
      process.on('unhandledRejection', reject);
    });
  }

  async #report(error: unknown): Promise<void> {
    const text = error instanceof DemoFailure ? error.message : error instanceof Error ? error.stack : String(error);
    process.stderr.write(`\ndemo failed in ${this.#part}: ${text}\n`);
    if (this.#proxy === undefined) return;
    // A proxy that dies is noticed first by its connections; that it is dead comes a moment later.
    const end = await Promise.race([this.#proxy.ended, delay(PROXY_END_MS, undefined, { ref: false })]);
    this.#screen.log(this.#proxy.takeLines().slice(-MAX_LOG_LINES));
    if (end === undefined) return;
    const said = this.#proxy.errorOutput;
    process.stderr.write(`the proxy has ended: ${end}${said === '' ? '' : `, ${said}`}\n`);
  }
}

async function main(): Promise<number> {
  try {
    const options = readDemoArguments(process.argv.slice(2));
    if (!options.help) return await new Demo(options).run();
    process.stdout.write(USAGE);
    return 0;
  } catch (error) {
    if (!(error instanceof DemoUsageError)) throw error;
    process.stderr.write(`${error.message}\n${USAGE}`);
    return EXIT_USAGE;
  }
}

const code = await main();
// Not left to the event loop: nothing that was forgotten may keep the process. Output goes out first.
process.stdout.write('', () => process.exit(code));
