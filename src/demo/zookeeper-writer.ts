import zookeeper from 'node-zookeeper-client';
import { ZookeeperClient } from '../routing/zookeeper-client.ts';
import { parseServers } from '../routing/zookeeper-servers.ts';
import { formatHostPort, type HostPort } from '../wire/host-port.ts';
import { DemoFailure, within } from './demo-failure.ts';

const SESSION_TIMEOUT_MS = 10_000;
const PROBE_TIMEOUT_MS = 5_000;
const CALL_TIMEOUT_MS = 5_000;

type Library = ReturnType<typeof zookeeper.createClient>;
type Callback<T> = (error: Error | zookeeper.Exception | null, value?: T) => void;

/** Why this server is no ZooKeeper that one can work with; undefined where it is. */
export async function probeZookeeper(server: HostPort, timeoutMs = PROBE_TIMEOUT_MS): Promise<string | undefined> {
  const options = { server, sessionTimeoutMs: SESSION_TIMEOUT_MS, lastZxid: 0n, probePath: '/' };
  return await new Promise((resolve) => {
    const client = new ZookeeperClient(options, {
      onReady: () => {
        clearTimeout(timer);
        client.close();
        resolve(undefined);
      },
      onEvent: () => {},
      onEnd: ({ reason }) => {
        clearTimeout(timer);
        resolve(reason);
      },
    });
    const timer = setTimeout(() => client.destroy(`no session within ${timeoutMs / 1000} s`), timeoutMs);
    client.connect();
  });
}

/** Writes znodes, as an operator's tools do; the proxy itself never writes. */
export class ZookeeperWriter {
  readonly #library: Library;

  private constructor(library: Library) {
    this.#library = library;
  }

  /** Throws `DemoFailure` where there is no ZooKeeper at any of these addresses ("host:port,host:port"). */
  static async connect(servers: string): Promise<ZookeeperWriter> {
    const probes = parseServers(servers).map(async (server) => {
      const problem = await probeZookeeper(server);
      if (problem !== undefined) throw new DemoFailure(`no ZooKeeper at ${formatHostPort(server)}: ${problem}`);
    });
    await Promise.any(probes).catch((error: AggregateError) => {
      throw error.errors[0];
    });
    const library = zookeeper.createClient(servers, { sessionTimeout: SESSION_TIMEOUT_MS });
    const connected = new Promise<void>((resolve) => library.once('connected', resolve));
    library.connect();
    await within(PROBE_TIMEOUT_MS, `a session with the ZooKeeper at ${servers}`, connected);
    return new ZookeeperWriter(library);
  }

  /** Creates the znode and its parents. */
  async create(path: string, content: string): Promise<void> {
    await this.#call<string>('creating', path, (done) => this.#library.mkdirp(path, Buffer.from(content), done));
    await this.set(path, content);
  }

  async set(path: string, content: string): Promise<void> {
    await this.#call('writing', path, (done) => this.#library.setData(path, Buffer.from(content), done));
  }

  async get(path: string): Promise<string> {
    const content = await this.#call<Buffer>('reading', path, (done) => this.#library.getData(path, done));
    return content?.toString() ?? '';
  }

  async children(path: string): Promise<string[]> {
    return (await this.#call<string[]>('listing', path, (done) => this.#library.getChildren(path, done))) ?? [];
  }

  /** Removes the znode and its children. */
  async remove(path: string): Promise<void> {
    const remove = (one: string) => this.#call<void>('removing', one, (done) => this.#library.remove(one, done));
    for (const child of await this.children(path)) await remove(`${path}/${child}`);
    await remove(path);
  }

  close(): void {
    this.#library.close();
  }

  async #call<T>(doing: string, path: string, start: (done: Callback<T>) => void): Promise<T | undefined> {
    const call = new Promise<T | undefined>((resolve, reject) => {
      start((error, value) => {
        if (error)
          reject(
            new DemoFailure(`${doing} ${path} in ZooKeeper: ${error instanceof Error ? error.message : String(error)}`),
          );
        else resolve(value);
      });
    });
    return await within(CALL_TIMEOUT_MS, `${doing} ${path} in ZooKeeper`, call);
  }
}
