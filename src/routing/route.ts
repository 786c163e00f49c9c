import { formatHostPort, parseHostPort } from '../wire/host-port.ts';

/** What a table's znode says: the cluster that owns the table, and that cluster's MetaServers. */
export interface Route {
  readonly cluster: string;
  /** `host:port` each, in the order given, without doubles. */
  readonly metas: readonly string[];
}

/** Why some content is no route; the message is for the operator who wrote it. */
export class BadRouteError extends Error {
  override readonly name = 'BadRouteError';
}

/** A cluster has a handful of MetaServers; a list beyond this is a mistake, and would make an endless round. */
const MAX_METAS = 16;
const MAX_CLUSTER_NAME = 255;

/**
 * Reads a znode's content. Both layouts in use are read for good: that of the RFC (`cluster`, `meta-addrs`) and the
 * deployed one that the Go meta-proxy and the admin-cli's table migrator share (`cluster_name`, `meta_addrs`).
 * The addresses may be a list or one comma-separated string in either. Throws `BadRouteError`.
 */
export function decodeRoute(content: Uint8Array): Route {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
  } catch {
    throw new BadRouteError(content.length === 0 ? 'the content is empty' : 'the content is not JSON');
  }
  return routeFromValue(value);
}

/** The same for content that is parsed already, as an entry of the file registry is. Throws `BadRouteError`. */
export function routeFromValue(value: unknown): Route {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new BadRouteError('the content is not an object');
  }
  const fields = value as Record<string, unknown>;
  const cluster = fields.cluster_name ?? fields.cluster;
  if (typeof cluster !== 'string' || cluster === '' || cluster.length > MAX_CLUSTER_NAME) {
    throw new BadRouteError('no cluster name ("cluster_name" or "cluster")');
  }
  return { cluster, metas: decodeMetas(fields.meta_addrs ?? fields['meta-addrs']) };
}

/** Whether two routes lead to the same place, so that a rewrite of a znode with the same content changes nothing. */
export function sameRoute(a: Route, b: Route): boolean {
  return (
    a.cluster === b.cluster && a.metas.length === b.metas.length && a.metas.every((meta, i) => meta === b.metas[i])
  );
}

function decodeMetas(value: unknown): string[] {
  const items: unknown = typeof value === 'string' ? value.split(',') : value;
  if (!Array.isArray(items)) throw new BadRouteError('no MetaServer addresses ("meta_addrs" or "meta-addrs")');
  const metas: string[] = [];
  for (const item of items as unknown[]) {
    const text = typeof item === 'string' ? item.trim() : undefined;
    if (text === '') continue; // a trailing comma
    const address = text === undefined ? undefined : parseHostPort(text);
    if (address === undefined) throw new BadRouteError(`not a host:port: ${quoted(item)}`);
    const meta = formatHostPort(address);
    if (!metas.includes(meta)) metas.push(meta);
  }
  if (metas.length === 0) throw new BadRouteError('the list of MetaServer addresses is empty');
  if (metas.length > MAX_METAS) throw new BadRouteError(`more than ${MAX_METAS} MetaServer addresses`);
  return metas;
}

function quoted(item: unknown): string {
  try {
    return String(JSON.stringify(item)).slice(0, 80);
  } catch {
    // JSON.parse takes any depth, JSON.stringify some thousand levels; it would be a RangeError.
    return 'a deeply nested value';
  }
}
