import { waitFor } from '../../support/wait-for.ts';
import {
  freePort,
  startEnsemble,
  type ZooKeeperEnsemble,
  type ZooKeeperProcess,
} from '../../support/zookeeper-server.ts';
import { now } from '../clock.ts';
import { type ChaosStore, StoreHealth } from './store.ts';

/** So many addresses of the proxy's list are dead: half of it. */
const DEAD_ADDRESSES = 3;
const ELECTION_TIMEOUT_MS = 30_000;

/** A real ensemble of three, in a list of which half is dead. */
export class EnsembleStore implements ChaosStore {
  readonly health = new StoreHealth();
  readonly servers: readonly string[];
  readonly #ensemble: ZooKeeperEnsemble;
  readonly #victims = new Set<ZooKeeperProcess>();

  private constructor(ensemble: ZooKeeperEnsemble, dead: readonly string[]) {
    this.#ensemble = ensemble;
    this.servers = [...ensemble.members.map(({ address }) => address), ...dead];
  }

  static async start(): Promise<EnsembleStore> {
    const ensemble = await startEnsemble();
    const dead: string[] = [];
    for (let i = 0; i < DEAD_ADDRESSES; i++) dead.push(`127.0.0.1:${await freePort()}`);
    return new EnsembleStore(ensemble, dead);
  }

  /** The members that nothing has been done to. What waits in a frozen one must not be written late, over newer things. */
  get writeServers(): string {
    const members = this.#ensemble.members.filter((member) => !this.#victims.has(member));
    return members.map(({ address }) => address).join(',');
  }

  async leader(): Promise<ZooKeeperProcess> {
    return await this.#ensemble.leader();
  }

  async follower(): Promise<ZooKeeperProcess> {
    const leader = await this.leader();
    return this.#ensemble.members.find((member) => member !== leader) as ZooKeeperProcess;
  }

  /** kill -9; resolves once the others serve. */
  async kill(member: ZooKeeperProcess): Promise<void> {
    this.health.lost();
    this.#victims.add(member);
    await member.kill();
    await this.#othersServe();
    this.health.readable();
  }

  /** kill -9 of two: the third serves nobody until `restore()`. */
  async killTwo(): Promise<void> {
    this.health.lost();
    const two = this.#ensemble.members.slice(0, 2);
    for (const member of two) this.#victims.add(member);
    await Promise.all(two.map((member) => member.kill()));
  }

  /** Resolves once the others serve. The proxy may take `noticeMs` to notice that its server is silent. */
  async freeze(member: ZooKeeperProcess, noticeMs: number): Promise<void> {
    this.health.lost();
    const frozenAt = now();
    this.#victims.add(member);
    member.freeze();
    await this.#othersServe();
    this.health.readable(Math.max(now(), frozenAt + noticeMs));
  }

  async restore(): Promise<void> {
    // Together, for one alone may have no quorum to serve with.
    await Promise.all([...this.#victims].map((member) => revive(member)));
    this.#victims.clear();
    if (this.health.readableSince === undefined) this.health.readable();
  }

  async stop(): Promise<void> {
    await this.#ensemble.stop();
  }

  async #othersServe(): Promise<void> {
    const others = this.#ensemble.members.filter((member) => !this.#victims.has(member));
    await waitFor(
      async () => {
        const modes = await Promise.all(others.map((member) => member.mode()));
        return modes.includes('leader') && modes.every((mode) => mode !== undefined);
      },
      { what: 'the others to elect a leader', timeoutMs: ELECTION_TIMEOUT_MS },
    );
  }
}

async function revive(member: ZooKeeperProcess): Promise<void> {
  member.thaw();
  if (member.pid === undefined) await member.restart();
  else await member.serving();
}
