import { fstatSync, write, writeSync } from 'node:fs';

/** Lines held back while nobody takes them (a full disk, a reader that sleeps); beyond it lines are dropped. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024;
const MAX_BUSY_ROUNDS = 20;
const BUSY_PAUSE_MS = 10;

/**
 * Where log lines go. A file is written at once; a pipe or terminal in the background, for a reader who doesn't read
 * must not stop the proxy. Trouble never throws and never ends the process: lines wait for the next one that gets
 * through, or are dropped. (pino's own destination waits for ever at a fatal line or at exit when the disk is full.)
 */
export class LogDestination {
  readonly #fd: number;
  readonly #background: boolean;
  readonly #maxWaitingBytes: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #writing = false;
  #gone = false;
  #flushesAtExit = false;

  constructor(fd: number, maxWaitingBytes = MAX_WAITING_BYTES) {
    this.#fd = fd;
    this.#background = !fstatSync(fd).isFile();
    this.#maxWaitingBytes = maxWaitingBytes;
  }

  write(line: string): void {
    if (this.#gone) return;
    if (this.#waitingBytes + line.length > this.#maxWaitingBytes) return;
    const bytes = Buffer.from(line);
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#background) this.#pump();
    else this.flushSync();
    if (!this.#flushesAtExit && (this.#writing || this.#waiting.length > 0)) {
      this.#flushesAtExit = true;
      process.on('exit', () => this.flushSync());
    }
  }

  /** Writes out what waits, as far as that goes without waiting for long. pino calls it after a fatal line. */
  flushSync(): void {
    for (let busy = 0; this.#waiting.length > 0 && busy < MAX_BUSY_ROUNDS; ) {
      const chunk = this.#take();
      try {
        this.#putBack(chunk.subarray(writeSync(this.#fd, chunk)));
      } catch (error) {
        this.#putBack(chunk);
        if (!this.#isBusy(error)) return;
        busy += 1;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BUSY_PAUSE_MS);
      }
    }
  }

  #pump(): void {
    if (this.#writing || this.#waiting.length === 0) return;
    this.#writing = true;
    const chunk = this.#take();
    write(this.#fd, chunk, 0, chunk.length, null, (error, written) => {
      this.#writing = false;
      this.#putBack(error ? chunk : chunk.subarray(written));
      if (!error) this.#pump();
      else if (this.#isBusy(error)) setTimeout(() => this.#pump(), BUSY_PAUSE_MS).unref();
    });
  }

  #take(): Buffer {
    const chunk = Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
    return chunk;
  }

  #putBack(chunk: Buffer): void {
    if (chunk.length === 0 || this.#gone) return;
    this.#waiting.unshift(chunk);
    this.#waitingBytes += chunk.length;
  }

  /** Whether a write may work in a moment. Where the reader has gone for good, there is nothing to keep lines for. */
  #isBusy(error: unknown): boolean {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'EPIPE') {
      this.#gone = true;
      this.#waiting = [];
    }
    return code === 'EAGAIN' || code === 'EBUSY';
  }
}
