import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ALL_KEYS } from '../../../src/daemon/config-keys.ts';
import { RawClient } from '../../support/raw-client.ts';
import { waitFor } from '../../support/wait-for.ts';
import { freePort } from '../../support/zookeeper-process.ts';
import { now } from '../clock.ts';
import { CLUSTERS, ROOT, TABLES } from '../layout.ts';
import { LoadProcess } from '../load/load-process.ts';
import { readAnswer } from '../load/oracle.ts';
import type { ChaosOptions } from '../options.ts';
import { StarvationMeter } from '../starvation.ts';
import { ChaosCluster } from './chaos-cluster.ts';
import { EnsembleStore } from './ensemble-store.ts';
import { ProxyProcess } from './proxy-process.ts';
import { RouteBook } from './route-book.ts';
import { SingleStore } from './single-store.ts';
import type { ChaosStore } from './store.ts';

/** Errors of queries sent so long after a cluster's healing are still excused: waits in between have to end. */
const HEALING_MS = 1_500;
/** Those that are measured wanted a processor for this share of the time, and had none: times say nothing then. */
export const STARVED_SHARE = 0.25;
const QUIET_WINDOW_MS = 1_000;
const QUIET_TIMEOUT_MS = 15_000;
const CALM_AGE_MS = 150;
const CALM_TIMEOUT_MS = 20_000;

/** Everything that runs: the proxy between a ZooKeeper and three clusters, and the clients that ask it. */
export class Stage {
  readonly store: SingleStore | EnsembleStore;
  readonly clusters: readonly ChaosCluster[];
  readonly proxy: ProxyProcess;
  readonly load: LoadProcess;
  readonly routes: RouteBook;
  readonly address: string;
  readonly options: ChaosOptions;
  /** What broke by itself outside the proxy. */
  readonly crashes: string[];
  readonly #folder: string;

  private constructor(parts: StageParts) {
    this.store = parts.store;
    this.clusters = parts.clusters;
    this.load = parts.load;
    this.crashes = parts.crashes;
    this.address = parts.address;
    this.options = parts.options;
    this.#folder = parts.folder;
    this.proxy = new ProxyProcess(parts.folder);
    this.routes = new RouteBook(this.load, this.store, this.clusters);
  }

  /** Starts all of it; resolves once every table is served. What is started is handed to `cleanUp` at once. */
  static async start(kind: 'single' | 'ensemble', options: ChaosOptions, cleanUp: CleanUp): Promise<Stage> {
    const folder = await mkdtemp(join(tmpdir(), 'meta-proxy-chaos-'));
    const remove = () => rmSync(folder, { recursive: true, force: true });
    process.once('exit', remove);
    cleanUp.add(async () => remove());
    const crashes: string[] = [];
    const load = new LoadProcess((reason) => crashes.push(reason));
    cleanUp.add(() => load.stop());
    const store = kind === 'single' ? await SingleStore.start() : await EnsembleStore.start();
    cleanUp.add(() => store.stop());
    const clusters: ChaosCluster[] = [];
    for (let index = 0; index < CLUSTERS.length; index++) {
      const cluster = await ChaosCluster.start(index);
      cleanUp.add(() => cluster.stop());
      clusters.push(cluster);
    }
    const address = `127.0.0.1:${await freePort()}`;
    const stage = new Stage({ store, clusters, load, crashes, address, options, folder });
    cleanUp.add(() => stage.routes.close());
    cleanUp.add(() => stage.proxy.stop('SIGKILL'));
    await stage.#begin();
    return stage;
  }

  /** Whether this build can keep its routes on disk. */
  static get hasSnapshots(): boolean {
    return ALL_KEYS.some(({ key }) => key === 'snapshot.path');
  }

