/** The clusters, and the app id by which an answer tells where it comes from and what it is about. */

export const CLUSTERS = ['a', 'b', 'c'] as const;
export const METAS_PER_CLUSTER = 3;
export const TABLE_COUNT = 12;
export const ROOT = '/pegasus/chaos';

/** How long an old route may be served after the new one could be known, ms. */
export const ALLOWANCE_MS = 2_000;
export const CLIENT_TIMEOUT_MS = 1_000;

const IDS_PER_CLUSTER = 1000;
const PARTITIONS = 8;
/** One table has large answers, of some 20 KB, so that they are split over chunks and fill queues. */
const LARGE_TABLE = TABLE_COUNT - 1;
const LARGE_PARTITIONS = 256;

export interface ChaosTable {
  readonly index: number;
  readonly name: string;
  /** The cluster that it belongs to unless a fault moves it. */
  readonly home: number;
  readonly partitions: number;
}

export const TABLES: readonly ChaosTable[] = Array.from({ length: TABLE_COUNT }, (_, index) => ({
  index,
  name: `table_${index}`,
  home: index % CLUSTERS.length,
  partitions: index === LARGE_TABLE ? LARGE_PARTITIONS : PARTITIONS,
}));

export const LARGE_TABLE_NAME = (TABLES[LARGE_TABLE] as ChaosTable).name;

/** The tables that faults of ZooKeeper move, and those that faults of routes do: no two faults move the same one. */
export const MOVED_BY_ZOOKEEPER = TABLES.slice(0, 3);
export const MOVED_BY_ROUTES = TABLES.slice(3, 6);

export function appIdOf(cluster: number, table: number): number {
  return (cluster + 1) * IDS_PER_CLUSTER + table;
}

/** The cluster and the table of an app id; either may be one that there is not. */
export function readAppId(appId: number): { cluster: number; table: number } {
  return { cluster: Math.floor(appId / IDS_PER_CLUSTER) - 1, table: appId % IDS_PER_CLUSTER };
}
