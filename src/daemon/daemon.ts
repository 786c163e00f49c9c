import type { Logger } from 'pino';
import type { Cluster } from '../relay/cluster.ts';
import { ClusterRegistry } from '../relay/cluster-registry.ts';
import { DeadlineWheel } from '../relay/deadline-wheel.ts';
import { resolveHost } from '../relay/host-addresses.ts';
import { MetaChannelPool } from '../relay/meta-channel-pool.ts';
import type { PendingQuery } from '../relay/pending-query.ts';
import { ProxyServer } from '../relay/proxy-server.ts';
import { RequestRelay } from '../relay/request-relay.ts';
import { TurnBatch } from '../relay/turn-batch.ts';
import { FileRouteStore } from '../routing/file-route-store.ts';
import { RouteCache } from '../routing/route-cache.ts';
import { RouteSnapshot } from '../routing/route-snapshot.ts';
import type { RegistryIdentity } from '../routing/route-snapshot-format.ts';
import type { RouteStore } from '../routing/route-store.ts';
import { ZookeeperRouteStore } from '../routing/zookeeper-route-store.ts';
import { createMetrics, type Metrics } from '../telemetry/metrics.ts';
import { formatHostPort, type HostPort } from '../wire/host-port.ts';
import type { Config } from './config.ts';
import { programVersion } from './program-version.ts';

/** The whole program, put together: the one place where its parts are made and handed to each other. */
export class Daemon {
  readonly metrics: Metrics = createMetrics();
  readonly #config: Config;
  readonly #logger: Logger;
  readonly #wheel = new DeadlineWheel();
  readonly #pool: MetaChannelPool;
  readonly #clusters: ClusterRegistry;
  readonly #routes: RouteCache<Cluster, PendingQuery>;
  readonly #snapshot: RouteSnapshot | undefined;
  readonly #server: ProxyServer;
  #address: HostPort | undefined;
  #stopping: Promise<void> | undefined;

  constructor(config: Config, logger: Logger) {
    this.#config = config;
    this.#logger = logger;
    const { metrics } = this;
    const batch = new TurnBatch();
    const { idleLingerMs, hedgeMinMs, attemptTimeoutMs, ...metaOptions } = config.meta;
    const channelOptions = { ...metaOptions, maxDeadlineMs: config.deadline.maxMs };
    this.#pool = new MetaChannelPool(
      { options: channelOptions, batch, resolve: resolveHost, metrics, logger },
      idleLingerMs,
    );
    const relay = new RequestRelay(this.#wheel, config.deadline, metrics, logger);
    this.#clusters = new ClusterRegistry({
      pool: this.#pool,
      wheel: this.#wheel,
      client: relay,
      metrics,
      logger,
      hedgeMinMs,
      attemptTimeoutMs,
    });
    this.#routes = new RouteCache<Cluster, PendingQuery>(
      openStore(config, logger),
      this.#clusters,
      (queries, lookup) => relay.onLoaded(queries, lookup),
      config.cache,
      metrics,
      logger,
    );
    relay.useRoutes(this.#routes);
    this.#snapshot = this.#openSnapshot();
    this.#server = new ProxyServer(
      relay,
      batch,
      { ...config.client, keepAliveMs: config.client.keepaliveMs },
      metrics,
      logger,
    );
  }

  /** Where clients connect, once started: the port is the real one where the configuration says 0. */
  get address(): HostPort | undefined {
    return this.#address;
  }

  /** Whether a table's route is cached. */
  isCached(table: string): boolean {
    return this.#routes.has(table);
  }

  /**
   * Begins to read the registry and to accept clients. Rejects where it can't listen. It does not wait for the
   * registry: until that can be read, the routes of the snapshot are served, and for all else clients are told to ask
   * again.
   */
  async start(): Promise<void> {
    await this.#restore();
    if (this.#stopping !== undefined) return;
    try {
      this.#address = await this.#server.listen(this.#config.listen);
    } catch (error) {
      await this.#routes.close();
      throw error;
    }
    this.#routes.start();
    this.#snapshot?.start();
    this.#logger.info({ listen: formatHostPort(this.#address), ...describeStore(this.#config) }, 'serving');
  }

  /** Stops accepting, answers what is in flight, closes the registry's session. Resolves when nothing is left. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  #openSnapshot(): RouteSnapshot | undefined {
    const { path, intervalMs } = this.#config.snapshot;
    if (path === '') return undefined;
    const options = { path, intervalMs, registry: identifyStore(this.#config), program: programVersion() };
    return new RouteSnapshot(options, this.#routes, this.metrics, this.#logger);
  }

  async #restore(): Promise<void> {
    const known = (await this.#snapshot?.load()) ?? [];
    if (known.length === 0 || this.#stopping !== undefined) return;
    const cached = this.#routes.restore(known);
    const oldestS = Math.round(this.#routes.stalenessMs / 1000);
    this.#logger.info({ cached, oldestS }, 'routes restored, serving them as they are until the registry can be read');
  }

  async #stop(): Promise<void> {
    const connections = this.#server.connections;
    this.#logger.info({ connections, graceMs: this.#config.shutdown.graceMs }, 'stopping, finishing what is in flight');
    await this.#server.close(this.#config.shutdown.graceMs);
    await this.#snapshot?.close(); // while the routes are still there
    await this.#routes.close();
    this.#pool.end();
    this.#wheel.stop();
    this.#logger.info({ queries: this.metrics.queries.value }, 'stopped');
  }
}

function openStore(config: Config, logger: Logger): RouteStore {
  if (config.registry === 'file') return new FileRouteStore(config.file.path, logger);
  const { servers, root, sessionTimeoutMs, auth } = config.zookeeper;
  return new ZookeeperRouteStore(
    {
      servers: servers.join(','),
      root,
      sessionTimeoutMs,
      operationTimeoutMs: config.cache.loadTimeoutMs,
      maxMissingWatches: config.cache.missingCapacity,
      auth: auth.credentials === '' ? undefined : auth,
    },
    logger,
  );
}

function identifyStore({ registry, file, zookeeper }: Config): RegistryIdentity {
  if (registry === 'file') return { kind: registry, places: [file.path], root: '' };
  return { kind: registry, places: zookeeper.servers, root: zookeeper.root };
}

function describeStore(config: Config): Record<string, unknown> {
  if (config.registry === 'file') return { registry: 'file', path: config.file.path };
  const { servers, root } = config.zookeeper;
  return { registry: 'zookeeper', servers, root };
}
