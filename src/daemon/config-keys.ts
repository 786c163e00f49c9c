import type { HostPort } from '../wire/host-port.ts';
import { integer, type Kind, listenAddress, oneOf, tags, text, znodePath, zookeeperServers } from './config-kinds.ts';

interface KeyOptions<T> {
  readonly default: T;
  /** One or two sentences for the person who runs the proxy. */
  readonly help: string;
  /** When it must be given, for a key that has no default worth the name. */
  readonly required?: string;
  /** Never shown: not in the log, not by `check`, not in a message about a mistake. */
  readonly secret?: boolean;
  /** Whether a change takes effect only at the next start. */
  readonly restart?: boolean;
}

/** One key of the configuration file. */
export class ConfigKey<T> {
  /** As it stands in the file, the levels joined by dots. */
  readonly key: string;
  readonly kind: Kind<T>;
  readonly default: T;
  readonly help: string;
  readonly required: string | undefined;
  readonly secret: boolean;
  readonly restart: boolean;

  constructor(key: string, kind: Kind<T>, options: KeyOptions<T>) {
    this.key = key;
    this.kind = kind;
    this.default = options.default;
    this.help = options.help;
    this.required = options.required;
    this.secret = options.secret ?? false;
    this.restart = options.restart ?? true;
  }
}

const KIB = 1024;
const MIB = 1024 * KIB;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const ANY: HostPort['host'] = '0.0.0.0';

const key = <T>(name: string, kind: Kind<T>, options: KeyOptions<NoInfer<T>>) => new ConfigKey<T>(name, kind, options);

/**
 * Every key there is, declared once: the validation, the type `Config`, the command line's help and
 * docs/configuration.md are all made from this table. The tree is that of the typed result, so this is also where one
 * sees which key of the file becomes which property. The keys `zookeeper.address`, `root`, `timeout`,
 * `table_watcher_cache_capacity` and `metric.*` are those of the Go daemon, and mean the same.
 */
