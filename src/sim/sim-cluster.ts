import { ReplicaGroup } from './replica-group.ts';
import { type MetaRole, SimMetaServer } from './sim-meta-server.ts';
import type { SimReplica } from './sim-replica.ts';
import { TableCatalog, type TableOptions, type TableStatus } from './table-catalog.ts';

/** Where partitions are said to be in a cluster without replica servers: nothing listens there. */
const NOWHERE = ['127.0.0.1:34801', '127.0.0.1:34802', '127.0.0.1:34803'];

export interface SimClusterOptions {
  readonly name?: string;
  /** MetaServers; 2 unless told. The first one leads. */
  readonly metas?: number;
  readonly tables?: Readonly<Record<string, TableOptions>>;
  /** Replica servers; none unless told. */
  readonly replicas?: number;
  /** A loopback address to listen on; 127.0.0.1 unless told. */
  readonly host?: string;
  /** Ports of the MetaServers, in order; free ones unless told. */
  readonly metaPorts?: readonly number[];
  /** Whether answers carry hp_* fields, as those of servers with FQDN support do. */
  readonly hostPorts?: boolean;
  /** Whether followers name the leader; true unless told. */
  readonly followersKnowLeader?: boolean;
  /** See `SimServerOptions`. */
  readonly recordLimit?: number;
  /** Milliseconds since the epoch, for expiry of data; Date.now unless told. */
  readonly now?: () => number;
}

/** A whole simulated cluster on loopback: MetaServers with one leader, replica servers that share its data. */
export class SimCluster {
  readonly name: string;
  readonly metas: readonly SimMetaServer[];
  readonly catalog: TableCatalog;
  readonly #replicas: ReplicaGroup;
  readonly #options: SimClusterOptions;
  #leader: number | undefined = 0;

  private constructor(
    options: SimClusterOptions,
    catalog: TableCatalog,
    metas: readonly SimMetaServer[],
    replicas: ReplicaGroup,
  ) {
    this.name = options.name ?? 'sim';
    this.#options = options;
    this.catalog = catalog;
    this.metas = metas;
    this.#replicas = replicas;
  }

  /** Starts all servers; resolves once they listen. */
  static async start(options: SimClusterOptions = {}): Promise<SimCluster> {
    const { host = '127.0.0.1', recordLimit, metaPorts = [] } = options;
    const server = { host, ...(recordLimit === undefined ? {} : { recordLimit }) };
    const replicas = await ReplicaGroup.start(options.replicas ?? 0, server, options.now ?? Date.now);
    const addresses = replicas.addresses.length > 0 ? replicas.addresses : NOWHERE;
    const catalog = new TableCatalog(addresses, options.hostPorts ?? false);
    replicas.serve(catalog);
    for (const [name, table] of Object.entries(options.tables ?? {})) catalog.create(name, table);
    const metas = Array.from(
      { length: options.metas ?? 2 },
      (_, index) => new SimMetaServer(catalog, { kind: 'follower' }, { ...server, port: metaPorts[index] ?? 0 }),
    );
    await Promise.all(metas.map((meta) => meta.listen()));
    const cluster = new SimCluster(options, catalog, metas, replicas);
    cluster.changeLeader(0);
    return cluster;
  }

  /** "host:port" of every MetaServer, in order. */
  get metaAddresses(): string[] {
    return this.metas.map((meta) => meta.address);
  }

  get replicas(): readonly SimReplica[] {
    return this.#replicas.servers;
  }

  /** The leader's index; undefined while there is none. */
  get leaderIndex(): number | undefined {
    return this.#leader;
  }

  /** The leading MetaServer. Throws while there is none. */
  get leader(): SimMetaServer {
    const leader = this.#leader === undefined ? undefined : this.metas[this.#leader];
    if (leader === undefined) throw new Error(`cluster ${this.name} has no leader`);
    return leader;
  }

  /** Makes another MetaServer the leader, or none: then all of them forward, and name nobody. */
  changeLeader(index: number | undefined): void {
    if (index !== undefined && this.metas[index] === undefined) throw new RangeError(`no meta ${index}`);
    this.#leader = index;
    const follower = this.#followerRole();
    this.metas.forEach((meta, at) => {
      meta.setRole(at === index ? { kind: 'leader' } : follower);
    });
  }

  createTable(name: string, options: TableOptions): void {
    this.catalog.create(name, options);
  }

  dropTable(name: string): void {
    const table = this.catalog.get(name);
    if (table !== undefined) this.#replicas.forget(table.appId);
    this.catalog.drop(name);
  }

  /** Doubles a table's partitions. */
  splitTable(name: string): void {
    this.catalog.split(name);
  }

  /** Drops the table and makes it anew: no data, another app id. */
  recreate(name: string, options: TableOptions): void {
    this.dropTable(name);
    this.catalog.create(name, options);
  }

  setTableStatus(name: string, status: TableStatus): void {
    this.catalog.setStatus(name, status);
  }

  /**
   * The app env `replica.deny_client_request` of a table, or of all without one: "reconfig*all", "timeout*write", ….
   * undefined takes it away.
   */
  deny(value: string | undefined, table?: string): void {
    this.#replicas.deny(value, table);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.metas.map((meta) => meta.stop()), this.#replicas.stop()]);
  }

  #followerRole(): MetaRole {
    if (this.#leader === undefined || this.#options.followersKnowLeader === false) return { kind: 'follower' };
    const leader = this.leader.address;
    return this.#options.hostPorts === true
      ? { kind: 'follower', leader, leaderHostPort: `localhost:${this.leader.port}` }
      : { kind: 'follower', leader };
  }
}
