/** The part of a cached table that says when it was right; nobody else writes it after its making. */
export interface Verified {
  /** The term in which it was last known to be right; 0 for none. */
  term: number;
  /** With term 0: until when it is known to have been right, in ms since the epoch. */
  verifiedAt: number;
}

/** The term of what is cached no more: it is never verified. */
const GONE = -1;
/** Ends of terms remembered: more come together only where a store flaps and is never there for long enough. */
const MAX_ENDS = 1000;

/**
 * Which cached tables are in doubt, and since when. The time from one coming or going of the store to the next is a
 * term; a table is in doubt unless it was verified in this one. So a loss of the store puts everything in doubt without
 * a walk through it.
 */
export class VerifiedTerms<Entry extends Verified> {
  readonly #entries: () => Iterable<Entry>;
  /** When terms ended in which tables were verified, in ms since the epoch. */
  readonly #ends = new Map<number, number>();
  #current = 1;
  #known = 0;
  #verified = 0;

  /** `entries` gives all that were added and not removed. */
  constructor(entries: () => Iterable<Entry>) {
    this.#entries = entries;
  }

  get current(): number {
    return this.#current;
  }

  get known(): number {
    return this.#known;
  }

  get doubted(): number {
    return this.#known - this.#verified;
  }

  isDoubted(entry: Entry): boolean {
    return entry.term !== this.#current;
  }

  /** Until when it is known to be right, in ms since the epoch: now, unless it is in doubt. */
  verifiedUntil(entry: Entry): number {
    return entry.term === this.#current ? Date.now() : (this.#ends.get(entry.term) ?? entry.verifiedAt);
  }

  /** Since when the table longest in doubt is not verified, in ms since the epoch; undefined where none is in doubt. */
  oldestDoubt(): number | undefined {
    if (this.doubted === 0) return undefined;
    let oldest = Date.now();
    for (const entry of this.#entries()) {
      if (this.isDoubted(entry)) oldest = Math.min(oldest, this.verifiedUntil(entry));
    }
    return oldest;
  }

  /** A table is known from now on, and in doubt. */
  add(entry: Entry): void {
    this.#known++;
    entry.term = 0;
  }

  remove(entry: Entry): void {
    this.#known--;
    this.doubt(entry);
    entry.term = GONE;
  }

  verify(entry: Entry): void {
    if (entry.term === this.#current || entry.term === GONE) return;
    this.#verified++;
    entry.term = this.#current;
    if (this.doubted === 0) this.#ends.clear();
  }

  doubt(entry: Entry): void {
    if (entry.term !== this.#current) return;
    this.#verified--;
    entry.term = 0;
    entry.verifiedAt = Date.now();
  }

  /** The store has come or gone: everything is in doubt. */
  next(): void {
    if (this.#verified > 0) this.#ends.set(this.#current, Date.now());
    this.#verified = 0;
    this.#current++;
    if (this.#ends.size > MAX_ENDS) this.#noteEnds();
  }

  /** All that is known, what was verified longest ago first, as far as terms tell; within a term as `entries` gives it. */
  oldestFirst(): Entry[] {
    const byTerm = new Map<number, Entry[]>();
    for (const entry of this.#entries()) {
      const same = byTerm.get(entry.term);
      if (same === undefined) byTerm.set(entry.term, [entry]);
      else same.push(entry);
    }
    return [...byTerm].sort(([a], [b]) => a - b).flatMap(([, entries]) => entries);
  }

  /** Writes into the entries what is remembered of terms gone by, so that it may be forgotten. */
  #noteEnds(): void {
    for (const entry of this.#entries()) {
      entry.verifiedAt = this.verifiedUntil(entry);
      entry.term = 0;
    }
    this.#ends.clear();
  }
}
