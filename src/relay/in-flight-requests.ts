const FIRST_CAPACITY = 64;

/**
 * What has been asked on one connection and not been answered: the proxy's own seqId → who waits. Kept in a ring that
 * grows with need, so that asking and settling neither hash nor allocate.
 *
 * SeqIds count up through all 32 bits, so one comes again only after four thousand million requests: a late answer
 * finds nobody, never somebody else.
 */
export class InFlightRequests<T> {
  readonly #limit: number;
  #waiting: (T | undefined)[] = new Array<T | undefined>(FIRST_CAPACITY).fill(undefined);
  #seqIds = new Int32Array(FIRST_CAPACITY);
  #askedAt = new Float64Array(FIRST_CAPACITY);
  #next = 1;
  #size = 0;

  /** At most `limit` may wait at once. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#size;
  }

  get full(): boolean {
    return this.#size >= this.#limit;
  }

  /** Notes who waits, since when (ms), and returns the seqId to ask with. Not to be called while `full`. */
  add(waiter: T, now: number): number {
    // Half empty at least, so that the next free place is never far.
    if (2 * (this.#size + 1) > this.#waiting.length) this.#grow();
    const mask = this.#waiting.length - 1;
    while (this.#waiting[this.#next & mask] !== undefined) this.#next = (this.#next + 1) | 0;
    const seqId = this.#next;
    const place = seqId & mask;
    this.#waiting[place] = waiter;
    this.#seqIds[place] = seqId;
    this.#askedAt[place] = now;
    this.#next = (seqId + 1) | 0;
    this.#size++;
    return seqId;
  }

  /** Who waited for this seqId, now no longer; undefined for a late answer, or one to nothing that was asked. */
  settle(seqId: number): T | undefined {
    const place = seqId & (this.#waiting.length - 1);
    const waiter = this.#waiting[place];
    if (waiter === undefined || this.#seqIds[place] !== seqId) return undefined;
    this.#waiting[place] = undefined;
    this.#size--;
    return waiter;
  }

  /** Takes out everybody who has waited since before `askedBefore` (ms). */
  expire(askedBefore: number): void {
    for (let place = 0; place < this.#waiting.length && this.#size > 0; place++) {
      if (this.#waiting[place] === undefined || (this.#askedAt[place] as number) >= askedBefore) continue;
      this.#waiting[place] = undefined;
      this.#size--;
    }
  }

  /** Takes out everybody. */
  drain(): T[] {
    const waiters = this.#waiting.filter((waiter) => waiter !== undefined);
    this.#waiting.fill(undefined);
    this.#size = 0;
    return waiters;
  }

  #grow(): void {
    const capacity = 2 * this.#waiting.length;
    const waiting = new Array<T | undefined>(capacity).fill(undefined);
    const seqIds = new Int32Array(capacity);
    const askedAt = new Float64Array(capacity);
    for (let from = 0; from < this.#waiting.length; from++) {
      if (this.#waiting[from] === undefined) continue;
      // Two seqIds that differ in their low bits differ in one bit more as well: nobody meets in the larger ring.
      const to = (this.#seqIds[from] as number) & (capacity - 1);
      waiting[to] = this.#waiting[from];
      seqIds[to] = this.#seqIds[from] as number;
      askedAt[to] = this.#askedAt[from] as number;
    }
    this.#waiting = waiting;
    this.#seqIds = seqIds;
    this.#askedAt = askedAt;
  }
}
