import { waitFor } from './wait-for.ts';
import { installZooKeeper } from './zookeeper-install.ts';
import { freePort, ZooKeeperProcess } from './zookeeper-process.ts';

/** Small, so that a session may be as short as 200 ms and expiry is seen soon. */
const TICK_TIME_MS = 100;
const START_ATTEMPTS = 3;

export interface StartZooKeeperOptions {
  /** A port from `freePort()`, for a server that has to be known before it runs. By default it finds one itself. */
  readonly port?: number;
  readonly tickTimeMs?: number;
}

/** Starts a real, empty ZooKeeper on 127.0.0.1 and resolves when it serves. It dies with this process at the latest. */
export async function startZooKeeper(options: StartZooKeeperOptions = {}): Promise<ZooKeeperProcess> {
  const { classPath } = installZooKeeper();
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port ?? (await freePort());
    const server = new ZooKeeperProcess({ classPath, port, tickTimeMs: options.tickTimeMs ?? TICK_TIME_MS });
    server.launch();
    try {
      await server.serving();
      return server;
    } catch (error) {
      await server.stop();
      // Another test may have taken the port between the look and the start.
      if (attempt >= START_ATTEMPTS || options.port !== undefined) throw error;
    }
  }
}

/** Several servers that elect a leader among them; each can be killed, frozen and restarted on its own. */
export class ZooKeeperEnsemble {
  readonly members: readonly ZooKeeperProcess[];

  constructor(members: readonly ZooKeeperProcess[]) {
    this.members = members;
  }

  /** `127.0.0.1:port,127.0.0.1:port,…`, as a client is configured. */
  get addresses(): string {
    return this.members.map((member) => member.address).join(',');
  }

  /** The member that leads now; waits for an election in progress. */
  async leader(): Promise<ZooKeeperProcess> {
    return await waitFor(
      async () => {
        const modes = await Promise.all(this.members.map((member) => member.mode()));
        const at = modes.indexOf('leader');
        return at >= 0 && modes.includes('follower') ? this.members[at] : undefined;
      },
      { timeoutMs: 30_000, what: 'a leader' },
    );
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop()));
  }
}

/** Starts a real ensemble on 127.0.0.1 and resolves when every member serves. */
export async function startEnsemble(size = 3): Promise<ZooKeeperEnsemble> {
  const { classPath } = installZooKeeper();
  const ports: number[] = [];
  while (ports.length < size * 3) {
    const port = await freePort();
    if (!ports.includes(port)) ports.push(port);
  }
  const lines = Array.from(
    { length: size },
    (_, i) => `server.${i + 1}=127.0.0.1:${ports[i * 3 + 1]}:${ports[i * 3 + 2]}`,
  );
  const members = lines.map(
    (_, i) => new ZooKeeperProcess({ classPath, port: ports[i * 3]!, tickTimeMs: TICK_TIME_MS, lines, id: i + 1 }),
  );
  for (const member of members) member.launch();
  const ensemble = new ZooKeeperEnsemble(members);
  try {
    await Promise.all(members.map((member) => member.serving()));
    return ensemble;
  } catch (error) {
    await ensemble.stop();
    throw error;
  }
}

export { ZooKeeperAdmin } from './zookeeper-admin.ts';
export { freePort, installZooKeeper, type ZooKeeperProcess };
