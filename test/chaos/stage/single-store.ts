import { endSession, ZooKeeperForwarder } from '../../support/zookeeper-forwarder.ts';
import { freePort, startZooKeeper, type ZooKeeperProcess } from '../../support/zookeeper-server.ts';
import { now } from '../clock.ts';
import { type ChaosStore, StoreHealth } from './store.ts';

/**
 * One real ZooKeeper. The proxy reaches it through a forwarder that can play a cut cable, and its list of servers names
 * a dead one, too. The runner writes to it directly.
 */
export class SingleStore implements ChaosStore {
  readonly health = new StoreHealth();
  readonly servers: readonly string[];
  readonly writeServers: string;
  readonly #server: ZooKeeperProcess;
  readonly #forwarder: ZooKeeperForwarder;

  private constructor(server: ZooKeeperProcess, forwarder: ZooKeeperForwarder, deadPort: number) {
    this.#server = server;
    this.#forwarder = forwarder;
    this.servers = [`127.0.0.1:${deadPort}`, forwarder.address];
    this.writeServers = server.address;
  }

  static async start(): Promise<SingleStore> {
    const server = await startZooKeeper();
    return new SingleStore(server, await ZooKeeperForwarder.start(server.port), await freePort());
  }

  freeze(): void {
    this.health.lost();
    this.#server.freeze();
  }

  /** It is there again from the moment of its thawing, whatever it has to catch up on. */
  thaw(): void {
    this.#server.thaw();
    this.health.readable();
  }

  async kill(): Promise<void> {
    this.health.lost();
    await this.#server.kill();
  }

  async restart(): Promise<void> {
    await this.#server.restart();
    this.health.readable();
  }

  /** Nothing passes between the proxy and ZooKeeper, and nothing is closed. */
  cut(): void {
    this.health.lost();
    this.#forwarder.cut();
  }

  mend(): void {
    this.#forwarder.mend();
    this.health.readable();
  }

  /** Ends the proxy's session, as the server does with one that has expired. */
  async expireSession(): Promise<void> {
    const { connectResponse } = this.#forwarder.last;
    this.health.lost();
    if (connectResponse !== undefined) await endSession(this.#server.port, connectResponse);
    this.health.readable(now());
  }

  async restore(): Promise<void> {
    this.#server.thaw();
    this.#forwarder.mend();
    if (this.#server.pid === undefined) await this.#server.restart();
    if (this.health.readableSince === undefined) this.health.readable();
  }

  async stop(): Promise<void> {
    await this.#forwarder.stop();
    await this.#server.stop();
  }
}
