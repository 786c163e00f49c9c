import { bytesInUse } from './heap.ts';
import type { Case, Outcome } from './oracle.ts';
import { mixSeeds, Random } from './random.ts';

/** A decoder under fuzz. */
export interface Target {
  readonly name: string;
  /** Its part of all inputs. */
  readonly share: number;
  readonly generate: (random: Random) => Case;
}

export interface Run {
  readonly seed: number;
  readonly frames: number;
  readonly from: number;
  /** Ends it early; ms on `performance.now`'s clock. */
  readonly until: number;
}

/** One line of the table. */
export interface Report {
  readonly target: string;
  readonly frames: number;
  readonly seconds: number;
  /** How many inputs came to what: `accepted`, `incomplete`, or a reason of refusal. */
  readonly outcomes: ReadonlyMap<Outcome, number>;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** The longest that one input took, ms. */
  readonly slowestMs: number;
}

/** Processor time that no input may take, by far; the largest ones have some ten kilobytes. */
const MAX_INPUT_MS = 50;
const RETRIES = 5;
/** Between these many inputs the test runner gets a turn of the event loop. */
const INPUTS_PER_TURN = 2_000;
const WARM_UP_SHARE = 0.1;
const MAX_WARM_UP = 50_000;
const SHOWN_BYTES = 1024;

/** Feeds a target with its inputs, one by one. Throws at the first that violates an oracle, naming it. */
export async function fuzz(target: Target, { seed, frames, from, until }: Run): Promise<Report> {
  const outcomes = new Map<Outcome, number>();
  const base = mixSeeds(seed, ...Buffer.from(target.name));
  const warmUp = Math.min(MAX_WARM_UP, Math.floor(frames * WARM_UP_SHARE));
  let bytesBefore = await bytesInUse();
  let slowestMs = 0;
  let done = 0;
  let spentMs = 0;
  while (done < frames && performance.now() < until) {
    const turnEnd = Math.min(frames, done + INPUTS_PER_TURN);
    const turnStart = performance.now();
    // Half of the time goes into the stacks of errors otherwise. No other code runs until this is undone.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    try {
      for (; done < turnEnd; done++) {
        const { outcome, tookMs } = runOne(target.generate(new Random(mixSeeds(base, from + done))));
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        if (tookMs > slowestMs) slowestMs = tookMs;
      }
    } catch {
      Error.stackTraceLimit = stackTraceLimit;
      failAgain(target, seed, base, from + done);
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
    spentMs += performance.now() - turnStart;
    await new Promise((resolve) => setImmediate(resolve));
    // From here on code is compiled and pools are filled.
    if (done - INPUTS_PER_TURN < warmUp && done >= warmUp) bytesBefore = await bytesInUse();
  }
  const bytesAfter = await bytesInUse();
  return { target: target.name, frames: done, seconds: spentMs / 1000, outcomes, bytesBefore, bytesAfter, slowestMs };
}

function runOne(one: Case): { outcome: Outcome; tookMs: number } {
  const start = performance.now();
  const outcome = one.check();
  let tookMs = performance.now() - start;
  // A busy machine or a garbage collection may have come between; an input that is slow, is so every time,
  // and in processor time, too.
  for (let i = 0; tookMs > MAX_INPUT_MS && i < RETRIES; i++) tookMs = Math.min(tookMs, timeOf(one));
  if (tookMs > MAX_INPUT_MS) throw new Error(`it takes ${tookMs.toFixed(0)} ms, ${MAX_INPUT_MS} are allowed`);
  return { outcome, tookMs };
}

/** Runs a failed input once more, for a failure that tells everything: the input, the way to it, the stack. */
function failAgain(target: Target, seed: number, base: number, index: number): never {
  const one = target.generate(new Random(mixSeeds(base, index)));
  let cause: unknown = 'not when it was run again';
  try {
    runOne(one);
  } catch (error) {
    cause = error;
  }
  const { input } = one;
  const shown = input.toString('hex', 0, SHOWN_BYTES) + (input.length > SHOWN_BYTES ? '…' : '');
  throw new Error(
    `${target.name}, input ${index} of seed ${seed} (${input.length} bytes): ${String(cause)}\n${shown}\n` +
      `again: npm run fuzz -- --seed ${seed} --from ${index} --frames 1`,
    { cause },
  );
}

function timeOf(one: Case): number {
  const start = process.cpuUsage();
  one.check();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}
