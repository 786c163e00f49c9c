import type { Faults } from '../../../src/sim/faults.ts';
import { freePort } from '../../support/zookeeper-process.ts';
import { appIdOf, CLUSTERS, METAS_PER_CLUSTER, TABLES } from '../layout.ts';
import { MetaProcess } from './meta-process.ts';

/** Faults as sim-main takes them: bytes in hex. */
export type MetaFaults = Omit<Faults, 'rubbish'> & { readonly rubbish?: string };

/** A cluster of MetaServers that are processes; which of them leads is said here, as their ZooKeeper would. */
export class ChaosCluster {
  readonly index: number;
  readonly metas: readonly MetaProcess[];
  /** What a MetaServer does wrong, by its place; the others lead or redirect. */
  readonly #faults = new Map<number, MetaFaults>();
  #leader = 0;

  private constructor(index: number, metas: readonly MetaProcess[]) {
    this.index = index;
    this.metas = metas;
  }

  static async start(index: number): Promise<ChaosCluster> {
    const tables = TABLES.map((table) => `${table.name}:${table.partitions}:${appIdOf(index, table.index)}`).join(',');
    const metas: MetaProcess[] = [];
    for (let i = 0; i < METAS_PER_CLUSTER; i++) {
      metas.push(new MetaProcess(`${CLUSTERS[index]}${i}`, await freePort(), tables));
    }
    const cluster = new ChaosCluster(index, metas);
    try {
      await Promise.all(metas.map((meta) => meta.start()));
      await cluster.elect(0);
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get name(): string {
    return CLUSTERS[this.index] as string;
  }

  get addresses(): string[] {
    return this.metas.map(({ address }) => address);
  }

  get leaderPlace(): number {
    return this.#leader;
  }

  get leader(): MetaProcess {
    return this.metas[this.#leader] as MetaProcess;
  }

  /** The one that leads next in an election. */
  get nextPlace(): number {
    return (this.#leader + 1) % this.metas.length;
  }

  /** Makes one the leader; all that can hear it redirect there. */
  async elect(place: number): Promise<void> {
    this.#leader = place;
    await this.#tellAll();
  }

  /** Makes a MetaServer do something wrong, whatever its role is; `undefined` ends that. */
  async misbehave(place: number, faults: MetaFaults | undefined): Promise<void> {
    if (faults === undefined) this.#faults.delete(place);
    else this.#faults.set(place, faults);
    await this.#tell(place);
  }

  /** Everything runs, listens and does as it should again. */
  async restore(): Promise<void> {
    this.#faults.clear();
    for (const meta of this.metas) meta.thaw();
    await Promise.all(this.metas.map((meta) => meta.start()));
    await this.#tellAll();
  }

  async stop(): Promise<void> {
    await Promise.all(this.metas.map((meta) => meta.kill()));
  }

  async #tellAll(): Promise<void> {
    await Promise.all(this.metas.map((_, place) => this.#tell(place)));
  }

  async #tell(place: number): Promise<void> {
    const role = place === this.#leader ? {} : { redirectTo: this.leader.address };
    await this.metas[place]?.command({ command: 'faults', meta: 0, faults: this.#faults.get(place) ?? role });
  }
}
