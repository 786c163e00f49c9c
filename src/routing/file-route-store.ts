import type { Logger } from 'pino';
import { sameRoute } from './route.ts';
import { type RouteStore, type RouteStoreListener, type StoredRoute, StoreUnavailableError } from './route-store.ts';
import { MAX_TABLE_FILE_BYTES, parseTableFile, type TableEntry } from './table-file.ts';
import { WatchedFile } from './watched-file.ts';
import { BadFileError } from './yaml-file.ts';

/** Times are in ms. */
export interface FileRouteStoreTiming {
  /** How long a changed file must rest before it is read. Default 50. */
  readonly settleMs?: number | undefined;
  /** Between looks at the file where no event tells of a change. Default 5,000. */
  readonly pollMs?: number | undefined;
}

const DEFAULT_SETTLE_MS = 50;
const DEFAULT_POLL_MS = 5_000;
const MAX_PROBLEMS_LOGGED = 10;

/**
 * Routes from a YAML file, which is read again whenever it changes. Once it could be read, a file that is missing or
 * rubbish changes nothing: the last good tables stay. A mistake in one table's entry concerns that table alone.
 */
export class FileRouteStore implements RouteStore {
  readonly kind = 'file';
  readonly #path: string;
  readonly #log: Logger;
  readonly #file: WatchedFile;
  #listener: RouteStoreListener | undefined;
  #closed = false;
  #tables: ReadonlyMap<string, StoredRoute> | undefined;
  /** Counts the contents that were taken over; a table's version is the count at its last change. */
  #generation = 0n;
  #content: Uint8Array | undefined;
  /** Why `#content` is no file of tables, if it isn't. */
  #verdict: string | undefined;
  /** Told already, so that each state of the file is told once. */
  #reported: string | undefined;

  /** `path` is that of the YAML file of tables (`parseTableFile`). */
  constructor(path: string, log: Logger, timing: FileRouteStoreTiming = {}) {
    this.#path = path;
    this.#log = log;
    this.#file = new WatchedFile(
      {
        path,
        maxBytes: MAX_TABLE_FILE_BYTES,
        settleMs: timing.settleMs ?? DEFAULT_SETTLE_MS,
        pollMs: timing.pollMs ?? DEFAULT_POLL_MS,
      },
      { onContent: (content) => this.#onContent(content), onFailure: (reason) => this.#report(reason) },
    );
  }

  get available(): boolean {
    return this.#tables !== undefined && !this.#closed;
  }

  start(listener: RouteStoreListener): void {
    this.#listener = listener;
    this.#file.start();
  }

  async read(table: string): Promise<StoredRoute | undefined> {
    if (this.#closed) throw new StoreUnavailableError('the store is closed');
    if (this.#tables === undefined) {
      throw new StoreUnavailableError(`${this.#path}: ${this.#reported ?? 'not read yet'}`);
    }
    return this.#tables.get(table);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#file.close();
  }

  #onContent(content: Uint8Array): void {
    if (this.#content === undefined || Buffer.compare(this.#content, content) !== 0) {
      this.#content = content;
      this.#reported = undefined;
      this.#verdict = this.#takeOver(content);
    }
    if (this.#verdict !== undefined) this.#report(this.#verdict);
    else this.#reported = undefined;
  }

  /** Says why it did not, if it did not. */
  #takeOver(content: Uint8Array): string | undefined {
    let entries: Map<string, TableEntry>;
    try {
      entries = parseTableFile(content);
    } catch (error) {
      if (!(error instanceof BadFileError)) throw error;
      return error.line === undefined ? error.message : `line ${error.line}: ${error.message}`;
    }
    const before = this.#tables;
    this.#generation += 1n;
    const { tables, changed } = merge(before ?? new Map(), entries, this.#generation);
    this.#tables = tables;
    this.#logLoad(entries, changed.length);
    if (before === undefined) this.#listener?.onAvailable();
    else for (const table of changed) this.#listener?.onChanged(table);
    return undefined;
  }

  #logLoad(entries: ReadonlyMap<string, TableEntry>, changed: number): void {
    this.#log.info({ file: this.#path, tables: entries.size, changed }, 'file of tables read');
    const bad = [...entries].filter(([, { problem }]) => problem !== undefined);
    for (const [table, { problem }] of bad.slice(0, MAX_PROBLEMS_LOGGED)) {
      this.#log.error({ file: this.#path, table, reason: problem }, 'no route for this table in the file of tables');
    }
    if (bad.length > MAX_PROBLEMS_LOGGED) {
      this.#log.error({ file: this.#path, tables: bad.length }, 'more tables without a route in the file of tables');
    }
  }

  #report(reason: string): void {
    if (this.#reported === reason || this.#closed) return;
    this.#reported = reason;
    const fields = { file: this.#path, reason };
    if (this.#tables !== undefined) {
      this.#log.error(fields, "the file of tables can't be used, the last good one stays");
      return;
    }
    this.#log.error(fields, "the file of tables can't be used, waiting for it to change");
    this.#listener?.onUnavailable(`${this.#path}: ${reason}`);
  }
}

/** The new tables, each with the version it had if its entry says the same, and the names of those that differ. */
function merge(
  before: ReadonlyMap<string, StoredRoute>,
  entries: ReadonlyMap<string, TableEntry>,
  version: bigint,
): { tables: Map<string, StoredRoute>; changed: string[] } {
  const tables = new Map<string, StoredRoute>();
  const changed = [...before.keys()].filter((table) => !entries.has(table));
  for (const [table, entry] of entries) {
    const old = before.get(table);
    if (old !== undefined && saysTheSame(old, entry)) {
      tables.set(table, old);
    } else {
      tables.set(table, { version, ...entry });
      changed.push(table);
    }
  }
  return { tables, changed };
}

function saysTheSame(old: StoredRoute, entry: TableEntry): boolean {
  return old.route !== undefined && entry.route !== undefined
    ? sameRoute(old.route, entry.route)
    : old.problem === entry.problem;
}
