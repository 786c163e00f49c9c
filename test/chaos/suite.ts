import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Random } from '../fuzz/random.ts';
import { now } from './clock.ts';
import { FAULTS, MIXES, type Mix } from './faults/all-faults.ts';
import { type Fault, FaultContext } from './faults/fault.ts';
import { measure, nothing, type Outcome } from './measure.ts';
import { runMix } from './mix.ts';
import type { ChaosOptions } from './options.ts';
import { brokenByAnswers, brokenByGaps, brokenByTimes, type Result } from './result.ts';
import { PROJECT } from './stage/project.ts';
import { CleanUp, STARVED_SHARE, Stage } from './stage/stage.ts';

const KINDS = ['single', 'ensemble'] as const;
type Kind = (typeof KINDS)[number];
/** On a machine that is busy with something else, a bound of time that does not hold is tried again. */
const ATTEMPTS = 3;
/** What the heap may have grown by at the end of a stage, MiB: caches fill, code is compiled, logs are buffered. */
const HEAP_GROWTH_MB = 12;
const LOG_FOLDER = new URL('.cache/chaos-logs/', PROJECT);

/** Runs what the options ask for: on a stage with one ZooKeeper, then on one with an ensemble. */
export class Suite {
  readonly results: Result[] = [];
  readonly #options: ChaosOptions;
  readonly #say: (text: string) => void;
  readonly #random: Random;
  readonly #cleanUp = new CleanUp();
  readonly #startedAt = now();

  constructor(options: ChaosOptions, say: (text: string) => void) {
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#say = (text) => say(`${((now() - this.#startedAt) / 1000).toFixed(1).padStart(7)} s  ${text}`);
  }

  get isOk(): boolean {
    return this.results.every(({ broken }) => broken.length === 0);
  }

  async run(): Promise<void> {
    try {
      for (const kind of KINDS) await this.#runStage(kind);
    } finally {
      await this.stop();
    }
  }

  /** Ends everything that runs, at once. */
  async stop(): Promise<void> {
    await this.#cleanUp.run();
  }

  async #runStage(kind: Kind): Promise<void> {
    const faults = FAULTS[kind].filter(({ name }) => this.#isWanted(name));
    const mixes = MIXES.filter((mix) => mix.kind === kind && this.#isWanted(mix.name));
    if (faults.length + mixes.length === 0) return;
    this.#say(`starting the stage: ${kind === 'single' ? 'one ZooKeeper' : 'a ZooKeeper ensemble of three'}`);
    const stage = await Stage.start(kind, this.#options, this.#cleanUp);
    const before = await stage.proxy.memory();
    for (const fault of faults) await this.#runAlone(stage, fault);
    for (const mix of mixes) await this.#runMixed(stage, mix);
    await this.#endStage(stage, kind, before.heapMb);
  }

  async #runAlone(stage: Stage, fault: Fault): Promise<void> {
    const { name, skipped } = fault;
    if (skipped !== undefined) {
      this.#take(nothing(name, { skipped }), stage);
      return;
    }
    await this.#tryRepeatedly(stage, ATTEMPTS, async () => {
      const cluster = this.#random.pick(stage.clusters);
      const context = new FaultContext(stage, this.#random, cluster);
      const outcome = await measure(stage, context, name, () => fault.run(context));
      const hurt = fault.lane === 'meta' ? cluster.index : undefined;
      const gaps = brokenByGaps(fault, hurt, outcome.result.window);
      outcome.late.push(...gaps, ...brokenByTimes(context.measured));
      return { ...outcome, result: { ...outcome.result, hurt } };
    });
  }

  async #runMixed(stage: Stage, { name, lanes, isStoreDown }: Mix): Promise<void> {
    const seconds = this.#options.mixSeconds / MIXES.length;
    const runs = new Map<string, number>();
    await this.#tryRepeatedly(stage, this.#options.isLong ? 1 : ATTEMPTS, async () => {
      const context = new FaultContext(stage, this.#random, this.#random.pick(stage.clusters));
      if (isStoreDown) await context.single.kill();
      const note = (text: string) => void stage.proxy.note(text);
      const run = () => runMix(stage, lanes, { seconds, random: this.#random, runs, note, say: this.#say });
      return await measure(stage, context, name, run);
    });
    this.#say(`  in the mix: ${[...runs].map(([name, count]) => `${count} × ${name}`).join(', ')}`);
  }

  /** Again, where nothing but time was wrong and the machine was busy; a wrong answer is wrong on any machine. */
  async #tryRepeatedly(stage: Stage, most: number, attempt: () => Promise<Outcome>): Promise<void> {
    for (let attempts = 1; ; attempts++) {
      const { result, wrong, late } = await attempt();
      const isStarved = result.starved > STARVED_SHARE;
      if (attempts < most && isStarved && wrong.length === 0 && late.length > 0) {
        const share = Math.round(100 * result.starved);
        this.#say(`${result.name}: once more, the machine was busy (${share} % starved; ${late[0]})`);
        await stage.quiet();
        continue;
      }
      this.#take({ ...result, attempts, broken: [...wrong, ...late] }, stage);
      return;
    }
  }

  async #endStage(stage: Stage, kind: string, heapAtStart: number): Promise<void> {
    const broken: string[] = [];
    const { heapMb } = await stage.proxy.memory();
    const growth = heapMb - heapAtStart;
    if (growth > HEAP_GROWTH_MB) broken.push(`the heap has grown by ${growth.toFixed(1)} MiB`);
    broken.push(...brokenByAnswers(await stage.load.call('end')));
    await stage.load.call('mayClose', true);
    await stage.proxy.stop();
    broken.push(...stage.proxy.alarms.splice(0));
    this.#take(nothing(`end of stage ${kind}`, { broken }), stage);
    await this.#cleanUp.run();
  }

  #take(result: Result, stage: Stage): void {
    this.results.push(result);
    const { name, skipped, broken, seconds } = result;
    const outcome = skipped === undefined ? (broken.length === 0 ? 'ok' : 'BROKEN') : `skipped: ${skipped}`;
    this.#say(`${name}: ${outcome} (${seconds.toFixed(1)} s)`);
    for (const what of broken) this.#say(`    ${what}`);
    if (broken.length > 0) this.#say(`    the proxy's log: ${keepLog(name, stage.proxy.lines)}`);
  }

  #isWanted(name: string): boolean {
    const { only } = this.#options;
    return only.length === 0 || only.some((text) => name.includes(text));
  }
}

/** Writes the end of the proxy's log to a file; returns its path. */
function keepLog(name: string, lines: readonly string[]): string {
  mkdirSync(LOG_FOLDER, { recursive: true });
  const file = fileURLToPath(new URL(`${name.replaceAll(/[^a-z]+/gi, '-')}.log`, LOG_FOLDER));
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}
