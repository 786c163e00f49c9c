import { expect } from 'vitest';
import { SimCluster, type SimClusterOptions } from '../../src/sim/sim-cluster.ts';
import type { TableOptions } from '../../src/sim/table-catalog.ts';
import { DaemonProcess } from '../support/daemon-process.ts';
import { waitFor } from '../support/wait-for.ts';
import { freePort, startZooKeeper, ZooKeeperAdmin, type ZooKeeperProcess } from '../support/zookeeper-server.ts';
import { Probe, type ProbeReply } from './clients.ts';

const ROOT = '/pegasus/compat';
const OPERATION_TIMEOUT_MS = 2_000;
const LOG_TAIL = 1_500;
const REGISTRY_THERE = 'registry can be read';
const REGISTRY_AWAY = 'registry can not be read';

/** A real ZooKeeper and the built program on it, at an address that outlives a restart. */
export class Site {
  readonly zookeeper: ZooKeeperProcess;
  readonly port: number;
  readonly #admin: ZooKeeperAdmin;
  #daemon: DaemonProcess | undefined;
  #daemonsStarted = 0;

  private constructor(zookeeper: ZooKeeperProcess, port: number) {
    this.zookeeper = zookeeper;
    this.port = port;
    this.#admin = new ZooKeeperAdmin(zookeeper.address);
  }

  static async start(): Promise<Site> {
    const site = new Site(await startZooKeeper(), await freePort());
    try {
      await site.#admin.put(ROOT, '');
      await site.startDaemon();
    } catch (error) {
      await site.stop();
      throw error;
    }
    return site;
  }

  /** How many processes of the program there have been: each has connections of its own to the MetaServers. */
  get daemonsStarted(): number {
    return this.#daemonsStarted;
  }

