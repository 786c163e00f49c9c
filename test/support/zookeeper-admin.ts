import zookeeper from 'node-zookeeper-client';

type Client = ReturnType<typeof zookeeper.createClient>;

/** What a test writes as: `auth` is `digest`, `user:password`; `protect` keeps the nodes it creates from all others. */
export interface ZooKeeperAdminOptions {
  readonly auth?: { readonly scheme: string; readonly credentials: string };
  readonly protect?: boolean;
}

/** How long a call may take, a restart of the server included. */
const CALL_TIMEOUT_MS = 15_000;
const ATTEMPT_TIMEOUT_MS = 2_000;
const CLOSE_TIMEOUT_MS = 500;

/**
 * Writes to a ZooKeeper from a test, over a connection of its own. A call that meets a lost connection is tried again
 * with a new client until its deadline (so `put` and `delete` may take effect twice).
 */
export class ZooKeeperAdmin {
  readonly #addresses: string;
  readonly #options: ZooKeeperAdminOptions;
  #client: Client | undefined;

  constructor(addresses: string, options: ZooKeeperAdminOptions = {}) {
    this.#addresses = addresses;
    this.#options = options;
  }

  /** Creates the node, and its parents, or sets its content. */
  async put(path: string, content: string | Uint8Array): Promise<void> {
    const data = Buffer.from(content);
    try {
      await this.#call<void>((client, done) => client.setData(path, data, (error) => done(error)));
    } catch (error) {
      if (codeOf(error) !== zookeeper.Exception.NO_NODE) throw error;
      const parent = path.slice(0, path.lastIndexOf('/'));
      if (parent !== '') await this.#call<void>((client, done) => client.mkdirp(parent, (e) => done(e)));
      await this.#create(path, data);
    }
  }

  async delete(path: string): Promise<void> {
    await this.#call<void>((client, done) => client.remove(path, (error) => done(error)));
  }

  /** Undefined where there is no such node. */
  async get(path: string): Promise<{ content: Buffer; mzxid: bigint } | undefined> {
    try {
      return await this.#call((client, done) =>
        client.getData(path, (error, data, stat) =>
          done(error, error ? undefined : { content: data ?? Buffer.alloc(0), mzxid: stat.mzxid.readBigInt64BE() }),
        ),
      );
    } catch (error) {
      if (codeOf(error) === zookeeper.Exception.NO_NODE) return undefined;
      throw error;
    }
  }

  /** Closes the session on the server; doesn't wait for one that is silent. */
  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    if (client === undefined) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, CLOSE_TIMEOUT_MS);
      client.once('disconnected', () => {
        clearTimeout(timer);
        resolve();
      });
      client.close();
    });
  }

  async #create(path: string, data: Buffer): Promise<void> {
    const owner = new zookeeper.ACL(zookeeper.Permission.ALL, new zookeeper.Id('auth', ''));
    await this.#call<void>((client, done) => {
      if (this.#options.protect) client.create(path, data, [owner], (error) => done(error));
      else client.create(path, data, (error) => done(error));
    });
  }

  /** One call; the library never gives up on a silent server and is dead after an expiry, hence the new clients. */
  async #call<T>(start: (client: Client, done: (error: unknown, value?: T) => void) => void): Promise<T> {
    const deadline = performance.now() + CALL_TIMEOUT_MS;
    for (;;) {
      const client = this.#connected();
      try {
        return await new Promise<T>((resolve, reject) => {
          const timer = setTimeout(() => reject(new Error('no answer from ZooKeeper')), ATTEMPT_TIMEOUT_MS);
          start(client, (error, value) => {
            clearTimeout(timer);
            if (error) reject(error);
            else resolve(value as T);
          });
        });
      } catch (error) {
        const code = codeOf(error);
        const isAnswer = code !== undefined && code !== zookeeper.Exception.CONNECTION_LOSS;
        if (isAnswer && code !== zookeeper.Exception.SESSION_EXPIRED) throw error;
        client.close();
        if (this.#client === client) this.#client = undefined;
        if (performance.now() >= deadline) throw error;
      }
    }
  }

  #connected(): Client {
    if (this.#client === undefined) {
      const client = zookeeper.createClient(this.#addresses, { sessionTimeout: 10_000, spinDelay: 50 });
      const auth = this.#options.auth;
      if (auth !== undefined) client.addAuthInfo(auth.scheme, Buffer.from(auth.credentials));
      client.connect();
      this.#client = client;
    }
    return this.#client;
  }
}

function codeOf(error: unknown): number | undefined {
  return error instanceof zookeeper.Exception ? error.code : undefined;
}
