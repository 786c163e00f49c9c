import type { Logger } from 'pino';
import { isTableName } from '../wire/table-name.ts';
import { BadRouteError, decodeRoute } from './route.ts';
import { type RouteStore, type RouteStoreListener, type StoredRoute, StoreUnavailableError } from './route-store.ts';
import type { Znode } from './zookeeper-client.ts';
import { ZookeeperSession, type ZookeeperSessionOptions } from './zookeeper-session.ts';

export interface ZookeeperRouteStoreOptions extends Omit<ZookeeperSessionOptions, 'probePath'> {
  /** The znode whose children are the tables: absolute, any depth. */
  readonly root: string;
  /** Tables that don't exist and are watched for their creation, per session: clients choose these names. Default 1024. */
  readonly maxMissingWatches?: number | undefined;
}

/** Counted since the start, for the metrics. */
export interface ZookeeperRouteStoreStats {
  /** Times ZooKeeper was asked for a table's content. */
  reads: number;
  /** Watches that fired for a table. */
  watchEvents: number;
}

/** A route takes some hundred bytes; beyond this it is something else, and not worth parsing. */
const MAX_CONTENT_BYTES = 64 * 1024;
const DEFAULT_MAX_MISSING_WATCHES = 1024;
/** Reads of a table that comes and goes meanwhile. */
const MAX_ROUNDS = 3;
const ERA_SHIFT = 64n;
const ROOT_RETRY_MS = 1000;

/**
 * Routes from ZooKeeper, one znode `<root>/<table>` per table. Node and watch are taken in one operation, so no change
 * falls in between; a table that doesn't exist is watched for its creation.
 *
 * A ZooKeeper without the root says nothing about any table: it is the wrong one, or has been wiped. That counts as a
 * store that can't be read, until the root is there, and never as the deletion of every table.
 */
export class ZookeeperRouteStore implements RouteStore {
  readonly kind = 'zookeeper';
  readonly stats: ZookeeperRouteStoreStats = { reads: 0, watchEvents: 0 };
  readonly #session: ZookeeperSession;
  readonly #log: Logger;
  readonly #root: string;
  readonly #prefix: string;
  readonly #maxMissingWatches: number;
  readonly #readTimeoutMs: number;
  /** Paths whose creation this session is going to tell. */
  readonly #missingWatches = new Set<string>();
  #arming = 0;
  /** Counts sessions lost: what was learnt before a loss says nothing about the watches after it. */
  #losses = 0;
  #rootFound = false;
  #listener: RouteStoreListener | undefined;

