import type { Route } from './route.ts';

/**
 * What a store holds for one table at one moment. `version` grows with every change of that table (ZooKeeper: the
 * znode's mzxid), so old content can be told from new; `problem` says in plain words why the content is no route.
 */
export type StoredRoute =
  | { readonly version: bigint; readonly route: Route; readonly problem?: undefined }
  | { readonly version: bigint; readonly route?: undefined; readonly problem: string };

/** How a store tells that something has to be read again. Calls are made outside of `read`, never from within it. */
export interface RouteStoreListener {
  /** The table was created, changed or deleted: its watch has fired and is gone, `read` arms a new one. */
  onChanged(table: string): void;
  /** The store can be read (again). All watches of before are gone: whatever is cached has to be read again. */
  onAvailable(): void;
  /** The store can't be read for now; `reason` is for the log. */
  onUnavailable(reason: string): void;
}

/** Where routes come from. Asking (`read`) and being told (the listener) are kept apart. */
export interface RouteStore {
  /** One word for the log: `zookeeper`, `file`. */
  readonly kind: string;
  /** False while a `read` would fail at once. */
  readonly available: boolean;
  /** Begins to connect, in the background and for as long as it takes; called once. */
  start(listener: RouteStoreListener): void;
  /**
   * Reads one table and watches it from then on. Resolves to undefined where the store says that there is no such
   * table. Rejects with `StoreUnavailableError`: at once while the store is away, else within its read deadline.
   */
  read(table: string): Promise<StoredRoute | undefined>;
  /** Ends the session and every timer; resolves when that is done, never rejects. */
  close(): Promise<void>;
}

/** The store can't answer now. It says nothing about the table. */
export class StoreUnavailableError extends Error {
  override readonly name = 'StoreUnavailableError';
}
