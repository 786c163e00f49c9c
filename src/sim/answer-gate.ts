import type { Answer } from './answer.ts';
import type { Faults } from './faults.ts';
import type { SimConnection } from './sim-connection.ts';

interface Pending {
  readonly connection: SimConnection;
  readonly answer: Answer;
  readonly seqId: number;
  readonly faults: Faults;
}

/** The faulty way out: where answers are held, turned round, delayed and spoilt before they are sent. */
export class AnswerGate {
  readonly #held: Pending[] = [];
  readonly #turned: Pending[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();

  /** Answers kept by `hold`. */
  get heldCount(): number {
    return this.#held.length;
  }

  /** Lets an answer pass under these faults. */
  pass(connection: SimConnection, answer: Answer, seqId: number, faults: Faults): void {
    const pending = { connection, answer, seqId, faults };
    if (faults.hold === true) this.#held.push(pending);
    else this.#turn(pending);
  }

  /** Sends held answers: `count` of them (all unless told), oldest first unless `reversed`. Returns how many. */
  release(count: number, reversed: boolean): number {
    const batch = this.#held.splice(0, count);
    if (reversed) batch.reverse();
    for (const pending of batch) this.#turn(pending);
    return batch.length;
  }

  /** Forgets all that waits. */
  clear(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#held.length = 0;
    this.#turned.length = 0;
  }

  #turn(pending: Pending): void {
    const { reverse } = pending.faults;
    if (reverse === undefined) {
      this.#delay(pending);
      return;
    }
    this.#turned.push(pending);
    if (this.#turned.length < reverse) return;
    for (const turned of this.#turned.splice(0).reverse()) this.#delay(turned);
  }

  #delay(pending: Pending): void {
    if (pending.faults.delayMs === undefined) {
      send(pending);
      return;
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      send(pending);
    }, pending.faults.delayMs);
    this.#timers.add(timer);
  }
}

function send({ connection, answer, seqId, faults }: Pending): void {
  const { splitAt, cutAfterBytes, cutWith } = faults;
  const frame = faults.rubbish ?? answer.withSeqId((seqId + (faults.seqIdOffset ?? 0)) | 0);
  if (faults.rubbish === undefined && faults.absurdLength !== undefined) frame.writeInt32BE(faults.absurdLength | 0);
  connection.send({
    frame,
    ...(splitAt === undefined ? {} : { splitAt }),
    ...(cutAfterBytes === undefined ? {} : { cutAfterBytes }),
    ...(cutWith === undefined ? {} : { cutWith }),
  });
}
