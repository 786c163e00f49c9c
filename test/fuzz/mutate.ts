import type { Random } from './random.ts';

/** Changes a buffer that it may write to; returns it, or a new one where the length changes. */
type Mutation = (bytes: Buffer, random: Random, seed: Seed, others: readonly Seed[]) => Buffer;

/** A valid frame, and where in it the places are at which a change hurts most. */
interface Seed {
  readonly bytes: Buffer;
  /** Offsets of i32 values that look like a length or a count. */
  readonly lengths: readonly number[];
  /** Offsets of bytes that look like a field header's type. */
  readonly types: readonly number[];
}

const THRIFT_TYPES = [0, 1, 2, 3, 4, 6, 8, 10, 11, 12, 13, 14, 15, 16];
const BYTES = [...THRIFT_TYPES, 5, 7, 9, 0x7f, 0x80, 0xfe, 0xff];
const WORDS = [0, 1, -1, 2, 4, 16, 48, 0xff, 0xffff, 0x7fff_ffff, -0x8000_0000, 0x7fff_fff0, -2, -4, 0x10000];
/** What opens one more level: a field that is a struct, a list of lists, a map of maps, a field that is a list. */
const NESTS = ['0c0009', '0f00000001', '0d0d00000001', '0f00090f00000001', '0e00090c7fffffff'];

const MAX_MUTATED_BYTES = 63 * 1024;
const LARGE_SEED_BYTES = 2 * 1024;

const MUTATIONS: readonly Mutation[] = [
  flipBits,
  setByte,
  setByte,
  setWord,
  setLength,
  setLength,
  setType,
  truncate,
  insert,
  duplicateSpan,
  deleteSpan,
  overwriteSpan,
  splice,
  nest,
];

/** Makes broken frames out of valid ones. */
export class Mutator {
  readonly #seeds: readonly Seed[];
  readonly #small: readonly Seed[];
  readonly #repair: (frame: Buffer) => void;

  /** `repair` puts a frame's outer lengths right, so that a mutation within it is not already refused by them. */
  constructor(vectors: readonly Buffer[], repair: (frame: Buffer) => void) {
    this.#seeds = vectors.map(toSeed);
    this.#small = this.#seeds.filter(({ bytes }) => bytes.length <= LARGE_SEED_BYTES);
    this.#repair = repair;
  }

  /** A vector as it is, in a buffer of its own. */
  valid(random: Random): Buffer {
    return Buffer.from(this.#pick(random).bytes);
  }

  /** A vector with one to four mutations. */
  mutated(random: Random): Buffer {
    const seed = this.#pick(random);
    let bytes: Buffer = Buffer.from(seed.bytes);
    do {
      if (bytes.length > 0) bytes = random.pick(MUTATIONS)(bytes, random, seed, this.#small);
    } while (random.oneIn(2) && !random.oneIn(8));
    if (bytes.length > MAX_MUTATED_BYTES) bytes = bytes.subarray(0, MAX_MUTATED_BYTES);
    if (!random.oneIn(4)) this.#repair(bytes);
    return bytes;
  }

  /** Large vectors cost much time and find little that small ones don't. */
  #pick(random: Random): Seed {
    return random.pick(random.oneIn(64) ? this.#seeds : this.#small);
  }
}

function toSeed(bytes: Buffer): Seed {
  const lengths: number[] = [];
  const types: number[] = [];
  for (let at = 0; at + 4 <= bytes.length; at++) {
    const value = bytes.readInt32BE(at);
    // A zero counts only behind a type, as of an empty list: headers are full of zeros.
    const isLength = value > 0 || (value === 0 && isType(bytes[at - 1]));
    if (isLength && value <= bytes.length - at) lengths.push(at);
    // A field header is a type and a small id.
    if (isType(bytes[at]) && bytes[at + 1] === 0 && (bytes[at + 2] as number) < 16) types.push(at);
  }
  return { bytes, lengths, types };
}

function isType(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 2 && THRIFT_TYPES.includes(byte);
}

function flipBits(bytes: Buffer, random: Random): Buffer {
  for (let n = random.between(1, 8); n > 0; n--) {
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
  }
  return bytes;
}

function setByte(bytes: Buffer, random: Random): Buffer {
  bytes[random.below(bytes.length)] = random.pick(BYTES);
  return bytes;
}

function setWord(bytes: Buffer, random: Random): Buffer {
  const width = random.pick([2, 4, 8]);
  if (bytes.length < width) return bytes;
  const at = random.below(bytes.length - width + 1);
  const value = random.pick(WORDS);
  if (width === 8) bytes.writeBigInt64BE(BigInt(value), at);
  else if (width === 4) bytes.writeInt32BE(value | 0, at);
  else bytes.writeInt16BE((value << 16) >> 16, at);
  return bytes;
}

/** A length or count, set to what lies at an edge: of its value, of what is left of the frame, of an i32. */
function setLength(bytes: Buffer, random: Random, seed: Seed): Buffer {
  const at = seed.lengths.length === 0 ? 0 : random.pick(seed.lengths);
  if (at + 4 > bytes.length) return bytes;
  const value = bytes.readInt32BE(at);
  const left = bytes.length - at - 4;
  const edges = [0, -1, 1, value - 1, value + 1, value * 2, left, left - 1, left + 1, left + 4, -value, ...WORDS];
  bytes.writeInt32BE(random.pick(edges) | 0, at);
  return bytes;
}

function setType(bytes: Buffer, random: Random, seed: Seed): Buffer {
  const at = seed.types.length === 0 ? 0 : random.pick(seed.types);
  if (at < bytes.length) bytes[at] = random.pick(THRIFT_TYPES);
  return bytes;
}

function truncate(bytes: Buffer, random: Random): Buffer {
  return bytes.subarray(0, random.below(bytes.length + 1));
}

function insert(bytes: Buffer, random: Random): Buffer {
  const inserted = Buffer.alloc(random.oneIn(64) ? random.between(1, 4096) : random.between(1, 24));
  if (random.oneIn(2)) inserted.fill(random.pick(BYTES));
  else fillRandomly(inserted, random);
  return insertAt(bytes, random.below(bytes.length + 1), inserted);
}

function duplicateSpan(bytes: Buffer, random: Random): Buffer {
  const [start, end] = span(bytes, random);
  return insertAt(bytes, random.oneIn(2) ? end : random.below(bytes.length + 1), bytes.subarray(start, end));
}

function deleteSpan(bytes: Buffer, random: Random): Buffer {
  const [start, end] = span(bytes, random);
  return Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)]);
}

