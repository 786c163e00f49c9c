import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { Metrics } from '../telemetry/metrics.ts';
import { DISK, type Disk, removeLeftovers, replaceFile } from './atomic-file.ts';
import {
  decodeSnapshot,
  encodeSnapshot,
  type KnownRoute,
  MAX_SNAPSHOT_BYTES,
  RefusedSnapshotError,
  type RegistryIdentity,
} from './route-snapshot-format.ts';

export interface RouteSnapshotOptions {
  readonly path: string;
  /** Between two looks whether there is something new to write. */
  readonly intervalMs: number;
  readonly registry: RegistryIdentity;
  /** This program's version, for whoever reads the file. */
  readonly program: string;
}

/** Whose routes are kept: the cache. */
export interface SnapshotSource {
  /** Grows with every change of the routes. */
  readonly revision: number;
  /** The last used first. The walk is interrupted again and again. */
  knownRoutes(): Iterable<KnownRoute>;
}

/** Without a change it is still written so often, so that its times and its order of use don't age without end. */
const REFRESH_MS = 10 * 60_000;
/** For reading at the start and writing at the end: a disk that hangs may delay either by so much. */
const DISK_DEADLINE_MS = 5_000;
/** Without O_NONBLOCK the open of a FIFO that nobody writes to would wait for ever. */
const OPEN_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/**
 * The last routes known to be good, in a file: what the program serves when it starts while the registry is away.
 * Nothing about it is ever fatal: a file that is not to be trusted is put aside and the program starts without, and
 * what can't be written is written later.
 */
export class RouteSnapshot {
  readonly #options: RouteSnapshotOptions;
  readonly #source: SnapshotSource;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #disk: Disk;
  #writtenRevision = 0;
  #writtenAt = performance.now();
  /** When the file last held all there was to hold. */
  #completeAt = performance.now();
  #failure: string | undefined;
  #writing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: RouteSnapshotOptions, source: SnapshotSource, metrics: Metrics, log: Logger, disk: Disk = DISK) {
    this.#options = options;
    this.#source = source;
    this.#metrics = metrics;
    this.#log = log;
    this.#disk = disk;
    metrics.snapshotAge.from(() => (performance.now() - this.#completeAt) / 1000);
  }

  /** The routes of the last run, the last used first; none where there is nothing to be used. Never rejects. */
  async load(): Promise<readonly KnownRoute[]> {
    await removeLeftovers(this.#options.path);
    const start = performance.now();
    try {
      const content = await withinDeadline(readSnapshot(this.#options.path));
      if (content === undefined) {
        this.#log.info({ file: this.#options.path }, 'no snapshot of routes yet, starting without');
        return [];
      }
      const { routes, written, program } = decodeSnapshot(content, this.#options.registry);
      const fields = { file: this.#options.path, tables: routes.length, written, program };
      this.#log.info({ ...fields, tookMs: Math.round(performance.now() - start) }, 'snapshot of routes read');
      return routes;
    } catch (error) {
      await this.#refuse(error);
      return [];
    }
  }

  /** Begins to write, whenever something has changed. */
  start(): void {
    this.#writtenRevision = this.#source.revision;
    this.#completeAt = performance.now();
    this.#schedule();
  }

  /** Writes for the last time, as long as the disk takes it within its deadline. Never rejects. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    const last = async () => {
      await this.#writing; // it may have begun before the last change
      await this.#write();
    };
    await withinDeadline(last()).catch((error: Error) => this.#onFailure(error));
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(async () => {
      await this.#look();
      this.#schedule();
    }, this.#options.intervalMs);
  }

  async #look(): Promise<void> {
    const isChanged = this.#source.revision !== this.#writtenRevision;
    const isOld = performance.now() - this.#writtenAt > REFRESH_MS;
    if (isChanged || isOld) await this.#write();
    else this.#completeAt = performance.now();
  }

  async #write(): Promise<void> {
    this.#writing = this.#writeNow();
    await this.#writing;
    this.#writing = undefined;
  }

  async #writeNow(): Promise<void> {
    const { revision } = this.#source;
    if (revision === 0) return; // nothing was ever known: an older file, if there is one, says more
    const { path, program, registry } = this.#options;
    const start = performance.now();
    try {
      await replaceFile(path, encodeSnapshot({ program, registry }, this.#source.knownRoutes()), this.#disk);
    } catch (error) {
      this.#onFailure(error as Error);
      return;
    }
    this.#writtenRevision = revision;
    this.#writtenAt = performance.now();
    this.#completeAt = start;
    const tookMs = Math.round(this.#writtenAt - start);
    if (this.#failure !== undefined) this.#log.info({ file: path, tookMs }, 'snapshot of routes is written again');
    else this.#log.debug({ file: path, tookMs }, 'snapshot of routes written');
    this.#failure = undefined;
  }

  /** Told once for each reason, counted each time. */
  #onFailure(error: NodeJS.ErrnoException): void {
    this.#metrics.snapshotFailures.value++;
    const reason = error.code ?? error.message;
    if (reason === this.#failure) return;
    this.#failure = reason;
    const fields = { file: this.#options.path, reason: error.message };
    this.#log.error(fields, 'snapshot of routes could not be written, going on without and trying again');
  }

  async #refuse(error: unknown): Promise<void> {
    this.#metrics.snapshotFailures.value++;
    const { path } = this.#options;
    const reason = error instanceof Error ? error.message : String(error);
    const fields = { file: path, reason };
    // What is no regular file was not written by us, and is nothing that a snapshot could take the place of.
    if (error instanceof NoRegularFileError || error instanceof DeadlineError) {
      this.#log.error(fields, 'snapshot of routes refused, starting without');
      return;
    }
    const keptAs = `${path}.rejected`;
    try {
      await this.#disk.rename(path, keptAs);
      this.#log.error({ ...fields, keptAs }, 'snapshot of routes refused and put aside, starting without');
    } catch (cause) {
      const problem = cause instanceof Error ? cause.message : String(cause);
      this.#log.error(
        { ...fields, problem },
        'snapshot of routes refused, starting without; it could not be put aside',
      );
    }
  }
}

class NoRegularFileError extends Error {}

class DeadlineError extends Error {}

/** The file's content; undefined where there is no file. Rejects with what is wrong with it, for the log. */
async function readSnapshot(path: string): Promise<Buffer | undefined> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, OPEN_FLAGS);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new NoRegularFileError('it is not a regular file');
    if (stats.size > MAX_SNAPSHOT_BYTES)
      throw new RefusedSnapshotError(`it is larger than ${MAX_SNAPSHOT_BYTES} bytes`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

async function withinDeadline<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_resolve, reject) => {
    const error = new DeadlineError(`the disk has not answered within ${DISK_DEADLINE_MS} ms`);
    timer = setTimeout(() => reject(error), DISK_DEADLINE_MS);
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
