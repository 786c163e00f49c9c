/** Why a frame was refused: a fixed word, fit to be a metric's label. */
export type MalformedReason = 'magic' | 'header' | 'too_long' | 'message' | 'args';

/**
 * A peer's bytes that can't be what they claim to be. A stream can't be resynchronised after one, so it always ends
 * the connection.
 */
export class MalformedFrameError extends Error {
  override readonly name = 'MalformedFrameError';
  readonly reason: MalformedReason;

  constructor(reason: MalformedReason, message: string) {
    super(message);
    this.reason = reason;
  }
}
