import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { Belongings } from './belongings.ts';
import type { DemoOptions } from './demo-arguments.ts';
import { DemoClient } from './demo-client.ts';
import { CLUSTER_NAMES, DemoClusters, FIRST_PLACES } from './demo-clusters.ts';
import type { DemoRegistry } from './demo-registry.ts';
import { FileRegistry } from './file-registry.ts';
import { ProxyProcess } from './proxy-process.ts';
import type { Screen } from './screen.ts';
import { createZookeeperRegistry } from './zookeeper-registry.ts';

/** All that takes part in the demo, running. */
export interface Stage {
  readonly screen: Screen;
  readonly clusters: DemoClusters;
  readonly registry: DemoRegistry;
  readonly proxy: ProxyProcess;
  /** The one client, on its one connection to the proxy. */
  readonly client: DemoClient;
  readonly configPath: string;
}

/** What the demo gives to whoever sets its stage. */
export interface StageContext {
  readonly screen: Screen;
  /** Everything that is started belongs here from its first moment on. */
  readonly belongings: Belongings;
  /** Told of the proxy as soon as it is spawned: if it does not come up, its log is the reason. */
  readonly onProxy: (proxy: ProxyProcess) => void;
}

/** Starts everything and shows it. */
export async function setStage(options: DemoOptions, context: StageContext): Promise<Stage> {
  const { screen, belongings } = context;
  const folder = await mkdtemp(join(tmpdir(), 'meta-proxy-demo-'));
  belongings.ownFolder(folder);
  const clusters = await DemoClusters.start();
  belongings.own(() => clusters.stop());
  showClusters(screen, clusters);

  const registry = await createRegistry(options, clusters, folder, context);
  screen.say(
    `The registry says which cluster owns each table, and where the MetaServers of that cluster are. Here it is ` +
      `${registry.name}. It says:`,
  );
  screen.verbatim(await registry.content());

  const configPath = join(folder, 'meta-proxy.yaml');
  await writeFile(configPath, proxyConfig(registry));
  const proxy = new ProxyProcess(configPath);
  belongings.own(
    async () => void (await proxy.stop()),
    () => proxy.killNow(),
  );
  context.onProxy(proxy);
  const { listen } = await proxy.logged('serving');
  await proxy.logged('registry can be read');
  const client = await DemoClient.connect(String(listen));
  belongings.own(() => client.close());
  screen.say(
    `The proxy is the real program, a process of its own (pid ${proxy.pid}), started as one would in production: ` +
      'pegasus-meta-proxy serve --config FILE. All of its configuration:',
  );
  screen.verbatim(proxyConfig(registry));
  screen.say(`It is up and listens on ${client.address}. What it logs is shown like this:`);
  screen.log(proxy.takeLines());
  return { screen, clusters, registry, proxy, client, configPath };
}

/** Loopback only, on free ports. */
function proxyConfig(registry: DemoRegistry): string {
  const settings = {
    listen: '127.0.0.1:0',
    admin: { listen: '127.0.0.1:0' },
    ...registry.settings,
    shutdown: { grace_ms: 2_000 },
  };
  return stringify(settings, { lineWidth: 0 });
}

function showClusters(screen: Screen, clusters: DemoClusters): void {
  screen.say(
    'Two simulated Pegasus clusters, east and west, each with two MetaServers (they know which servers hold a table) ' +
      'and two replica servers (they hold the data). In both, the second MetaServer is the leader: only it answers, ' +
      'the first one sends clients on to it.',
  );
  const rows = CLUSTER_NAMES.map((name) => {
    const cluster = clusters.get(name);
    const tables = cluster.catalog.tables.map((table) => `${table.name} (app id ${table.appId})`);
    return [name, cluster.metaAddresses.join(', '), tables.join(', ')];
  });
  screen.table(['cluster', 'MetaServers', 'tables'], rows);
}

async function createRegistry(
  options: DemoOptions,
  clusters: DemoClusters,
  folder: string,
  context: StageContext,
): Promise<DemoRegistry> {
  const metas = Object.fromEntries(CLUSTER_NAMES.map((name) => [name, clusters.metaAddresses(name)]));
  if (options.registry === 'file') return await FileRegistry.create(join(folder, 'tables.yaml'), metas, FIRST_PLACES);
  const servers = options.registry === 'own-zookeeper' ? undefined : options.registry.servers;
  return await createZookeeperRegistry(servers, metas, FIRST_PLACES, { folder, ...context });
}