  /** Starts the proxy again, with the same configuration; resolves to the ms until it serves. */
  async startProxy(): Promise<number> {
    return await this.proxy.start(this.#config(this.store));
  }

  /** Tells from now on whether those that are measured had a processor when they wanted it. */
  starvation(): StarvationMeter {
    return new StarvationMeter([this.proxy, this.load]);
  }

  /** Waits for a while that the machine has time for us; goes on without, if it must. */
  async quiet(): Promise<void> {
    const endsAt = now() + QUIET_TIMEOUT_MS;
    while (now() < endsAt) {
      const meter = this.starvation();
      await delay(QUIET_WINDOW_MS);
      if (meter.share() < STARVED_SHARE) return;
    }
  }

  /** Until `recovered()`, or for as long as told, queries to this cluster may fail. */
  async sick(cluster: ChaosCluster, forMs = Number.POSITIVE_INFINITY): Promise<void> {
    await this.load.call('excuse', cluster.index, now() + forMs);
  }

  async recovered(cluster: ChaosCluster): Promise<void> {
    await this.load.call('excuse', cluster.index, now() + HEALING_MS);
  }

  /** Resolves once every client is connected and every table is served. */
  async calm(): Promise<void> {
    await waitFor(
      async () => {
        if (!this.proxy.isRunning) throw new Error('the proxy does not run');
        const { worstAgeMs, connected } = await this.load.call('status');
        return worstAgeMs < CALM_AGE_MS && connected === this.options.clients;
      },
      { what: 'every table to be served', timeoutMs: CALM_TIMEOUT_MS },
    );
  }

  /** Undoes whatever a fault has left behind. */
  async restore(): Promise<void> {
    await this.store.restore();
    await Promise.all(this.clusters.map((cluster) => cluster.restore()));
    if (!this.proxy.isRunning) {
      await this.load.call('mayClose', true);
      await this.startProxy();
    }
    await this.calm();
    await this.load.call('mayClose', false);
    await this.routes.restore();
  }

  async #begin(): Promise<void> {
    await this.routes.writeAll();
    await this.startProxy();
    const { clients, rate, seed } = this.options;
    const references = await referencesOf(this.clusters);
    // While its cache is cold the proxy may be slow; nothing counts yet.
    await this.load.call('start', { address: this.address, clients, rate, seed, references });
    await this.calm();
    await this.load.call('end');
  }

  #config({ servers }: ChaosStore): string {
    const snapshot = Stage.hasSnapshots ? `snapshot: { path: ${join(this.#folder, 'routes.snapshot')} }\n` : '';
    // Limits are lowered where waiting for their defaults would take too long.
    return `listen: ${this.address}
admin: { listen: 127.0.0.1:0 }
zookeeper:
  address: [${servers.join(', ')}]
  root: ${ROOT}
  timeout: ${this.options.sessionMs}
client: { max_queued_bytes: 1048576, frame_timeout_ms: 1000 }
${snapshot}`;
  }
}

interface StageParts {
  readonly store: SingleStore | EnsembleStore;
  readonly clusters: readonly ChaosCluster[];
  readonly load: LoadProcess;
  readonly crashes: string[];
  readonly address: string;
  readonly options: ChaosOptions;
  readonly folder: string;
}

/** What has to be undone at the end, last first, whatever happens. */
export class CleanUp {
  readonly #steps: (() => Promise<unknown>)[] = [];

  add(step: () => Promise<unknown>): void {
    this.#steps.push(step);
  }

  /** Does all of it, also where some of it fails. */
  async run(): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) await step().catch(() => {});
  }
}

/** What each cluster itself answers for each table, by app id, with seqId 0. */
async function referencesOf(clusters: readonly ChaosCluster[]): Promise<Map<number, Buffer>> {
  const references = new Map<number, Buffer>();
  for (const cluster of clusters) {
    const client = await RawClient.connect(cluster.leader.address);
    for (const { name } of TABLES) {
      const { frame } = await client.query(name, { seqId: 0, indices: [] });
      references.set(readAnswer(frame)?.appId ?? 0, Buffer.from(frame));
    }
    await client.close();
  }
  return references;
}
