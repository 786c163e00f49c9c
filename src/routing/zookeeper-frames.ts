/**
 * Cuts a ZooKeeper connection's bytes into frames (i32 length + that many bytes) and hands each on whole, its length
 * included. The library's own cutting copies what it has anew with every chunk of a large frame, recurses once per
 * frame of a packed chunk, believes any length, and loops for good on a negative one.
 */
export class ZookeeperFrames {
  /** The largest length believed, in bytes; may be changed between frames. */
  maxLength: number;
  #chunks: Buffer[] = [];
  #have = 0;
  #need = LENGTH_BYTES;

  constructor(maxLength: number) {
    this.maxLength = maxLength;
  }

  /** Calls `onFrame` for each frame completed by this chunk. Throws on a length that can't be; the stream is lost then. */
  push(chunk: Buffer, onFrame: (frame: Buffer) => void): void {
    this.#chunks.push(chunk);
    this.#have += chunk.length;
    if (this.#have < this.#need) return;
    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#have);
    let offset = 0;
    let need = LENGTH_BYTES;
    while (bytes.length - offset >= LENGTH_BYTES) {
      const length = bytes.readInt32BE(offset);
      if (length < 0 || length > this.maxLength) {
        throw new Error(`a frame of ${length} bytes (at most ${this.maxLength}): is that a ZooKeeper?`);
      }
      need = LENGTH_BYTES + length;
      if (bytes.length - offset < need) break;
      onFrame(bytes.subarray(offset, offset + need));
      offset += need;
      need = LENGTH_BYTES;
    }
    this.#need = need;
    this.#have = bytes.length - offset;
    this.#chunks = this.#have === 0 ? [] : [bytes.subarray(offset)];
  }
}

const LENGTH_BYTES = 4;
