import { isDeepStrictEqual } from 'node:util';

/** Something that must never happen has happened; the runner adds with which input. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/** Throws a `Violation` unless `condition` holds. */
export function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Violation(what);
}

/** Throws a `Violation` that shows both, unless they are the same. */
export function mustEqual(actual: unknown, expected: unknown, what: string): void {
  if (actual === expected || isDeepStrictEqual(actual, expected)) return;
  throw new Violation(`${what}: ${show(actual)}, expected ${show(expected)}`);
}

function show(value: unknown): string {
  const text = JSON.stringify(value, (_key, one: unknown) => (typeof one === 'bigint' ? `${one}n` : one));
  return (text ?? String(value)).slice(0, 600);
}

/** What one input came to: `accepted`, `incomplete`, or the reason why it was refused. */
export type Outcome = string;

/** One input, ready to be decoded as often as one likes. */
export interface Case {
  /** Decodes it and holds the result against every oracle; throws where one is violated. */
  check(): Outcome;
  /** The input itself, for a failure's message. */
  readonly input: Buffer;
}
