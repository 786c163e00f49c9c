import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../../fuzz/random.ts';
import { HostilePeers } from '../hostile-peers.ts';
import { ALLOWANCE_MS, type ChaosTable } from '../layout.ts';
import type { ChaosCluster } from '../stage/chaos-cluster.ts';
import { EnsembleStore } from '../stage/ensemble-store.ts';
import { SingleStore } from '../stage/single-store.ts';
import type { Stage } from '../stage/stage.ts';

/** What a fault breaks. Faults of different lanes may go on at the same time. */
export type Lane = 'zookeeper' | 'ensemble' | 'meta' | 'client' | 'route' | 'proxy';

export interface Fault {
  readonly name: string;
  readonly lane: Lane;
  /** The longest that a table of the hurt cluster may be without a good answer, ms; not said where the cluster is dead. */
  readonly gapMs?: number;
  /** Whether clients have to go without: the proxy itself is away. */
  readonly isOutage?: boolean;
  /** Why it can't be shown with this build; undefined where it can. */
  readonly skipped?: string | undefined;
  /** Breaks it, and keeps it so for its time: what is measured. */
  run(context: FaultContext): Promise<void>;
  /** Mends what `run` has left broken. Not measured: a server that starts takes the processor away from all others. */
  mend?(context: FaultContext): Promise<void>;
}

/** Something that took its time, and how long it may. */
export interface Measured {
  readonly what: string;
  readonly ms: number;
  readonly boundMs: number;
}

const LONG_FACTOR = 3;

/** What a fault has at hand. */
export class FaultContext {
  readonly stage: Stage;
  readonly random: Random;
  /** The cluster to hurt. */
  readonly cluster: ChaosCluster;
  readonly peers: HostilePeers;
  readonly measured: Measured[] = [];

  constructor(stage: Stage, random: Random, cluster: ChaosCluster) {
    this.stage = stage;
    this.random = random;
    this.cluster = cluster;
    this.peers = new HostilePeers(stage.address, random);
  }

  get sessionMs(): number {
    return this.stage.options.sessionMs;
  }

  get single(): SingleStore {
    if (this.stage.store instanceof SingleStore) return this.stage.store;
    throw new Error('this fault needs the single ZooKeeper');
  }

  get ensemble(): EnsembleStore {
    if (this.stage.store instanceof EnsembleStore) return this.stage.store;
    throw new Error('this fault needs the ensemble');
  }

  /** How long a fault lasts, or how often it is done: more in the long form. */
  scaled(short: number): number {
    return this.stage.options.isLong ? LONG_FACTOR * short : short;
  }

  /** Keeps things as they are, under load: the time in which the fault is measured. */
  async hold(ms: number): Promise<void> {
    await delay(ms);
  }

  /** Moves one of these tables to another cluster. */
  async moveOne(tables: readonly ChaosTable[]): Promise<ChaosTable> {
    const table = this.random.pick(tables);
    await this.stage.routes.move(table, this.otherPlace(table));
    return table;
  }

  /** Any cluster but the one where the table is. */
  otherPlace(table: ChaosTable): number {
    const others = this.stage.clusters.filter(({ index }) => index !== this.stage.routes.placeOf(table));
    return this.random.pick(others).index;
  }

  /** Waits until clients see the table's new place, and notes the time it took. */
  async converged(table: ChaosTable): Promise<void> {
    this.took(`${table.name} to follow`, await this.stage.routes.converged(table), ALLOWANCE_MS);
  }

  took(what: string, ms: number, boundMs: number): void {
    this.measured.push({ what, ms, boundMs });
  }
}
