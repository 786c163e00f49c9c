import { ReplicaStore } from './replica-store.ts';
import { SimReplica } from './sim-replica.ts';
import type { SimServerOptions } from './sim-server.ts';
import type { TableCatalog } from './table-catalog.ts';

/** The replica servers of one cluster and the data that they share. */
export class ReplicaGroup {
  readonly servers: readonly SimReplica[];
  readonly #store: ReplicaStore;

  private constructor(servers: readonly SimReplica[], store: ReplicaStore) {
    this.servers = servers;
    this.#store = store;
  }

  /** Starts so many servers on free ports. They serve once `serve()` has said which tables there are. */
  static async start(count: number, options: SimServerOptions, now: () => number): Promise<ReplicaGroup> {
    const store = new ReplicaStore(now);
    const servers = Array.from({ length: count }, () => new SimReplica(store, options));
    await Promise.all(servers.map((server) => server.listen()));
    return new ReplicaGroup(servers, store);
  }

  get addresses(): string[] {
    return this.servers.map((server) => server.address);
  }

  serve(catalog: TableCatalog): void {
    this.#store.serve(catalog);
  }

  /** See `ReplicaStore.deny`. */
  deny(value: string | undefined, table: string | undefined): void {
    this.#store.deny(value, table);
  }

  /** Loses a table's data. */
  forget(appId: number): void {
    this.#store.forget(appId);
  }

  async stop(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.stop()));
  }
}
