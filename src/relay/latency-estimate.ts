/** Weights of a new sample, as TCP's retransmission timer has them (RFC 6298). */
const SMOOTHING = 1 / 8;
const VARIATION_SMOOTHING = 1 / 4;
const VARIATIONS = 4;

/**
 * What answers of a cluster have taken of late, and from it how long to wait for one before somebody else is asked as
 * well: the smoothed latency and four times its variation, within bounds. The way TCP decides when to send again.
 */
export class LatencyEstimate {
  readonly #minMs: number;
  readonly #maxMs: number;
  #smoothed = -1;
  #variation = 0;

  /** Bounds of the delay, ms. */
  constructor(minMs: number, maxMs: number) {
    this.#minMs = Math.min(minMs, maxMs);
    this.#maxMs = maxMs;
  }

  /** The smoothed latency, ms; undefined before the first sample. */
  get smoothedMs(): number | undefined {
    return this.#smoothed < 0 ? undefined : this.#smoothed;
  }

  /** Takes in how long an answer took, ms. Only of queries that one MetaServer was asked: others say nothing sure. */
  add(latencyMs: number): void {
    if (this.#smoothed < 0) {
      this.#smoothed = latencyMs;
      this.#variation = latencyMs / 2;
      return;
    }
    const error = latencyMs - this.#smoothed;
    this.#smoothed += error * SMOOTHING;
    this.#variation += (Math.abs(error) - this.#variation) * VARIATION_SMOOTHING;
  }

  /** How long to wait for an answer before another MetaServer is asked as well, ms; the longest before any sample. */
  get delayMs(): number {
    if (this.#smoothed < 0) return this.#maxMs;
    return Math.min(this.#maxMs, Math.max(this.#minMs, this.#smoothed + VARIATIONS * this.#variation));
  }
}
