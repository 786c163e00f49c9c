/** Further attempts that a cluster's queries may make at once, when nothing has been needed for long. */
const BURST = 5_000;
/** Further attempts that each query adds to the budget: a cluster in trouble costs so much more than a healthy one. */
const PER_QUERY = 0.25;
/** … and each second, so that a rare query is retried too. */
const PER_SECOND = 20;

/**
 * What a cluster's queries may cost beyond one attempt each. A leader that dies with thousands of queries in flight is
 * within it; a cluster that fails for long uses it up, and then costs little more than if nothing were tried again.
 */
export class RetryBudget {
  #tokens = BURST;
  #filledAt = 0;

  /** A query has been taken. */
  earn(): void {
    if (this.#tokens < BURST) this.#tokens += PER_QUERY;
  }

  /** Whether a further attempt may be made at `now` (ms); if so, it has been paid for. */
  spend(now: number): boolean {
    if (this.#tokens < BURST) {
      this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#filledAt) / 1000) * PER_SECOND);
    }
    this.#filledAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
