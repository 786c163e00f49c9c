import type { Socket } from 'node:net';
import type { Answer } from './answer.ts';

/** Answers are gathered in slabs of this size; a larger one goes out alone. */
const SLAB_BYTES = 64 * 1024;

/** Something to be sent that takes more than one turn: the connection's later answers wait behind it. */
export interface SlowSend {
  readonly frame: Buffer;
  readonly splitAt?: readonly number[];
  readonly cutAfterBytes?: number;
  readonly cutWith?: 'reset' | 'end';
}

/** Where a server's connections put their batches, one behind the other: one for all, so that thousands cost little. */
export class AnswerSlab {
  bytes: Buffer = Buffer.allocUnsafe(SLAB_BYTES);
  /** Where the batch begins that is not written yet, and where it ends. */
  start = 0;
  end = 0;
  /** Whose batch that is. */
  owner: SimConnection | undefined;

  /** Begins anew: what has been handed out belongs to the sockets until they have written it. */
  renew(): void {
    this.bytes = Buffer.allocUnsafe(SLAB_BYTES);
    this.start = 0;
    this.end = 0;
  }
}

/**
 * The sending side of one accepted socket. Answers are copied, with their seqIds, one behind the other into a slab,
 * and leave in one write at `flush()`; nothing is awaited, and a slow reader's answers pile up in its socket's queue.
 */
export class SimConnection {
  readonly socket: Socket;
  readonly #slab: AnswerSlab;
  /** Waits in the order of sending; defined only while a slow send is under way. */
  #backlog: SlowSend[] | undefined;

  constructor(socket: Socket, slab: AnswerSlab) {
    this.socket = socket;
    this.#slab = slab;
  }

  /** Takes an answer into the batch. */
  add(answer: Answer, seqId: number): void {
    const { length } = answer.frame;
    if (this.#backlog !== undefined || length > SLAB_BYTES / 2) {
      this.send({ frame: answer.withSeqId(seqId) });
      return;
    }
    const slab = this.#slab;
    if (slab.owner !== this) {
      slab.owner?.flush();
      slab.owner = this;
    }
    if (slab.end + length > slab.bytes.length) {
      this.flush();
      slab.renew();
      slab.owner = this;
    }
    slab.end = answer.copyTo(slab.bytes, slab.end, seqId);
  }

  /** Writes the batch, if there is one. */
  flush(): void {
    const slab = this.#slab;
    if (slab.owner !== this) return;
    slab.owner = undefined;
    if (slab.start === slab.end) return;
    const bytes = slab.bytes.subarray(slab.start, slab.end);
    slab.start = slab.end;
    if (this.socket.writable) this.socket.write(bytes);
  }

  /** Sends one frame, in pieces where asked to, after all that was to be sent before it. */
  send(item: SlowSend): void {
    this.flush();
    if (this.#backlog !== undefined) this.#backlog.push(item);
    else this.#begin(item);
  }

  /** RST instead of FIN, whatever is still to be written. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  #begin(item: SlowSend): void {
    if (!this.socket.writable) return;
    const isSlow = item.splitAt !== undefined || item.cutAfterBytes !== undefined;
    if (!isSlow) {
      this.socket.write(item.frame);
      return;
    }
    this.#backlog ??= [];
    const bytes = item.cutAfterBytes === undefined ? item.frame : item.frame.subarray(0, item.cutAfterBytes);
    this.#writePieces(pieces(bytes, item.splitAt ?? []), item);
  }

  #writePieces(rest: Buffer[], item: SlowSend): void {
    const piece = rest.shift();
    if (piece === undefined) {
      this.#finish(item);
      return;
    }
    // Two turns later, for one may end without a look at the sockets: a peer in this very process has had the time to
    // read this piece alone. Any other may still find it together with the next, or with the reset.
    this.socket.write(piece, () => setImmediate(() => setImmediate(() => this.#writePieces(rest, item))));
  }

  #finish(item: SlowSend): void {
    if (item.cutAfterBytes !== undefined) {
      if (item.cutWith === 'end') this.socket.destroySoon();
      else this.reset();
      return;
    }
    const waiting = this.#backlog ?? [];
    this.#backlog = undefined;
    for (const next of waiting) this.send(next);
  }
}

function pieces(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const cut: Buffer[] = [];
  let at = 0;
  for (const size of sizes) {
    if (at < bytes.length) cut.push(bytes.subarray(at, at + size));
    at += size;
  }
  if (at < bytes.length) cut.push(bytes.subarray(at));
  return cut;
}
