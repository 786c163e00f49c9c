import { type HostPort, parseHostPort } from '../wire/host-port.ts';

/**
 * Reads `host:port,host:port` and gives the servers in a random order, so that many proxies spread over them. Throws
 * where an item isn't a `host:port`.
 */
export function parseServers(text: string): HostPort[] {
  const servers = text.split(',').map((item) => {
    const server = parseHostPort(item.trim());
    if (server === undefined) throw new Error(`not a ZooKeeper server (host:port): ${JSON.stringify(item)}`);
    return server;
  });
  return shuffled(servers);
}

function shuffled<T>(items: readonly T[]): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i -= 1) {
    const j = Math.floor(Math.random() * (i + 1));
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}
