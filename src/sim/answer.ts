import { ResponseHead } from '../wire/response-frame.ts';

/** A whole response frame and where its seqId stands: encoded once, then only copied with another seqId. */
export class Answer {
  readonly frame: Buffer;
  readonly seqIdOffset: number;

  constructor(frame: Buffer) {
    const head = new ResponseHead();
    head.read(frame);
    this.frame = frame;
    this.seqIdOffset = head.seqIdOffset;
  }

  /** Copies the frame to `target` at `at`, with this seqId; returns the end. */
  copyTo(target: Buffer, at: number, seqId: number): number {
    this.frame.copy(target, at);
    target.writeInt32BE(seqId, at + this.seqIdOffset);
    return at + this.frame.length;
  }

  /** A frame of its own, with this seqId. */
  withSeqId(seqId: number): Buffer {
    const frame = Buffer.from(this.frame);
    frame.writeInt32BE(seqId, this.seqIdOffset);
    return frame;
  }
}
