import type { ResponseHead } from '../wire/response-frame.ts';
import { Deadline } from './deadline-wheel.ts';

/** The client's side of a query: who asked, and gets the answer. */
export interface Asker {
  /**
   * Passes a whole response on, its seqId already the client's: `frame`, and `rest` behind it where it has come in
   * pieces. Nothing happens if the client has gone.
   */
  send(frame: Buffer, rest: readonly Buffer[]): void;
  /** One query of this client less is in flight. */
  queryDone(): void;
}

/** The address of a MetaServer that was asked, as far as a query needs to know it. */
export interface AskedMeta {
  readonly address: string;
}

/** A whole response; all of it is valid only during the call that hands it over, its buffers excepted. */
export interface Response {
  /** Its beginning, with everything that is ever read of it; all of it, but for a large one. */
  readonly frame: Buffer;
  /** What comes behind `frame`. */
  readonly rest: readonly Buffer[];
  readonly head: ResponseHead;
}

/** Who carries a query through the MetaServers of one cluster, and is told of each attempt's end. */
export interface QueryCarrier {
  onAnswer(query: PendingQuery, meta: AskedMeta, response: Response): void;
  /** The attempt can't bring an answer any more. */
  onAttemptFailed(query: PendingQuery, meta: AskedMeta, reason: string): void;
  /** The time given to the present attempt is over; its answer may still come. */
  onAttemptSlow(query: PendingQuery): void;
}

/**
 * One query-config on its way: the only object that a relayed request costs. It is its own deadline, and waits in the
 * in-flight ring of the MetaConnection that it was sent on.
 */
export class PendingQuery extends Deadline {
  readonly client: Asker;
  /** The client's frame. Its seqId bytes stay the client's; they are replaced in the copy that is sent. */
  readonly frame: Buffer;
  readonly seqId: number;
  readonly seqIdOffset: number;
  readonly table: string;
  /** When it must have been answered, ms on the wheel's clock. */
  readonly answerBy: number;

  /** Answered, by whomever: whatever comes later is late. */
  done = false;
  /** Who carries it now; undefined while its route is looked up. */
  carrier: QueryCarrier | undefined = undefined;
  /** Between two rounds. */
  paused = false;
  /** Rounds through the cluster's MetaServers begun. */
  rounds = 0;
  /** MetaServers asked or found unreachable in this round, a bit for each by its place in the cluster. */
  tried = 0;
  /** Those asked, in this round or before, whose answers may still come: a bit for each, as in `tried`. */
  outstanding = 0;
  /** Attempts made, all rounds together. */
  attempts = 0;
  /** Which MetaServer of the present cluster was asked first, by its place, and when (ms). */
  firstAsked = -1;
  firstAskedAt = 0;
  /** Why the last attempt failed; for the log. */
  lastFailure = '';

  readonly #onDue: (query: PendingQuery) => void;

  constructor(
    client: Asker,
    frame: Buffer,
    seqId: number,
    seqIdOffset: number,
    table: string,
    answerBy: number,
    onDue: (query: PendingQuery) => void,
  ) {
    super();
    this.client = client;
    this.frame = frame;
    this.seqId = seqId;
    this.seqIdOffset = seqIdOffset;
    this.table = table;
    this.answerBy = answerBy;
    this.#onDue = onDue;
  }

  override onDue(): void {
    this.#onDue(this);
  }
}
