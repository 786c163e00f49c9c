import { ALLOWANCE_MS, readAppId, TABLES } from '../layout.ts';

/** The place of a table that has been deleted. */
export const NOWHERE = -1;

/** What an answer is worth. `bad`: it must not be, whatever goes on. */
export type Verdict =
  | { readonly kind: 'good'; readonly place: number }
  | { readonly kind: 'error'; readonly name: string }
  | { readonly kind: 'bad'; readonly category: 'wrong-cluster' | 'stale' | 'wrong-answer'; readonly what: string };

/** A place that a table has, or has had. */
interface Place {
  /** When it could be known that the table left it, in ms of `now()`; infinite while it is there. */
  readonly until: number;
  /** The proxy has been seen to know that the table left: what comes from there now is wrong, and not just late. */
  readonly isSettled: boolean;
}

const HERE: Place = { until: Number.POSITIVE_INFINITY, isSettled: false };

const NOT_NOW = 'ERR_SERVICE_NOT_ACTIVE';
const NOT_FOUND = 'ERR_OBJECT_NOT_FOUND';
const STRUCT = 12;
const I32 = 8;
const STRICT_REPLY = 0x80010002 | 0;

/**
 * Knows for every answer which cluster it may come from. It reads the bytes itself, with nothing of the program's own,
 * and compares them with what the cluster says when it is asked directly.
 *
 * A table's places are those that its znode names, and those that it has named: a query sent up to the allowance after
 * the change could be known may still be answered from there.
 */
export class Oracle {
  readonly #places = TABLES.map((table) => new Map<number, Place>([[table.home, HERE]]));
  /** By app id: the whole answer, its seqId 0. */
  readonly #references: ReadonlyMap<number, Buffer>;

  constructor(references: ReadonlyMap<number, Buffer>) {
    this.#references = references;
  }

  /** From now on the table may be at this place. */
  allow(table: number, place: number): void {
    this.#placesOf(table).set(place, HERE);
  }

  /** The table has left this place; since `at` that could be known. */
  revoke(table: number, place: number, at: number): void {
    this.#placesOf(table).set(place, { until: at, isSettled: false });
  }

  /** The proxy sends nobody to this place any more: it must not begin again. What is in flight may finish. */
  settle(table: number, place: number, at: number): void {
    this.#placesOf(table).set(place, { until: at - ALLOWANCE_MS, isSettled: true });
  }

  /** Where an answer to a query sent at that time may come from. */
  placesFor(table: number, sentAt: number): number[] {
    return [...this.#placesOf(table)].filter(([, { until }]) => sentAt <= until + ALLOWANCE_MS).map(([place]) => place);
  }

  /** Judges a whole answer frame. `seqIdOffset` and the rest of the frame are read here; the seqId is the caller's. */
  judge(table: number, sentAt: number, frame: Buffer): Verdict {
    const read = readAnswer(frame);
    if (read === undefined) return wrong(`an unreadable answer: ${frame.toString('hex', 0, 64)}`);
    if (read.headerError !== 'ERR_OK') return wrong(`header error ${read.headerError}`);
    if (read.err === NOT_NOW) return { kind: 'error', name: NOT_NOW };
    if (read.err === NOT_FOUND) return this.#judgePlace(table, sentAt, NOWHERE);
    if (read.err !== 'ERR_OK') return wrong(`unexpected err ${read.err}`);
    const at = readAppId(read.appId);
    if (at.table !== table) return wrong(`table ${table} was asked for, the answer is about ${at.table}`);
    const verdict = this.#judgePlace(table, sentAt, at.cluster);
    const isIntact = verdict.kind !== 'good' || this.#isReference(read.appId, frame, read.seqIdOffset);
    return isIntact ? verdict : wrong(`altered bytes in the answer of app id ${read.appId}`);
  }

  #judgePlace(table: number, sentAt: number, place: number): Verdict {
    const known = this.#placesOf(table).get(place);
    if (known !== undefined && sentAt <= known.until + ALLOWANCE_MS) return { kind: 'good', place };
    const what = `table ${table} answered by place ${place}, `;
    if (known === undefined) return { kind: 'bad', category: 'wrong-cluster', what: `${what}where it never was` };
    const late = `${what}${Math.round(sentAt - known.until)} ms after it left`;
    return { kind: 'bad', category: known.isSettled ? 'wrong-cluster' : 'stale', what: late };
  }

  #isReference(appId: number, frame: Buffer, seqIdOffset: number): boolean {
    const reference = this.#references.get(appId);
    if (reference === undefined || reference.length !== frame.length) return false;
    const behind = seqIdOffset + 4;
    return (
      reference.compare(frame, 0, seqIdOffset, 0, seqIdOffset) === 0 &&
      reference.compare(frame, behind, frame.length, behind, reference.length) === 0
    );
  }

  #placesOf(table: number): Map<number, Place> {
    return this.#places[table] as Map<number, Place>;
  }
}

function wrong(what: string): Verdict {
  return { kind: 'bad', category: 'wrong-answer', what };
}

/** The fixed beginning of an answer frame: its errors, seqId and app id. */
export interface AnswerHead {
  readonly headerError: string;
  readonly seqId: number;
  readonly seqIdOffset: number;
  /** '' where there is no result. */
  readonly err: string;
  readonly appId: number;
}

/** Reads it; undefined where the bytes are not laid out so. */
export function readAnswer(frame: Buffer): AnswerHead | undefined {
  try {
    const headerError = stringAt(frame, 4);
    let at = 8 + headerError.length;
    if (frame.readInt32BE(at) !== STRICT_REPLY) return undefined;
    at += 8 + frame.readInt32BE(at + 4);
    const begin = { headerError, seqId: frame.readInt32BE(at), seqIdOffset: at };
    if (headerError !== 'ERR_OK') return { ...begin, err: '', appId: 0 };
    at += 4;
    // field 0 struct, field 1 struct (err, a bare string), field 2 i32 (app id)
    if (!isField(frame, at, STRUCT, 0) || !isField(frame, at + 3, STRUCT, 1)) return undefined;
    const err = stringAt(frame, at + 6);
    at += 10 + err.length;
    if (!isField(frame, at, I32, 2)) return undefined;
    return { ...begin, err, appId: frame.readInt32BE(at + 3) };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function stringAt(frame: Buffer, at: number): string {
  const length = frame.readInt32BE(at);
  if (length < 0 || at + 4 + length > frame.length) throw new RangeError('string');
  return frame.toString('latin1', at + 4, at + 4 + length);
}

function isField(frame: Buffer, at: number, type: number, id: number): boolean {
  return frame.readUInt8(at) === type && frame.readInt16BE(at + 1) === id;
}
