import type { Fault, Measured } from './faults/fault.ts';
import { CLUSTERS } from './layout.ts';
import type { WindowReport } from './load/load-control.ts';
import type { Memory } from './stage/proxy-process.ts';

/** No table of a cluster that nothing was done to may be without a good answer for longer, ms. */
const BYSTANDER_GAP_MS = 300;

/** What came of a fault, or of a mix of them. */
export interface Result {
  readonly name: string;
  readonly skipped: string | undefined;
  readonly seconds: number;
  /** How often it was tried: more than once on a machine that was busy with something else. */
  readonly attempts: number;
  readonly window: WindowReport | undefined;
  /** The cluster that was hurt, where it was one. */
  readonly hurt: number | undefined;
  readonly measured: readonly Measured[];
  readonly before: Memory | undefined;
  readonly after: Memory | undefined;
  /** The share of the time in which the proxy or its clients wanted a processor and had none. */
  readonly starved: number;
  /** Every bound that did not hold, in words. */
  readonly broken: readonly string[];
}

/** Of a table that moved: answers of its old cluster, after the time in which the move had to be followed. */
const STALE = 'stale';

/** What the clients saw that they must not see, whatever goes on. */
export function brokenByAnswers({ violations, samples }: WindowReport): string[] {
  const wrong = Object.entries(violations).filter(([category]) => category !== STALE);
  return wrong.length === 0 ? [] : [...wrong.map(([category, count]) => `${count} × ${category}`), ...samples];
}

/** Answers that were right for too long. */
export function brokenByStaleness({ violations }: WindowReport): string[] {
  const count = violations[STALE];
  return count === undefined ? [] : [`${count} × ${STALE}: the old cluster's answer to a query sent too late for it`];
}

/** What clients of clusters that could have answered had to go without. */
export function brokenByErrors({ errors, errorSamples }: WindowReport): string[] {
  return [...Object.entries(errors).map(([kind, count]) => `${count} × ${kind} without an excuse`), ...errorSamples];
}

/** The gaps that were too long while one fault went on alone. */
export function brokenByGaps(fault: Fault, hurt: number | undefined, window: WindowReport): string[] {
  if (fault.isOutage === true) return [];
  return window.gapMs.flatMap((gap, cluster) => {
    const bound = cluster === hurt ? fault.gapMs : BYSTANDER_GAP_MS;
    const isLong = bound !== undefined && gap > bound;
    return isLong ? [`gap of ${gap} ms at cluster ${CLUSTERS[cluster]}, ${bound} ms are allowed`] : [];
  });
}

export function brokenByTimes(measured: readonly Measured[]): string[] {
  const late = measured.filter(({ ms, boundMs }) => ms > boundMs);
  return late.map(({ what, ms, boundMs }) => `${Math.round(ms)} ms for ${what}, ${boundMs} ms are allowed`);
}