  /** Throws where `root` or `servers` is malformed. */
  constructor(options: ZookeeperRouteStoreOptions, log: Logger) {
    const root = normaliseRoot(options.root);
    this.#log = log;
    this.#root = root;
    this.#prefix = root === '/' ? '/' : `${root}/`;
    this.#maxMissingWatches = options.maxMissingWatches ?? DEFAULT_MAX_MISSING_WATCHES;
    this.#readTimeoutMs = options.operationTimeoutMs;
    this.#session = new ZookeeperSession({ ...options, probePath: root }, log, {
      onLive: (rootFound) => this.#onLive(rootFound),
      onLost: (reason) => this.#onLost(reason),
      onEvent: (_event, path) => this.#onEvent(path),
    });
  }

  get available(): boolean {
    return this.#session.live && this.#rootFound;
  }

  /** The session behind it, for status and tests. */
  get session(): ZookeeperSession {
    return this.#session;
  }

  /** Tables watched for their creation now. */
  get missingWatches(): number {
    return this.#missingWatches.size;
  }

  start(listener: RouteStoreListener): void {
    this.#listener = listener;
    this.#session.start();
  }

  async read(table: string): Promise<StoredRoute | undefined> {
    if (!isTableName(table)) throw new TypeError('not a table name'); // it would become part of a path
    const path = this.#prefix + table;
    const deadline = performance.now() + this.#readTimeoutMs;
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      this.stats.reads += 1;
      const node = await this.#session.getData(path, true, left(deadline));
      if (node !== undefined) return this.#decode(node);
      await this.#checkRoot(deadline);
      if (!(await this.#createdMeanwhile(path, deadline))) return undefined;
    }
    throw new StoreUnavailableError('the table was created and deleted again and again while it was read');
  }

  close(): Promise<void> {
    return this.#session.close();
  }

  #onLive(rootFound: boolean): void {
    this.#rootFound = rootFound;
    if (rootFound) this.#listener?.onAvailable();
    else this.#awaitRoot();
  }

  #onLost(reason: string): void {
    this.#losses += 1;
    this.#missingWatches.clear();
    this.#rootFound = false;
    this.#listener?.onUnavailable(reason);
  }

  /** Throws `StoreUnavailableError` where a missing table means nothing, because the root is missing. */
  async #checkRoot(deadline: number): Promise<void> {
    if (await this.#session.exists(this.#root, false, left(deadline))) return;
    if (this.#rootFound) {
      this.#rootFound = false;
      this.#awaitRoot();
    }
    throw new StoreUnavailableError(`the root znode ${this.#root} does not exist`);
  }

  #awaitRoot(): void {
    this.#log.error({ path: this.#root }, 'the root znode does not exist in ZooKeeper, waiting for it');
    this.#listener?.onUnavailable(`the root znode ${this.#root} does not exist`);
    void this.#lookForRoot();
  }

  async #lookForRoot(): Promise<void> {
    const losses = this.#losses;
    try {
      // Where it doesn't exist, its creation is an event, upon which it is looked for again.
      const found = await this.#session.exists(this.#root, true);
      if (found && losses === this.#losses && !this.#rootFound) this.#onLive(true);
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      // Either the session is lost, and the next one begins anew, or it was only slow to answer.
      if (losses === this.#losses && this.#session.live)
        setTimeout(() => void this.#lookForRoot(), ROOT_RETRY_MS).unref();
    }
  }

  /** Arms a watch for the node's creation, within the bound; true where it exists by now, and has to be read. */
  async #createdMeanwhile(path: string, deadline: number): Promise<boolean> {
    if (this.#missingWatches.has(path)) return false;
    if (this.#missingWatches.size + this.#arming >= this.#maxMissingWatches) return false;
    const losses = this.#losses;
    this.#arming += 1;
    try {
      const exists = await this.#session.exists(path, true, left(deadline));
      if (!exists && losses === this.#losses) this.#missingWatches.add(path);
      return exists;
    } finally {
      this.#arming -= 1;
    }
  }

  #decode(node: Znode): StoredRoute {
    const version = (this.#session.era << ERA_SHIFT) | node.mzxid;
    if (node.content.length > MAX_CONTENT_BYTES) {
      return { version, problem: `the content has ${node.content.length} bytes, more than ${MAX_CONTENT_BYTES}` };
    }
    try {
      return { version, route: decodeRoute(node.content) };
    } catch (error) {
      if (error instanceof BadRouteError) return { version, problem: error.message };
      throw error;
    }
  }

  #onEvent(path: string): void {
    this.#missingWatches.delete(path);
    if (path === this.#root && !this.#rootFound) void this.#lookForRoot();
    if (!path.startsWith(this.#prefix)) return;
    const table = path.slice(this.#prefix.length);
    if (!isTableName(table)) return;
    this.stats.watchEvents += 1;
    this.#listener?.onChanged(table);
  }
}

/** What is left until then, in ms: 1 at least, for a timer. */
function left(deadline: number): number {
  return Math.max(1, Math.round(deadline - performance.now()));
}

/** Without the slash at its end; throws where it isn't an absolute path. */
function normaliseRoot(root: string): string {
  const path = root.replace(/\/+$/, '');
  const isAbsolute = root.startsWith('/') && path.split('/').slice(1).every(isSegment);
  if (!isAbsolute) throw new Error(`not an absolute znode path: ${JSON.stringify(root)}`);
  return path === '' ? '/' : path;
}

function isSegment(part: string): boolean {
  return part !== '' && part !== '.' && part !== '..' && !part.includes('\0');
}
