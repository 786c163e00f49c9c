import { isYamlList, isYamlMap, type YamlValue } from '../routing/yaml-file.ts';
import { formatHostPort, type HostPort, parseHostPort } from '../wire/host-port.ts';

/** One kind of configuration value: how it is read, and how it is spoken of. */
export interface Kind<T> {
  /** What a value has to be, for a sentence that begins with "expected". */
  readonly expected: string;
  /** The documentation's columns. */
  readonly type: string;
  readonly unit?: string;
  readonly bounds?: string;
  /** Reads a value of the file or the command line; undefined where it is no such value. */
  readonly read: (value: YamlValue) => T | undefined;
  /** The value as one would write it into the file. */
  readonly show: (value: T) => unknown;
}

const MAX_LIST = 64;
const DEFAULT_ZOOKEEPER_PORT = 2181;

/** A whole number of `unit` from `min` to `max`. Digits in quotes are taken too, as the Go daemon takes them. */
export function integer(min: number, max: number, unit?: string): Kind<number> {
  return {
    expected: `a whole number from ${min} to ${max}${unit === undefined ? '' : ` (${unit})`}`,
    type: 'integer',
    ...(unit === undefined ? {} : { unit }),
    bounds: `${min} … ${max}`,
    read: (value) => {
      const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;
      return Number.isInteger(number) && Number(number) >= min && Number(number) <= max ? Number(number) : undefined;
    },
    show: (value) => value,
  };
}

export function oneOf<const T extends string>(...words: readonly T[]): Kind<T> {
  return {
    expected: `one of ${words.join(', ')}`,
    type: words.join(' | '),
    read: (value) => words.find((word) => word === value),
    show: (value) => value,
  };
}

/** Free text without control characters. */
export function text(expected: string, pattern = /^[^\p{Cc}]{1,4096}$/u): Kind<string> {
  return {
    expected,
    type: 'text',
    read: (value) => (typeof value === 'string' && pattern.test(value) ? value : undefined),
    show: (value) => value,
  };
}

/** Where to listen: `host:port`, `[v6]:port`. Port 0 lets the system choose a free one. */
export const listenAddress: Kind<HostPort> = {
  expected: 'host:port or [v6-address]:port',
  type: 'host:port',
  read: (value) => {
    if (typeof value !== 'string') return undefined;
    const anyPort = /:0$/.test(value);
    const address = parseHostPort(anyPort ? value.replace(/0$/, '1') : value);
    return address === undefined || !anyPort ? address : { host: address.host, port: 0 };
  },
  show: formatHostPort,
};

/** A znode's path without the slash at its end, which the Go daemon's users may have written. */
export const znodePath: Kind<string> = {
  expected: 'the path of a znode, such as /pegasus-cluster',
  type: 'path',
  read: (value) => {
    if (typeof value !== 'string' || value.length > 1024) return undefined;
    if (value === '/') return value;
    const path = value.replace(/\/+$/, '');
    return /^(?:\/(?!\.{1,2}(?:\/|$))[^/\p{Cc}]+)+$/u.test(path) ? path : undefined;
  },
  show: (value) => value,
};

/** ZooKeeper's servers, as a list or one comma-separated string; a server without a port has ZooKeeper's own. */
export const zookeeperServers: Kind<readonly string[]> = {
  expected: `1 to ${MAX_LIST} servers as host:port, in a list or separated by commas`,
  type: 'list of host:port',
  read: (value) => {
    const servers = listOf(value)?.map((item) => {
      const address = typeof item === 'string' ? readServer(item.trim()) : undefined;
      return address && formatHostPort(address);
    });
    const good = servers?.filter((server) => server !== undefined);
    return good === undefined || good.length !== servers?.length ? undefined : [...new Set(good)];
  },
  show: (value) => value,
};

/** Labels of every metric: a list of `name=value`, one comma-separated string, or a mapping. */
export const tags: Kind<Readonly<Record<string, string>>> = {
  expected: `at most ${MAX_LIST} tags as name=value, each name once`,
  type: 'list of name=value',
  read: (value) => {
    const pairs = isYamlMap(value) ? [...value].map(([name, { value }]) => [name, value] as const) : tagPairs(value);
    if (pairs === undefined || pairs.length > MAX_LIST) return undefined;
    const result = new Map<string, string>();
    for (const [name, content] of pairs) {
      const isText = typeof content === 'string' || typeof content === 'number';
      if (!isText || !/^[A-Za-z_][\w.-]{0,127}$/.test(name) || result.has(name)) return undefined;
      if (!/^[^\p{Cc}]{1,255}$/u.test(String(content))) return undefined;
      result.set(name, String(content));
    }
    return Object.fromEntries(result);
  },
  show: (value) => Object.entries(value).map(([name, content]) => `${name}=${content}`),
};

function readServer(server: string): HostPort | undefined {
  return parseHostPort(server) ?? parseHostPort(`${server}:${DEFAULT_ZOOKEEPER_PORT}`);
}

function tagPairs(value: YamlValue): (readonly [string, string])[] | undefined {
  if (isYamlList(value) && value.length === 0) return [];
  const pairs = listOf(value)?.map((item) => {
    const [, name, content] = (typeof item === 'string' && /^\s*([^=]+?)\s*=\s*(.*?)\s*$/.exec(item)) || [];
    return name === undefined || content === undefined ? undefined : ([name, content] as const);
  });
  const good = pairs?.filter((pair) => pair !== undefined);
  return good?.length === pairs?.length ? good : undefined;
}

/** A list, or a comma-separated string as one; undefined where it is neither, empty or too long. */
function listOf(value: YamlValue): readonly YamlValue[] | undefined {
  const items = typeof value === 'string' ? value.split(',') : value;
  return isYamlList(items) && items.length >= 1 && items.length <= MAX_LIST ? items : undefined;
}