  async startDaemon(): Promise<void> {
    this.#daemonsStarted++;
    this.#daemon = await DaemonProcess.start({
      config: [
        `listen: 127.0.0.1:${this.port}`,
        'admin: { listen: 127.0.0.1:0 }',
        `zookeeper: { address: [${this.zookeeper.address}], root: ${ROOT}, timeout: 1000 }`,
      ].join('\n'),
    });
    await this.#daemon.address();
    await this.#daemon.logged(REGISTRY_THERE);
  }

  /** Ends the program in good order, as an upgrade does. */
  async stopDaemon(): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = undefined;
    if (daemon !== undefined) expect(await daemon.stop(), daemon.stderr).toBe(0);
  }

  /** Kills ZooKeeper; resolves once the program has noticed. */
  async killZooKeeper(): Promise<void> {
    const before = await this.#logLines(REGISTRY_AWAY);
    await this.zookeeper.kill();
    await waitFor(async () => (await this.#logLines(REGISTRY_AWAY)) > before, { what: 'the loss to be noticed' });
  }

  /** Resolves once the program reads from it again. */
  async restartZooKeeper(): Promise<void> {
    const before = await this.#logLines(REGISTRY_THERE);
    await this.zookeeper.restart();
    await waitFor(async () => (await this.#logLines(REGISTRY_THERE)) > before, { what: 'ZooKeeper to be read again' });
  }

  /** Says in ZooKeeper to which cluster a table belongs. */
  async route(table: string, { name, metaAddresses }: SimCluster): Promise<void> {
    const content = { cluster_name: name, meta_addrs: metaAddresses.join(',') };
    await this.#admin.put(`${ROOT}/${table}`, JSON.stringify(content));
  }

  async #logLines(msg: string): Promise<number> {
    const log = (await this.#daemon?.log()) ?? [];
    return log.filter((line) => line.msg.startsWith(msg)).length;
  }

  async stop(): Promise<void> {
    await this.stopDaemon().finally(async () => {
      await this.#admin.close();
      await this.zookeeper.stop();
    });
  }
}

/** What one scenario works with: clusters and client processes of its own, ended with it, on a site it may share. */
export class Stage {
  readonly site: Site;
  readonly #command: readonly string[];
  /** In front of the names of this scenario's tables and clusters: others on the same site have theirs. */
  readonly #prefix: string;
  readonly #daemonsBefore: number;
  readonly #clusters: SimCluster[] = [];
  readonly #probes: Probe[] = [];
  /** Connections to a MetaServer that clients were told to make, by the MetaServer's address. */
  readonly #direct = new Map<string, number>();

  constructor(site: Site, command: readonly string[], prefix: string) {
    this.site = site;
    this.#command = command;
    this.#prefix = prefix;
    this.#daemonsBefore = site.daemonsStarted - 1;
  }

  /** The name of one of this scenario's tables. */
  table(name: string): string {
    return `${this.#prefix}.${name}`;
  }

  /** Starts a cluster whose leader is not the first of its MetaServers. */
  async cluster(name: string, tables: Readonly<Record<string, TableOptions>>): Promise<SimCluster> {
    const options: SimClusterOptions = { name: this.table(name), metas: 2, replicas: 3 };
    const named = Object.entries(tables).map(([table, settings]) => [this.table(table), settings] as const);
    const cluster = await SimCluster.start({ ...options, tables: Object.fromEntries(named) });
    this.#clusters.push(cluster);
    cluster.changeLeader(1);
    return cluster;
  }

  async route(table: string, cluster: SimCluster): Promise<void> {
    await this.site.route(this.table(table), cluster);
  }

  /** A client that knows the proxy's address and nothing else. */
  async client(host = '127.0.0.1'): Promise<Client> {
    return await this.#start([`${host}:${this.site.port}`]);
  }

  /** A client that goes to a cluster's own MetaServers, as one from before the days of the proxy. */
  async directClient(cluster: SimCluster): Promise<Client> {
    const before = cluster.metas.map((meta) => meta.connectionsAccepted);
    const client = await this.#start(cluster.metaAddresses);
    client.onClose = () => {
      cluster.metas.forEach(({ address, connectionsAccepted }, index) => {
        const made = connectionsAccepted - (before[index] ?? 0);
        this.#direct.set(address, (this.#direct.get(address) ?? 0) + made);
      });
    };
    return client;
  }

  /**
   * That no client has found its way past the proxy: each MetaServer was connected to once by each proxy process at
   * most, which shares that connection among all clients. A redirect that leaks shows as one more.
   */
  expectOnlyTheProxyAtMetas(): void {
    const proxies = this.site.daemonsStarted - this.#daemonsBefore;
    for (const { metas } of this.#clusters) {
      for (const { address, connectionsAccepted } of metas) {
        const others = connectionsAccepted - (this.#direct.get(address) ?? 0);
        expect(others, `connections to the MetaServer ${address}`).toBeLessThanOrEqual(proxies);
      }
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#probes.map((probe) => probe.close()));
    await Promise.all(this.#clusters.map((cluster) => cluster.stop()));
  }

  async #start(metas: readonly string[]): Promise<Client> {
    const probe = await Probe.start(this.#command, { metas, timeoutMs: OPERATION_TIMEOUT_MS });
    this.#probes.push(probe);
    return new Client(probe, (name) => this.table(name));
  }
}

/** One client object in a process of its own. Its operations take the short names of the stage's tables. */
export class Client {
  /** Called once it is gone. */
  onClose: (() => void) | undefined;
  readonly #probe: Probe;
  readonly #nameOf: (table: string) => string;

  constructor(probe: Probe, nameOf: (table: string) => string) {
    this.#probe = probe;
    this.#nameOf = nameOf;
  }

  get log(): string {
    return this.#probe.log;
  }

  /** Does one operation, whatever comes of it. */
  async attempt(operation: string, table: string, ...args: readonly string[]): Promise<ProbeReply> {
    return await this.#probe.send([operation, this.#nameOf(table), ...args]);
  }

  /** Does one operation that has to succeed. */
  async do(operation: string, table: string, ...args: readonly string[]): Promise<ProbeReply> {
    const reply = await this.attempt(operation, table, ...args);
    expect(reply, `${operation} ${table} ${args.join(' ')}\n${this.log.slice(-LOG_TAIL)}`).toMatchObject({ ok: true });
    return reply;
  }

  /** The value of a key in the sort key "s"; undefined where there is none. */
  async get(table: string, hashKey: string): Promise<string | number | undefined> {
    return (await this.do('get', table, hashKey, 's')).value;
  }

  /** Sets a key in the sort key "s". */
  async set(table: string, hashKey: string, value: string): Promise<void> {
    await this.do('set', table, hashKey, 's', value);
  }

  /**
   * Reads a key again and again until it is `value`; what fails on the way is the client's affair. Returns how many
   * reads failed, or gave something else, before.
   */
  async reads(value: string, table: string, hashKey: string, timeoutMs: number): Promise<number> {
    let missed = -1;
    let reply: ProbeReply | undefined;
    const isRead = async () => {
      missed++;
      reply = await this.attempt('get', table, hashKey, 's');
      return reply.value === value;
    };
    await waitFor(isRead, { timeoutMs, what: `"${value}"` }).catch((cause: unknown) => {
      throw new Error(`${String(cause)}; last: ${JSON.stringify(reply)}\n${this.log.slice(-LOG_TAIL)}`, { cause });
    });
    return missed;
  }

  async close(): Promise<void> {
    await this.#probe.close();
    this.onClose?.();
  }
}
