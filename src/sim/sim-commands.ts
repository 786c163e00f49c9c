import type { Faults } from './faults.ts';
import type { SimCluster } from './sim-cluster.ts';
import type { SimServer } from './sim-server.ts';
import type { TableOptions, TableStatus } from './table-catalog.ts';

/** A line on stdin: which command, and its arguments. */
type Command = Readonly<Record<string, unknown>>;

type Outcome = Readonly<Record<string, unknown>>;

/**
 * What sim-main does when told to, by name. `meta` and `replica` are indices; each command names one of them where it
 * is about one server.
 *
 *   {"command": "leader", "meta": 1}                     null: no leader
 *   {"command": "faults", "meta": 0, "faults": {…}}      see faults.ts; `rubbish` in hex; {} for none
 *   {"command": "release", "meta": 0}                    answers that `hold` keeps
 *   {"command": "refuse" | "listen" | "reset", "meta": 0}
 *   {"command": "create" | "recreate", "table": "t", "partitions": 8, "appId": 5}
 *   {"command": "drop" | "split", "table": "t"}
 *   {"command": "table-status", "table": "t", "status": "creating"}
 *   {"command": "deny", "value": "reconfig*all", "table": "t"}   null: no more; without a table: all
 *   {"command": "status"}
 */
const COMMANDS: Readonly<Record<string, (cluster: SimCluster, command: Command) => Outcome | Promise<Outcome>>> = {
  leader(cluster, { meta }) {
    cluster.changeLeader(meta === null ? undefined : numberOf('meta', meta));
    return {};
  },
  faults(cluster, command) {
    serverOf(cluster, command).setFaults(readFaults(command.faults));
    return {};
  },
  release(cluster, command) {
    return { released: serverOf(cluster, command).release() };
  },
  async refuse(cluster, command) {
    await serverOf(cluster, command).refuse();
    return {};
  },
  async listen(cluster, command) {
    await serverOf(cluster, command).listen();
    return {};
  },
  reset(cluster, command) {
    serverOf(cluster, command).resetConnections();
    return {};
  },
  create(cluster, command) {
    cluster.createTable(stringOf('table', command.table), tableOf(command));
    return {};
  },
  recreate(cluster, command) {
    cluster.recreate(stringOf('table', command.table), tableOf(command));
    return {};
  },
  drop(cluster, { table }) {
    cluster.dropTable(stringOf('table', table));
    return {};
  },
  split(cluster, { table }) {
    cluster.splitTable(stringOf('table', table));
    return {};
  },
  'table-status'(cluster, { table, status }) {
    if (!isTableStatus(status)) throw new Error('status: available, creating or dropping');
    cluster.setTableStatus(stringOf('table', table), status);
    return {};
  },
  deny(cluster, { value, table }) {
    cluster.deny(value === null ? undefined : stringOf('value', value), table as string | undefined);
    return {};
  },
  status(cluster) {
    return {
      leader: cluster.leaderIndex ?? null,
      tables: cluster.catalog.tables,
      metas: cluster.metas.map(countsOf),
      replicas: cluster.replicas.map(countsOf),
    };
  },
};

/** Does what a line says. Never throws: what went wrong is in the outcome, and `id`, if there is one, too. */
export async function runCommand(cluster: SimCluster, line: string): Promise<Outcome> {
  let id: unknown;
  try {
    const command = JSON.parse(line) as Command;
    id = command.id;
    const run = COMMANDS[stringOf('command', command.command)];
    if (run === undefined) throw new Error(`no such command: ${command.command}`);
    return { ...(id === undefined ? {} : { id }), ok: true, ...(await run(cluster, command)) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { ...(id === undefined ? {} : { id }), ok: false, error: message };
  }
}

function serverOf(cluster: SimCluster, { meta, replica }: Command): SimServer {
  const server =
    meta === undefined ? cluster.replicas[numberOf('replica', replica)] : cluster.metas[numberOf('meta', meta)];
  if (server === undefined) throw new Error('no such server');
  return server;
}

function countsOf(server: SimServer): Outcome {
  const { address, requestCount, connectionCount, connectionsAccepted, heldCount } = server;
  return { address, requestCount, connectionCount, connectionsAccepted, heldCount };
}

/** JSON has no bytes, so `rubbish` comes as hex; everything else is as in `Faults`. */
function readFaults(value: unknown): Faults {
  if (typeof value !== 'object' || value === null) throw new Error('faults: not an object');
  const { rubbish, ...others } = value as Faults & { readonly rubbish?: unknown };
  return rubbish === undefined ? others : { ...others, rubbish: Buffer.from(stringOf('rubbish', rubbish), 'hex') };
}

function tableOf({ partitions, appId }: Command): TableOptions {
  const count = numberOf('partitions', partitions);
  return appId === undefined ? { partitions: count } : { partitions: count, appId: numberOf('appId', appId) };
}

function isTableStatus(value: unknown): value is TableStatus {
  return value === 'available' || value === 'creating' || value === 'dropping';
}

function numberOf(name: string, value: unknown): number {
  if (typeof value !== 'number') throw new Error(`${name}: not a number`);
  return value;
}

function stringOf(name: string, value: unknown): string {
  if (typeof value !== 'string') throw new Error(`${name}: not a string`);
  return value;
}