export const CONFIG_KEYS = {
  listen: key('listen', listenAddress, {
    default: { host: ANY, port: 34601 },
    help: 'Where clients connect. With port 0 the system chooses a free one.',
  }),
  admin: {
    listen: key('admin.listen', listenAddress, {
      default: { host: ANY, port: 9091 },
      help: 'Where metrics and health are served over HTTP.',
    }),
  },
  registry: key('registry', oneOf('zookeeper', 'file'), {
    default: 'zookeeper',
    help: 'Where the tables and their clusters are read from.',
  }),
  file: {
    path: key('file.path', text('the path of a file'), {
      default: '',
      required: 'with `registry: file`',
      help: 'The YAML file of tables; a relative path starts at the folder of this configuration file.',
    }),
  },
  zookeeper: {
    servers: key('zookeeper.address', zookeeperServers, {
      default: [],
      required: 'with `registry: zookeeper`',
      help: 'The ZooKeeper servers, as a list or one comma-separated string. Without a port: 2181.',
    }),
    root: key('zookeeper.root', znodePath, {
      default: '',
      required: 'with `registry: zookeeper`',
      help: 'The znode whose children are the tables.',
    }),
    sessionTimeoutMs: key('zookeeper.timeout', integer(100, 10 * MINUTE, 'ms'), {
      default: 10_000,
      help: 'The session timeout asked for; the server may grant another (by default at least 2 of its ticks, 4 s).',
    }),
    auth: {
      scheme: key('zookeeper.auth.scheme', oneOf('digest'), {
        default: 'digest',
        help: 'How to authenticate to ZooKeeper, where `credentials` are given.',
      }),
      credentials: key('zookeeper.auth.credentials', text('user:password', /^[^:\p{Cc}]{1,255}:[^\p{Cc}]{1,1024}$/u), {
        default: '',
        secret: true,
        help: '`user:password`. Secret: masked wherever the configuration is shown.',
      }),
    },
  },
  metric: {
    type: key('metric.type', oneOf('prometheus', 'falcon'), {
      default: 'prometheus',
      help: 'Whether metrics are fetched by Prometheus or pushed to the local Falcon agent.',
    }),
    tags: key('metric.tags', tags, {
      default: {},
      help: 'Labels that every metric carries, such as `[region=local_tst, service=meta_proxy]`.',
    }),
  },
  log: {
    level: key('log.level', oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'), {
      default: 'info',
      help: 'The least severity that is logged.',
    }),
  },
  deadline: {
    defaultMs: key('deadline.default_ms', integer(10, 10 * MINUTE, 'ms'), {
      default: 900,
      help: 'Time to answer a request that names no timeout of its own.',
    }),
    minMs: key('deadline.min_ms', integer(10, 10 * MINUTE, 'ms'), {
      default: 500,
      help: 'The least time a request is given, whatever its client asks for.',
    }),
    maxMs: key('deadline.max_ms', integer(10, 10 * MINUTE, 'ms'), {
      default: 4_000,
      help: 'The most time a request is given, whatever its client asks for.',
    }),
  },
  cache: {
    capacity: key('zookeeper.table_watcher_cache_capacity', integer(1, 10_000_000, 'tables'), {
      default: 1024,
      help: 'How many tables are kept in memory; beyond it the one not asked for longest goes.',
    }),
    missingTtlMs: key('cache.missing_ttl_ms', integer(0, HOUR, 'ms'), {
      default: 1_000,
      help: 'How long the store is not asked again for a table that it does not have.',
    }),
    missingCapacity: key('cache.missing_capacity', integer(1, 10_000_000, 'tables'), {
      default: 10_000,
      help: 'How many such names are remembered.',
    }),
    loadTimeoutMs: key('cache.load_timeout_ms', integer(10, 10 * MINUTE, 'ms'), {
      default: 3_000,
      help: 'The deadline of one read of the store.',
    }),
    verifyRate: key('cache.verify_rate', integer(1, 1_000_000, 'tables per second'), {
      default: 3_000,
      help: 'After a reconnect all cached tables are read again: so many per second at most, what clients ask for first.',
    }),
    verifyJitterMs: key('cache.verify_jitter_ms', integer(0, MINUTE, 'ms'), {
      default: 500,
      help: 'That begins after a random part of this, lest all proxies begin at once. What clients ask for does not wait.',
    }),
  },
  snapshot: {
    path: key('snapshot.path', text('the path of a file'), {
      default: '',
      help: 'The file in which the routes are kept for a start while the store is away; without it they are not. A relative path starts at the folder of this configuration file. One file per proxy.',
    }),
    intervalMs: key('snapshot.interval_ms', integer(10, HOUR, 'ms'), {
      default: 5_000,
      help: 'How often it is written, when routes have changed.',
    }),
  },
  meta: {
    connectTimeoutMs: key('meta.connect_timeout_ms', integer(10, 10 * MINUTE, 'ms'), {
      default: 1_000,
      help: 'Time for a connection to a MetaServer to come up.',
    }),
    hedgeMinMs: key('meta.hedge_min_ms', integer(1, 10 * MINUTE, 'ms'), {
      default: 50,
      help: 'The least time a MetaServer is given to answer before another one is asked as well. The time is learned from recent answers.',
    }),
    attemptTimeoutMs: key('meta.attempt_timeout_ms', integer(10, 10 * MINUTE, 'ms'), {
      default: 300,
      help: 'The most time a MetaServer is given so; also the time while nothing has been learned yet.',
    }),
    resolveEveryMs: key('meta.resolve_every_ms', integer(1_000, HOUR, 'ms'), {
      default: 30_000,
      help: 'How often the host name of a connected MetaServer is looked up again; if it leads elsewhere, so do new requests.',
    }),
    silenceMs: key('meta.silence_ms', integer(100, HOUR, 'ms'), {
      default: 2_000,
      help: 'How long requests may wait on a connection to a MetaServer without a byte coming in before it is given up.',
    }),
    backoffMinMs: key('meta.backoff_min_ms', integer(1, HOUR, 'ms'), {
      default: 50,
      help: 'The first wait before a lost connection to a MetaServer is made again; it doubles from then on.',
    }),
    backoffMaxMs: key('meta.backoff_max_ms', integer(1, HOUR, 'ms'), {
      default: 1_000,
      help: 'The longest such wait.',
    }),
    idleLingerMs: key('meta.idle_linger_ms', integer(0, HOUR, 'ms'), {
      default: 10_000,
      help: 'How long a connection is kept to a MetaServer that no table needs any more.',
    }),
    maxInFlight: key('meta.max_in_flight', integer(1, 1_000_000, 'requests'), {
      default: 8192,
      help: 'Unanswered requests on one connection to a MetaServer.',
    }),
    maxResponseBytes: key('meta.max_response_bytes', integer(4 * KIB, 1024 * MIB, 'bytes'), {
      default: 64 * MIB,
      help: 'The largest answer of a MetaServer; a longer one ends the connection to it. 1,024 partitions take some 200 KB.',
    }),
  },
  client: {
    maxConnections: key('client.max_connections', integer(1, 1_000_000, 'connections'), {
      default: 100_000,
      help: 'Client connections open at a time; further ones are refused.',
    }),
    maxConnectionsPerAddress: key('client.max_connections_per_address', integer(1, 1_000_000, 'connections'), {
      default: 10_000,
      help: 'Of these, from one address. Raise it where clients come through a balancer or NAT that shows one address for all.',
    }),
    maxRequestBytes: key('client.max_request_bytes', integer(1 * KIB, 64 * MIB, 'bytes'), {
      default: 64 * KIB,
      help: 'The largest request; a longer one closes its connection.',
    }),
    maxInFlight: key('client.max_in_flight', integer(1, 1_000_000, 'requests'), {
      default: 1024,
      help: 'Unanswered requests of one client connection; beyond it nothing more is read from the connection.',
    }),
    maxQueuedBytes: key('client.max_queued_bytes', integer(64 * KIB, 4096 * MIB, 'bytes'), {
      default: 64 * MIB,
      help: 'Answers that wait for one client to take them; a client that lets more gather is disconnected.',
    }),
    writeTimeoutMs: key('client.write_timeout_ms', integer(100, HOUR, 'ms'), {
      default: 30_000,
      help: 'A client that takes nothing of the answers that wait for it for so long is disconnected.',
    }),
    frameTimeoutMs: key('client.frame_timeout_ms', integer(100, HOUR, 'ms'), {
      default: 10_000,
      help: 'Time for a request that has begun to arrive whole.',
    }),
    idleTimeoutMs: key('client.idle_timeout_ms', integer(0, 24 * HOUR, 'ms'), {
      default: 0,
      help: 'Idle time after which a connection is closed; 0 is never. A closed connection costs a Go client up to a minute.',
    }),
    keepaliveMs: key('client.keepalive_ms', integer(1_000, 24 * HOUR, 'ms'), {
      default: 60_000,
      help: 'Idle time after which TCP keep-alive looks whether a client is still there.',
    }),
  },
  shutdown: {
    graceMs: key('shutdown.grace_ms', integer(0, HOUR, 'ms'), {
      default: 10_000,
      help: 'Time for requests in flight to be answered after SIGTERM or SIGINT.',
    }),
  },
} as const;

