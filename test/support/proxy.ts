import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { stringify } from 'yaml';
import { parseConfig } from '../../src/daemon/config.ts';
import { Daemon } from '../../src/daemon/daemon.ts';
import { formatHostPort } from '../../src/wire/host-port.ts';
import { RawClient } from './raw-client.ts';
import { waitFor } from './wait-for.ts';

/** A table's place: a cluster's name and its MetaServers. Anything else is written as it is, to be wrong on purpose. */
export type TableEntry = { readonly cluster: string; readonly metas: readonly string[] } | { readonly raw: unknown };

/** One line of the proxy's log. */
export type LogLine = { readonly level: number | string; readonly msg: string } & Readonly<Record<string, unknown>>;

/**
 * Client, proxy and clusters share this process, and the machine may be busy: what is not about deadlines must not fail
 * by them. A query that names a timeout of its own is still given nine tenths of it.
 */
const PATIENT = { default_ms: 10_000, max_ms: 10_000 };

/** A proxy in this process, its tables in a file of its own. */
export class TestProxy {
  readonly daemon: Daemon;
  readonly log: readonly LogLine[];
  readonly #folder: string;
  readonly #clients: RawClient[] = [];
  readonly #tables: Record<string, TableEntry>;

  private constructor(daemon: Daemon, log: LogLine[], folder: string, tables: Record<string, TableEntry>) {
    this.daemon = daemon;
    this.log = log;
    this.#folder = folder;
    this.#tables = tables;
  }

  /**
   * Starts one on a free port. `settings` are configuration keys besides those of the registry; without its file, the
   * registry can't be read until `writeTables`.
   */
  static async start(
    tables: Readonly<Record<string, TableEntry>>,
    settings: Readonly<Record<string, unknown>> = {},
    { withFile = true } = {},
  ): Promise<TestProxy> {
    const folder = await mkdtemp(join(tmpdir(), 'meta-proxy-'));
    const log: LogLine[] = [];
    const logger = pino({ level: 'debug' }, { write: (line: string) => void log.push(JSON.parse(line)) });
    const config = parseConfig(
      stringify({
        listen: '127.0.0.1:0',
        registry: 'file',
        file: { path: 'tables.yaml' },
        deadline: PATIENT,
        ...settings,
      }),
      join(folder, 'config.yaml'),
    );
    const proxy = new TestProxy(new Daemon(config, logger), log, folder, { ...tables });
    if (withFile) await proxy.writeTables();
    await proxy.daemon.start();
    if (withFile) await waitFor(() => proxy.daemon.metrics.registryAvailable.value === 1, { what: 'the registry' });
    return proxy;
  }

  get address(): string {
    return formatHostPort(this.daemon.address as { host: string; port: number });
  }

  /** A client of this proxy, closed with it. */
  async connect(): Promise<RawClient> {
    const client = await RawClient.connect(this.address);
    this.#clients.push(client);
    return client;
  }

  /** Changes, adds or (undefined) removes a table, and waits until the proxy has seen it. */
  async setTable(table: string, entry: TableEntry | undefined): Promise<void> {
    const { metrics } = this.daemon;
    const changes = () => metrics.routeChanges.value + metrics.unreadableRoutes.value + metrics.registryEvents.value;
    const before = changes();
    const isCached = this.daemon.isCached(table);
    const routesBefore = metrics.routeChanges.value + metrics.unreadableRoutes.value;
    if (entry === undefined) delete this.#tables[table];
    else this.#tables[table] = entry;
    await this.writeTables();
    await waitFor(() => changes() > before, { what: 'the change of a table' });
    if (!isCached) return;
    await waitFor(() => metrics.routeChanges.value + metrics.unreadableRoutes.value > routesBefore, {
      what: 'the change of a route',
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
    await this.daemon.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Writes the file of tables, whole and at once. */
  async writeTables(): Promise<void> {
    const tables = Object.fromEntries(
      Object.entries(this.#tables).map(([name, entry]) => [
        name,
        'raw' in entry ? entry.raw : { cluster: entry.cluster, 'meta-addrs': entry.metas },
      ]),
    );
    const path = join(this.#folder, 'tables.yaml');
    await writeFile(`${path}.new`, stringify({ tables }, { aliasDuplicateObjects: false, lineWidth: 0 }));
    await rename(`${path}.new`, path);
  }
}