function overwriteSpan(bytes: Buffer, random: Random): Buffer {
  const [start, end] = span(bytes, random);
  fillRandomly(bytes.subarray(start, end), random);
  return bytes;
}

/** The beginning of this one and the end of another. */
function splice(bytes: Buffer, random: Random, _seed: Seed, others: readonly Seed[]): Buffer {
  const other = random.pick(others).bytes;
  const cut = random.below(bytes.length + 1);
  // Half of them at the same place in both, where frames of one kind have the same fields.
  const from = random.oneIn(2) ? Math.min(cut, other.length) : random.below(other.length + 1);
  return Buffer.concat([bytes.subarray(0, cut), other.subarray(from)]);
}

/** Many levels of structs, lists or maps, where a field header stands; now and then enough to exhaust a stack. */
function nest(bytes: Buffer, random: Random, seed: Seed): Buffer {
  const at = seed.types.length === 0 ? 0 : random.pick(seed.types);
  const depth = random.oneIn(32) ? random.between(1_000, 20_000) : random.between(1, 70);
  const levels = Buffer.from(random.pick(NESTS).repeat(depth), 'hex');
  const end = random.oneIn(2) ? Buffer.alloc(random.below(depth + 2)) : Buffer.alloc(0);
  return insertAt(bytes, Math.min(at, bytes.length), Buffer.concat([levels, end]));
}

function insertAt(bytes: Buffer, at: number, inserted: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at)]);
}

/** Mostly short, at times anything. */
function span(bytes: Buffer, random: Random): readonly [start: number, end: number] {
  const start = random.below(bytes.length);
  const longest = bytes.length - start;
  return [start, start + random.between(1, random.oneIn(4) ? longest : Math.min(longest, 16))];
}

function fillRandomly(bytes: Buffer, random: Random): void {
  for (let at = 0; at < bytes.length; at++) bytes[at] = random.u32();
}

/** The lengths of a request's header, as its bytes now are. */
export function repairRequest(frame: Buffer): void {
  if (frame.length < 20) return;
  if (frame.readInt32BE(4) === 1) {
    const room = frame.length - 16;
    const meta = frame.readInt32BE(8);
    if (meta < 0 || meta > room) frame.writeInt32BE(room, 8);
    frame.writeInt32BE(room - frame.readInt32BE(8), 12);
  } else if (frame.length >= 48) {
    frame.writeInt32BE(frame.length - 48, 16);
  }
}

/** A response's total length, as its bytes now are. */
export function repairResponse(frame: Buffer): void {
  if (frame.length >= 4) frame.writeInt32BE(frame.length, 0);
}
