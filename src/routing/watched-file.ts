import { type FSWatcher, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { BadFileError, readSmallFile } from './yaml-file.ts';

export interface WatchedFileOptions {
  readonly path: string;
  readonly maxBytes: number;
  /** How long the file must look the same before it is read: a writer may be in the middle of it. */
  readonly settleMs: number;
  /** Between looks without any event: a network file system tells of no changes, and events can be lost. */
  readonly pollMs: number;
}

/** What the watcher tells: the content whenever it may have changed, or why it can't be had. */
export interface WatchedFileListener {
  onContent(content: Uint8Array): void;
  onFailure(reason: string): void;
}

/** A file changed twice within one tick of the file system's clock looks unchanged; it is read once more after this. */
const CLOCK_TICK_MS = 2_000;

/**
 * Follows the content of one file through every way of changing it: written in place, replaced by a rename, reached by
 * a symlink that is swapped (a Kubernetes ConfigMap), missing for a while. The folder is watched, not the file, because
 * a watch on a file stays with the old file when it is replaced.
 */
export class WatchedFile {
  readonly #options: WatchedFileOptions;
  readonly #listener: WatchedFileListener;
  #watcher: FSWatcher | undefined;
  #watchedFolder = '';
  #pollTimer: NodeJS.Timeout | undefined;
  #settleTimer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #lookAgain = false;
  #closed = false;
  /** How the file looked at the last look, and when it was read; undefined where it has to be read (again). */
  #seen: string | undefined;
  #read: string | undefined;

  constructor(options: WatchedFileOptions, listener: WatchedFileListener) {
    this.#options = options;
    this.#listener = listener;
  }

  /** Reads the file for the first time and follows it from then on. */
  start(): void {
    this.#pollTimer = setInterval(() => this.#look(), this.#options.pollMs);
    this.#pollTimer.unref();
    this.#look(true);
  }

  /** Resolves when nothing more is going to be told. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#pollTimer);
    clearTimeout(this.#settleTimer);
    this.#watcher?.close();
    await this.#looking;
  }

  #look(first = false): void {
    if (this.#closed) return;
    if (this.#looking !== undefined) {
      this.#lookAgain = true;
      return;
    }
    this.#looking = this.#lookOnce(first).finally(() => {
      this.#looking = undefined;
      if (!this.#lookAgain) return;
      this.#lookAgain = false;
      this.#lookSoon();
    });
  }

  #lookSoon(): void {
    if (this.#closed || this.#settleTimer !== undefined) return;
    this.#settleTimer = setTimeout(() => {
      this.#settleTimer = undefined;
      this.#look();
    }, this.#options.settleMs);
    this.#settleTimer.unref();
  }

  async #lookOnce(first: boolean): Promise<void> {
    // the watch comes before the look: what changes after the look is told by the watch
    await this.#watchFolder();
    const before = await this.#appearance();
    if (before === this.#read) return;
    if (before !== this.#seen && !first) {
      this.#seen = before;
      this.#lookSoon();
      return;
    }
    this.#seen = before;
    const result = await this.#readContent();
    const after = await this.#appearance();
    if (this.#closed) return;
    if (after !== before) {
      this.#seen = after;
      this.#lookSoon();
      return;
    }
    this.#read = isFresh(after) ? undefined : after;
    if (typeof result === 'string') this.#listener.onFailure(result);
    else this.#listener.onContent(result);
  }

  async #readContent(): Promise<Uint8Array | string> {
    try {
      return await readSmallFile(this.#options.path, this.#options.maxBytes);
    } catch (error) {
      if (error instanceof BadFileError) return error.message;
      throw error;
    }
  }

  /** All that tells one state of the file from another without reading it; the time of change comes last. */
  async #appearance(): Promise<string> {
    try {
      const stats = await stat(this.#options.path, { bigint: true });
      return `${stats.dev}:${stats.ino}:${stats.size}:${stats.ctimeNs}:${stats.mtimeNs}`;
    } catch (error) {
      return String((error as NodeJS.ErrnoException).code);
    }
  }

  async #watchFolder(): Promise<void> {
    const folder = dirname(this.#options.path);
    const identity = await stat(folder).then(
      ({ dev, ino }) => `${dev}:${ino}`,
      () => '',
    );
    if (this.#closed || (this.#watcher !== undefined && identity === this.#watchedFolder)) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#watchedFolder = identity;
    if (identity === '') return; // not there (yet): the poll looks again
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => {
        if (this.#concerns(name)) this.#lookSoon();
      });
      watcher.on('error', () => {
        watcher.close();
        if (this.#watcher === watcher) this.#watcher = undefined;
      });
      this.#watcher = watcher;
    } catch {
      // no watch to be had (their number is limited): the poll alone follows the file
    }
  }

  /** Other files of the folder may change all the time; `..data` is the symlink that a ConfigMap swaps. */
  #concerns(name: string | null): boolean {
    return name === null || name === basename(this.#options.path) || name.startsWith('..');
  }
}

function isFresh(appearance: string): boolean {
  const changedMs = Number(appearance.split(':')[3]) / 1e6;
  return Math.abs(Date.now() - changedMs) < CLOCK_TICK_MS;
}
