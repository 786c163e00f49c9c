/** Bytes before and behind a frame that a decoder could stray to. */
const MARGIN = 64;
const FIRST_CAPACITY = 128 * 1024;

/**
 * One large buffer full of poison, in which frames are placed as views: what a decoder reads outside of its frame is
 * this poison. The same frame in two of these, with different poison, has to give the same result.
 */
export class Surroundings {
  readonly #poison: number;
  #arena: Buffer;
  /** Behind this place everything is poison still. */
  #dirtyEnd = 0;

  constructor(poison: number) {
    this.#poison = poison;
    this.#arena = Buffer.alloc(FIRST_CAPACITY, poison);
  }

  /** A view of a copy of `bytes`, poison on both sides; good until the next call. */
  place(bytes: Buffer): Buffer {
    return this.placeAll([bytes])[0] as Buffer;
  }

  /** The same for several at once, each with poison around it. */
  placeAll(pieces: readonly Buffer[]): Buffer[] {
    const needed = pieces.reduce((sum, piece) => sum + piece.length + MARGIN, MARGIN);
    if (needed > this.#arena.length) this.#arena = Buffer.alloc(2 * needed, this.#poison);
    else this.#arena.fill(this.#poison, 0, this.#dirtyEnd);
    let at = MARGIN;
    const placed = pieces.map((piece) => {
      piece.copy(this.#arena, at);
      const view = this.#arena.subarray(at, at + piece.length);
      at += piece.length + MARGIN;
      return view;
    });
    this.#dirtyEnd = at;
    return placed;
  }
}

/** Zeros read on as "stop" and as lengths of nothing, so that straying goes unnoticed there, but not among ones. */
export const zeros = new Surroundings(0x00);
export const ones = new Surroundings(0xff);
