/** One `host:port` of a MetaServer, as configuration, znodes and redirects name it. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

const HOST_NAME =
  /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$/;
const IPV6 = /^[0-9A-Fa-f:.]{2,45}$/;
const ALL_DIGITS_AND_DOTS = /^[0-9.]+$/;
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

/**
 * Reads `host:port`, the host being an IPv4 address, a host name, or an IPv6 address in brackets.
 * Returns undefined for anything else, port 0 included.
 */
export function parseHostPort(text: string): HostPort | undefined {
  const colon = text.lastIndexOf(':');
  if (colon < 1) return undefined;
  const port = parsePort(text.slice(colon + 1));
  if (port === undefined) return undefined;
  const host = text.slice(0, colon);
  if (host.startsWith('[') && host.endsWith(']')) {
    const address = host.slice(1, -1);
    return address.includes(':') && IPV6.test(address) ? { host: address.toLowerCase(), port } : undefined;
  }
  const isAddress = ALL_DIGITS_AND_DOTS.test(host);
  if (isAddress ? !IPV4.test(host) : !HOST_NAME.test(host)) return undefined;
  return { host: host.toLowerCase(), port };
}

/** The one spelling under which an address is compared, pooled and logged. */
export function formatHostPort(address: HostPort): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

function parsePort(text: string): number | undefined {
  if (!/^[0-9]{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port >= 1 && port <= 65535 ? port : undefined;
}
