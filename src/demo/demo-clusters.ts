import { SimCluster } from '../sim/sim-cluster.ts';
import type { SimMetaServer } from '../sim/sim-meta-server.ts';
import type { TableOptions } from '../sim/table-catalog.ts';
import { DemoClient, type TableAnswer } from './demo-client.ts';
import { DemoFailure } from './demo-failure.ts';

export type ClusterName = 'east' | 'west';

export const CLUSTER_NAMES: readonly ClusterName[] = ['east', 'west'];

/** Which cluster each table begins on. `orders` is on both, as it is during a migration: the data was copied over. */
export const FIRST_PLACES = { user_profile: 'east', orders: 'east', clickstream: 'west' } as const;

const TABLES: Readonly<Record<ClusterName, Readonly<Record<string, TableOptions>>>> = {
  east: { user_profile: { appId: 2, partitions: 8 }, orders: { appId: 3, partitions: 4 } },
  west: { clickstream: { appId: 7, partitions: 16 }, orders: { appId: 9, partitions: 8 } },
};

/** Neither cluster's first MetaServer leads, so whoever asks in the order of the list meets a redirect. */
const LEADER = 1;
const DATA_KEY = 'written-on';

/** The two simulated clusters, in this process; what travels over their sockets is Pegasus' own protocol. */
export class DemoClusters {
  readonly #clusters: Readonly<Record<ClusterName, SimCluster>>;
  #redirects = 0;

  private constructor(clusters: Readonly<Record<ClusterName, SimCluster>>) {
    this.#clusters = clusters;
    for (const meta of this.#metas()) {
      meta.onRequest = () => {
        if (meta.role.kind === 'follower') this.#redirects++;
      };
    }
  }

  /** Starts both and stores one value in each table, the name of its cluster. */
  static async start(): Promise<DemoClusters> {
    const start = (name: ClusterName) =>
      SimCluster.start({ name, metas: 2, replicas: 2, tables: TABLES[name], recordLimit: 0 });
    const clusters = new DemoClusters({ east: await start('east'), west: await start('west') });
    for (const name of CLUSTER_NAMES) {
      const cluster = clusters.get(name);
      cluster.changeLeader(LEADER);
      for (const { appId } of cluster.catalog.tables) {
        const primary = cluster.catalog.primaryOf(0) ?? '';
        await DemoClient.once(primary, (client) => client.put(appId, DATA_KEY, name));
      }
    }
    return clusters;
  }

  get(name: ClusterName): SimCluster {
    return this.#clusters[name];
  }

  metaAddresses(name: ClusterName): string[] {
    return this.get(name).metaAddresses;
  }

  /** Queries that a follower has answered with a redirect. */
  get redirects(): number {
    return this.#redirects;
  }

  /** Whose replica servers an answer names; undefined where it names none, or those of both. */
  clusterOf({ primaries }: TableAnswer): ClusterName | undefined {
    return CLUSTER_NAMES.find((name) => {
      const servers = this.get(name).replicas.map((replica) => replica.address);
      return primaries.length > 0 && primaries.every((primary) => servers.includes(primary));
    });
  }

  /** Reads the value that `start` stored, from the replica server that the answer names. */
  async readValue({ table, appId, primaries }: TableAnswer): Promise<string> {
    const [primary = ''] = primaries;
    const value = await DemoClient.once(primary, (client) => client.get(appId, DATA_KEY));
    if (value === undefined) throw new DemoFailure(`${primary} has no value in ${table}`);
    return value;
  }

  async stop(): Promise<void> {
    await Promise.all(CLUSTER_NAMES.map((name) => this.get(name).stop()));
  }

  #metas(): SimMetaServer[] {
    return CLUSTER_NAMES.flatMap((name) => this.get(name).metas);
  }
}
