import { CLUSTERS, TABLES } from '../layout.ts';
import type { WindowReport } from './load-control.ts';

const BUCKETS_PER_MS = 10;
const BUCKETS = 2000 * BUCKETS_PER_MS;
const MAX_SAMPLES = 5;

/** Counts what clients see between two moments. */
export class Window {
  readonly #startedAt: number;
  #requests = 0;
  #good = 0;
  #measured = 0;
  #stallMs = 0;
  readonly #errors = new Map<string, number>();
  readonly #excused = new Map<string, number>();
  readonly #violations = new Map<string, number>();
  readonly #samples: string[] = [];
  readonly #errorSamples: string[] = [];
  readonly #latencies = new Uint32Array(BUCKETS);
  /** Per table: since when it has had no good answer, and the longest such time so far. */
  readonly #goodAt: number[];
  readonly #gaps: number[] = TABLES.map(() => 0);

  constructor(startedAt: number) {
    this.#startedAt = startedAt;
    this.#goodAt = TABLES.map(() => startedAt);
  }

  sent(): void {
    this.#requests++;
  }

  good(table: number, at: number, latencyMs: number): void {
    this.#good++;
    // What was asked before the window tells of what went on before it.
    if (at - latencyMs >= this.#startedAt) this.#noteLatency(latencyMs);
    this.#noteGap(table, at);
    this.#goodAt[table] = at;
  }

  /** `what` describes it for who wants to find out why; kept of the first ones that nothing excuses. */
  error(kind: string, isExcused: boolean, what = kind): void {
    count(isExcused ? this.#excused : this.#errors, kind);
    if (isExcused || this.#errorSamples.length >= MAX_SAMPLES) return;
    this.#errorSamples.push(`${new Date().toISOString()} ${what}`);
  }

  violation(category: string, what: string): void {
    count(this.#violations, category);
    if (this.#samples.length < MAX_SAMPLES) this.#samples.push(what);
  }

  /** This process stood still: nobody asked, so nobody waited for an answer. */
  stalled(ms: number): void {
    this.#stallMs = Math.max(this.#stallMs, ms);
    for (let table = 0; table < this.#goodAt.length; table++)
      this.#goodAt[table] = (this.#goodAt[table] as number) + ms;
  }

  report(at: number): WindowReport {
    for (const { index } of TABLES) this.#noteGap(index, at);
    return {
      requests: this.#requests,
      good: this.#good,
      errors: Object.fromEntries(this.#errors),
      excused: Object.fromEntries(this.#excused),
      violations: Object.fromEntries(this.#violations),
      samples: this.#samples,
      errorSamples: this.#errorSamples,
      gapMs: CLUSTERS.map((_, cluster) => this.#longestGap(cluster)),
      p50Ms: this.#percentile(0.5),
      p99Ms: this.#percentile(0.99),
      stallMs: Math.round(this.#stallMs),
    };
  }

  #noteLatency(ms: number): void {
    const bucket = Math.min(BUCKETS - 1, Math.floor(ms * BUCKETS_PER_MS));
    this.#latencies[bucket] = (this.#latencies[bucket] as number) + 1;
    this.#measured++;
  }

  #noteGap(table: number, at: number): void {
    const gap = at - (this.#goodAt[table] as number);
    if (gap > (this.#gaps[table] as number)) this.#gaps[table] = gap;
  }

  #longestGap(cluster: number): number {
    return Math.round(
      Math.max(...TABLES.filter(({ home }) => home === cluster).map(({ index }) => this.#gaps[index]!)),
    );
  }

  #percentile(share: number): number {
    let left = this.#measured * share;
    const bucket = this.#latencies.findIndex((inBucket) => {
      left -= inBucket;
      return inBucket > 0 && left <= 0;
    });
    return bucket < 0 ? 0 : (bucket + 1) / BUCKETS_PER_MS;
  }
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