/** The typed form of a tree of keys. */
export type ValuesOf<Node> =
  Node extends ConfigKey<infer T> ? T : { readonly [Name in keyof Node]: ValuesOf<Node[Name]> };

/** The effective configuration: validated, complete, frozen. Times in ms, sizes in bytes. */
export type Config = ValuesOf<typeof CONFIG_KEYS>;

export type AnyKey = ConfigKey<unknown>;
type KeyTree = { readonly [name: string]: KeyTree | ConfigKey<never> };

/** The tree with `replace(key)` in the place of every key. */
export function mapKeys(replace: (key: AnyKey) => unknown): unknown {
  return mapTree(CONFIG_KEYS as unknown as KeyTree, replace);
}

function mapTree(tree: KeyTree, replace: (key: AnyKey) => unknown): unknown {
  const entries = Object.entries(tree).map(([name, node]) => [
    name,
    node instanceof ConfigKey ? replace(node as unknown as AnyKey) : mapTree(node, replace),
  ]);
  return Object.freeze(Object.fromEntries(entries));
}

/** Every key with its value in `config`, in the order of the table. */
export function entriesOf(config: Config): readonly (readonly [AnyKey, unknown])[] {
  return flatten(CONFIG_KEYS as unknown as KeyTree, config);
}

function flatten(tree: KeyTree, values: unknown): (readonly [AnyKey, unknown])[] {
  return Object.entries(tree).flatMap(([name, node]) => {
    const value = (values as Record<string, unknown> | undefined)?.[name];
    return node instanceof ConfigKey ? [[node as unknown as AnyKey, value] as const] : flatten(node, value);
  });
}

/** All keys in the order of the table. */
export const ALL_KEYS: readonly AnyKey[] = flatten(CONFIG_KEYS as unknown as KeyTree, {}).map(([each]) => each);
