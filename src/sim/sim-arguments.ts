import { parseArgs } from 'node:util';
import type { SimClusterOptions } from './sim-cluster.ts';
import type { TableOptions } from './table-catalog.ts';

/** What the command line of sim-main can say. */
export const USAGE = `usage: sim-main [--name a] [--metas 2] [--replicas 0] [--tables temp:8,stat:64:2] [--host 127.0.0.1]
                [--meta-ports 34601,34602] [--host-ports] [--silent-followers] [--record-limit 1024]
  --tables            name:partitions or name:partitions:app_id, comma-separated
  --host-ports        answers carry hp_primary and the like
  --silent-followers  followers don't name the leader
  --record-limit      requests kept in memory; 0 for benchmarks
`;

/** Reads the command line. Throws an Error that says what is wrong with it. */
export function readArguments(args: readonly string[]): SimClusterOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      name: { type: 'string', default: 'sim' },
      metas: { type: 'string', default: '2' },
      replicas: { type: 'string', default: '0' },
      tables: { type: 'string', default: '' },
      host: { type: 'string', default: '127.0.0.1' },
      'meta-ports': { type: 'string', default: '' },
      'host-ports': { type: 'boolean', default: false },
      'silent-followers': { type: 'boolean', default: false },
      'record-limit': { type: 'string', default: '1024' },
    },
  });
  return {
    name: values.name,
    metas: numberOf('--metas', values.metas),
    replicas: numberOf('--replicas', values.replicas),
    tables: Object.fromEntries(listOf(values.tables).map(readTable)),
    host: values.host,
    metaPorts: listOf(values['meta-ports']).map((port) => numberOf('--meta-ports', port)),
    hostPorts: values['host-ports'],
    followersKnowLeader: !values['silent-followers'],
    recordLimit: numberOf('--record-limit', values['record-limit']),
  };
}

/** `name:partitions` or `name:partitions:app_id`; the name itself may have colons. */
function readTable(text: string): [string, TableOptions] {
  const match = /^(.+?):(\d+)(?::(\d+))?$/.exec(text);
  if (match === null) throw new Error(`--tables: not name:partitions or name:partitions:app_id: ${text}`);
  const [, name = '', partitions, appId] = match;
  return [name, { partitions: Number(partitions), ...(appId === undefined ? {} : { appId: Number(appId) }) }];
}

function listOf(text: string): string[] {
  return text.split(',').filter((item) => item !== '');
}

function numberOf(option: string, text: string): number {
  if (!/^\d+$/.test(text)) throw new Error(`${option}: not a number: ${text}`);
  return Number(text);
}
