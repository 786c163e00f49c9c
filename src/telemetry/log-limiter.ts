/**
 * Keeps one kind of log line from flooding: so many in a window of time, then none until the next window, whose first
 * line says how many were left out.
 */
export class LogLimiter {
  readonly #perWindow: number;
  readonly #windowMs: number;
  #windowStart = Number.NEGATIVE_INFINITY;
  #logged = 0;
  #leftOut = 0;

  constructor(perWindow: number, windowMs: number) {
    this.#perWindow = perWindow;
    this.#windowMs = windowMs;
  }

  /** Whether to log now: undefined for no, else the field that says how many lines were left out, if any were. */
  admit(): { leftOut?: number } | undefined {
    const now = performance.now();
    if (now - this.#windowStart >= this.#windowMs) {
      this.#windowStart = now;
      this.#logged = 0;
    }
    if (this.#logged >= this.#perWindow) {
      this.#leftOut++;
      return undefined;
    }
    this.#logged++;
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    return leftOut > 0 ? { leftOut } : {};
  }
}
