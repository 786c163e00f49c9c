/** What the runner tells the load's process, and hears from it. Times are ms of `now()`. */
export interface LoadControl {
  start(setup: LoadSetup): void;
  /** See `Oracle`. */
  allow(table: number, place: number): void;
  revoke(table: number, place: number, at: number): void;
  settle(table: number, place: number, at: number): void;
  /** Errors of queries to this cluster sent until then are nobody's fault but the cluster's. */
  excuse(cluster: number, until: number): void;
  /** Whether the proxy may close connections: it is being restarted. */
  mayClose(allowed: boolean): void;
  /** Begins a window; what happened since the last one is returned. */
  begin(): WindowReport;
  end(): WindowReport;
  status(): LoadStatus;
  movement(table: number, place: number): Movement;
}

export interface LoadSetup {
  readonly address: string;
  readonly clients: number;
  readonly rate: number;
  readonly seed: number;
  /** By app id: the answer's whole frame with seqId 0. */
  readonly references: ReadonlyMap<number, Buffer>;
}

export interface LoadStatus {
  /** The longest time for which some table has had no good answer, ms. */
  readonly worstAgeMs: number;
  readonly connected: number;
}

/** How a table's move is seen by clients. */
export interface Movement {
  /** When the first answer from the new place came, since it was allowed. */
  readonly firstAt: number | undefined;
  /** When the last query was sent that another place answered. */
  readonly othersLastSentAt: number;
}

export type Counts = Readonly<Record<string, number>>;

/** What clients saw in a window. */
export interface WindowReport {
  readonly requests: number;
  readonly good: number;
  /** By kind; errors that are excused are counted apart. */
  readonly errors: Counts;
  readonly excused: Counts;
  /** Wrong answers, closed connections and the like: by category, and the first of them in words. */
  readonly violations: Counts;
  readonly samples: readonly string[];
  /** The first errors that nothing excuses, with their times as the proxy's log has them. */
  readonly errorSamples: readonly string[];
  /** Per cluster: the longest time that one of its tables had no good answer, ms. */
  readonly gapMs: readonly number[];
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** The longest time that the load's own process stood still; it is not counted as a gap. */
  readonly stallMs: number;
}
