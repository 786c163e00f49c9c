import { randomBytes } from 'node:crypto';
import type { Belongings } from './belongings.ts';
import type { DemoRegistry, MetaAddresses } from './demo-registry.ts';
import { startOwnZookeeper } from './own-zookeeper.ts';
import type { Screen } from './screen.ts';
import { ZookeeperWriter } from './zookeeper-writer.ts';

const CLI_COMMAND = '/usr/share/zookeeper/bin/zkCli.sh';

/** What the registry is made in. */
export interface ZookeeperRegistryContext {
  readonly folder: string;
  readonly screen: Screen;
  readonly belongings: Belongings;
}

/**
 * A registry in the ZooKeeper at `servers`, or in one that is started for it; under a root of its own, which is removed
 * at the end. Throws `DemoFailure` where there is no ZooKeeper.
 */
export async function createZookeeperRegistry(
  servers: string | undefined,
  clusters: MetaAddresses,
  places: Readonly<Record<string, string>>,
  { folder, screen, belongings }: ZookeeperRegistryContext,
): Promise<DemoRegistry> {
  let address = servers;
  if (address === undefined) {
    screen.say('Starting a real ZooKeeper on a free port, empty and for this demo alone.');
    address = await startOwnZookeeper(folder, belongings);
  }
  const writer = await ZookeeperWriter.connect(address);
  belongings.own(() => writer.close());
  const root = `/meta-proxy-demo-${randomBytes(4).toString('hex')}`;
  // One of its own goes as a whole, with its data.
  if (servers !== undefined) belongings.own(() => writer.remove(root));
  const registry = new ZookeeperRegistry(writer, address, root, clusters);
  await writer.create(root, '');
  for (const [table, cluster] of Object.entries(places)) await registry.create(table, cluster);
  return registry;
}

/** One znode `<root>/<table>` per table. */
class ZookeeperRegistry implements DemoRegistry {
  readonly name: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly #writer: ZookeeperWriter;
  readonly #address: string;
  readonly #root: string;
  readonly #clusters: MetaAddresses;

  constructor(writer: ZookeeperWriter, address: string, root: string, clusters: MetaAddresses) {
    this.#writer = writer;
    this.#address = address;
    this.#root = root;
    this.#clusters = clusters;
    this.name = `the ZooKeeper at ${address}, below ${root}`;
    this.settings = { registry: 'zookeeper', zookeeper: { address, root } };
  }

  async content(): Promise<string> {
    const tables = await this.tables();
    const width = Math.max(...tables.map((table) => table.length));
    const lines = tables.map(async (table) => {
      const { cluster_name: cluster, meta_addrs: metas } = JSON.parse(await this.#writer.get(this.#pathOf(table)));
      return `${table.padEnd(width)}  ${formatRoute(cluster, metas)}`;
    });
    return `${this.#root}/\n${(await Promise.all(lines)).map((line) => `  ${line}`).join('\n')}`;
  }

  async create(table: string, cluster: string): Promise<void> {
    await this.#writer.create(this.#pathOf(table), this.#routeTo(cluster));
  }

  async assign(table: string, cluster: string): Promise<void> {
    await this.#writer.set(this.#pathOf(table), this.#routeTo(cluster));
  }

  async tables(): Promise<string[]> {
    return (await this.#writer.children(this.#root)).sort();
  }

  byHand(table: string, _from: string, to: string) {
    return {
      how: "set its znode with any ZooKeeper client, as with Debian's own in another terminal:",
      command: `${CLI_COMMAND} -server ${this.#address} \\\n  set ${this.#pathOf(table)} \\\n  '${this.#routeTo(to)}'`,
    };
  }

  #pathOf(table: string): string {
    return `${this.#root}/${table}`;
  }

  #routeTo(cluster: string): string {
    return JSON.stringify({ cluster_name: cluster, meta_addrs: this.#clusters[cluster] });
  }
}

function formatRoute(cluster: string, metas: readonly string[]): string {
  return JSON.stringify({ cluster_name: cluster, meta_addrs: metas });
}
