import { parseHostPort } from '../wire/host-port.ts';

/** What the command line asks for. */
export interface DemoOptions {
  /** End after the tour instead of staying up. */
  readonly once: boolean;
  /** Where the registry is: a file, a ZooKeeper of the demo's own, or the ZooKeeper at these addresses. */
  readonly registry: 'file' | 'own-zookeeper' | { readonly servers: string };
  readonly help: boolean;
}

/** A command line that can't be understood. */
export class DemoUsageError extends Error {
  override readonly name = 'DemoUsageError';
}

export const USAGE = `usage: npm run demo -- [--once] [--zookeeper [HOST:PORT]]

  --once                 end after the tour, with exit code 0 if everything was as it should be
  --zookeeper            keep the registry in a real ZooKeeper that the demo starts and stops itself
                         (Debian's package "zookeeper" has to be installed)
  --zookeeper HOST:PORT  or in this one, under a znode of the demo's own that is removed at the end
`;

/** Reads the command line. Throws `DemoUsageError`. */
export function readDemoArguments(args: readonly string[]): DemoOptions {
  const options: { -readonly [K in keyof DemoOptions]: DemoOptions[K] } = {
    once: false,
    registry: 'file',
    help: false,
  };
  const rest = args.flatMap((arg) => (arg.startsWith('--zookeeper=') ? ['--zookeeper', arg.slice(12)] : [arg]));
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === '--once') options.once = true;
    else if (arg === '--help' || arg === '-h') options.help = true;
    else if (arg !== '--zookeeper') throw new DemoUsageError(`unknown argument: ${arg}`);
    else if (rest[0] === undefined || rest[0].startsWith('-')) options.registry = 'own-zookeeper';
    else options.registry = { servers: readServers(rest.shift() ?? '') };
  }
  return options;
}

function readServers(text: string): string {
  for (const server of text.split(',')) {
    if (parseHostPort(server) === undefined) throw new DemoUsageError(`--zookeeper: not HOST:PORT: ${server}`);
  }
  return text;
}
