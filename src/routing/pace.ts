/** A portion is let through at a time, so that whatever runs in between waits a fraction of a millisecond. */
const PORTION_MS = 2;

/** Lets so many through per second, in portions of a few ms' worth. */
export class Pace {
  /** When to look again where it isn't open, in ms. */
  readonly delayMs: number;
  readonly #perMs: number;
  readonly #max: number;
  #tokens: number;
  #countedAt = performance.now();

  constructor(perSecond: number) {
    this.#perMs = perSecond / 1000;
    this.delayMs = Math.max(PORTION_MS, Math.ceil(1 / this.#perMs));
    // A timer that is late makes up for it with the next portion, within bounds.
    this.#max = Math.max(1, this.#perMs * PORTION_MS * 2);
    this.#tokens = this.#max;
  }

  isOpen(): boolean {
    const now = performance.now();
    this.#tokens = Math.min(this.#max, this.#tokens + (now - this.#countedAt) * this.#perMs);
    this.#countedAt = now;
    return this.#tokens >= 1;
  }

  /** One goes through; call it only when it is open. */
  spend(): void {
    this.#tokens--;
  }
}
