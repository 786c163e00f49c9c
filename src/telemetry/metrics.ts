/** A number that only grows. A plain field, so that counting costs the hot path one addition. */
export class Counter {
  value = 0;
}

/** A number of things that are there now. */
export class Gauge {
  value = 0;
}

/** A gauge that is worked out when it is looked at. */
export class ComputedGauge {
  #compute: () => number = () => 0;

  get value(): number {
    return this.#compute();
  }

  /** Says where the number comes from; 0 until then. */
  from(compute: () => number): void {
    this.#compute = compute;
  }
}

/** Counts by one label. The label's values come from fixed sets in the code, never from a peer. */
export class LabelledCounter {
  readonly values = new Map<string, number>();

  inc(label: string): void {
    this.values.set(label, (this.values.get(label) ?? 0) + 1);
  }

  get(label: string): number {
    return this.values.get(label) ?? 0;
  }
}

/**
 * Every metric of the program, declared once: its name for operators, its label, what it tells. `Metrics` and the
 * documentation are made from this table.
 */
export const METRICS = {
  clientConnections: { name: 'client_connection_count', kind: 'gauge', help: 'Client connections open now.' },
  clientConnectionsRefused: {
    name: 'meta_proxy_client_connections_refused_total',
    kind: 'labelled',
    label: 'limit',
    help: 'Client connections closed on arrival because of a limit, by its configuration key.',
  },
  acceptFailures: {
    name: 'meta_proxy_accept_failures_total',
    kind: 'counter',
    help: 'Client connections that could not be accepted: the process was out of file descriptors.',
  },
  clientConnectionsClosed: {
    name: 'meta_proxy_client_connections_closed_total',
    kind: 'labelled',
    label: 'reason',
    help: 'Client connections closed, by reason.',
  },
  rejectedFrames: {
    name: 'meta_proxy_rejected_frames_total',
    kind: 'labelled',
    label: 'reason',
    help: 'Malformed request frames, each of which closed its connection, by what was wrong.',
  },
  queries: { name: 'meta_proxy_queries_total', kind: 'counter', help: 'query-config requests taken.' },
  relayedAnswers: {
    name: 'meta_proxy_relayed_answers_total',
    kind: 'labelled',
    label: 'kind',
    help: 'Answers of MetaServers passed on to clients: `ok`, or `body-error` for an error that the cluster gave.',
  },
  localAnswers: {
    name: 'meta_proxy_local_answers_total',
    kind: 'labelled',
    label: 'reason',
    help: 'Answers that the proxy gave itself, by reason.',
  },
  failedAttempts: {
    name: 'meta_proxy_failed_attempts_total',
    kind: 'labelled',
    label: 'reason',
    help: 'Queries that a MetaServer did not answer usably, so that another one was asked, by reason.',
  },
  retriesRefused: {
    name: 'meta_proxy_retries_refused_total',
    kind: 'counter',
    help: 'Further attempts not made because the retry budget of the cluster was spent: it has been failing for long.',
  },
  redirects: {
    name: 'meta_proxy_redirects_total',
    kind: 'counter',
    help: 'ERR_FORWARD_TO_OTHERS answers, followed on behalf of the client.',
  },
  leaderChanges: {
    name: 'meta_proxy_leader_changes_total',
    kind: 'counter',
    help: 'Leaders of clusters newly learned.',
  },
  lateAnswers: {
    name: 'meta_proxy_late_answers_total',
    kind: 'counter',
    help: 'Answers of MetaServers to queries that were settled already, or to none that was asked.',
  },
  metaConnections: { name: 'meta_proxy_meta_connections', kind: 'gauge', help: 'Connections to MetaServers open now.' },
  metaConnectionsLost: {
    name: 'meta_proxy_meta_connections_lost_total',
    kind: 'labelled',
    label: 'reason',
    help: 'Connections to MetaServers that ended or could not be made, by reason.',
  },
  registryAvailable: {
    name: 'meta_proxy_registry_available',
    kind: 'gauge',
    help: '1 while routes can be read from the registry, 0 while they are served from the cache alone.',
  },
  registryReads: {
    name: 'meta_proxy_registry_reads_total',
    kind: 'labelled',
    label: 'outcome',
    help: 'Reads of a table from the registry, by outcome.',
  },
  registryEvents: {
    name: 'meta_proxy_registry_events_total',
    kind: 'counter',
    help: 'Watch events: tables that the registry said were created, changed or deleted.',
  },
  routeChanges: {
    name: 'meta_proxy_route_changes_total',
    kind: 'counter',
    help: 'Routes of cached tables that were replaced by another one or went away.',
  },
  unreadableRoutes: {
    name: 'meta_proxy_unreadable_routes_total',
    kind: 'counter',
    help: 'Registry entries whose content is no route. The last good route, if there is one, stays in force.',
  },
  cachedTables: { name: 'meta_proxy_cached_tables', kind: 'gauge', help: 'Tables in the route cache.' },
  staleTables: {
    name: 'meta_proxy_stale_tables',
    kind: 'gauge',
    computed: true,
    help: 'Cached tables that may have been overtaken: the registry is away, or has not been asked again since it was.',
  },
  routeStaleness: {
    name: 'meta_proxy_route_staleness_seconds',
    kind: 'gauge',
    computed: true,
    help: 'Seconds for which the stale table longest in doubt has not been verified; 0 when no table is stale.',
  },
  snapshotAge: {
    name: 'meta_proxy_snapshot_age_seconds',
    kind: 'gauge',
    computed: true,
    help: 'Seconds since the snapshot on disk last held all that was cached; it grows while writing fails. 0 without `snapshot.path`.',
  },
  snapshotFailures: {
    name: 'meta_proxy_snapshot_failures_total',
    kind: 'counter',
    help: 'Snapshots that could not be written or, at the start, not be used.',
  },
} as const satisfies Record<string, MetricDeclaration>;

export interface MetricDeclaration {
  readonly name: string;
  readonly kind: 'counter' | 'gauge' | 'labelled';
  /** A gauge whose number is made when it is read. */
  readonly computed?: boolean;
  readonly label?: string;
  readonly help: string;
}

type MetricOf<D extends MetricDeclaration> = D['kind'] extends 'labelled'
  ? LabelledCounter
  : D['kind'] extends 'gauge'
    ? D extends { readonly computed: true }
      ? ComputedGauge
      : Gauge
    : Counter;

export type Metrics = { readonly [K in keyof typeof METRICS]: MetricOf<(typeof METRICS)[K]> };

/** A fresh set, all zero; one daemon has one. */
export function createMetrics(): Metrics {
  const make = { counter: () => new Counter(), gauge: () => new Gauge(), labelled: () => new LabelledCounter() };
  return Object.fromEntries(
    Object.entries<MetricDeclaration>(METRICS).map(([key, { kind, computed }]) => [
      key,
      computed ? new ComputedGauge() : make[kind](),
    ]),
  ) as unknown as Metrics;
}
