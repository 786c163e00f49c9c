import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ZookeeperClient } from '../../../src/routing/zookeeper-client.ts';
import { ZookeeperProbe } from '../../../src/routing/zookeeper-probe.ts';
import { waitFor } from '../../support/wait-for.ts';

const SESSION_TIMEOUT_MS = 300;
const INTERVAL_MS = SESSION_TIMEOUT_MS / 3;

/** What a probe needs of a client, over a real socket: bytes arrive when the event loop comes to its sockets. */
class Client {
  readonly sessionTimeoutMs = SESSION_TIMEOUT_MS;
  bytesReceived = 1;
  probes = 0;
  onProbe: () => void = () => {};

  exists(_path: string, _watch: boolean, done: () => void): void {
    this.probes += 1;
    this.onProbe();
    done();
  }
}

describe('ZookeeperProbe', () => {
  let server: Server;
  let near: Socket;
  let far: Socket;
  let client: Client;
  let probe: ZookeeperProbe;
  let silences: string[];

  beforeEach(async () => {
    const accepted = new Promise<Socket>((resolve) => {
      server = createServer(resolve);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('not listening');
    near = connect({ host: '127.0.0.1', port: address.port });
    far = await accepted;
    client = new Client();
    near.on('data', (chunk) => {
      client.bytesReceived += chunk.length;
    });
    silences = [];
    probe = new ZookeeperProbe(client as unknown as ZookeeperClient, '/', (reason) => silences.push(reason));
    probe.start();
  });

  afterEach(async () => {
    probe.stop();
    near.destroy();
    far.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  it('tells of silence within two thirds of the session timeout, and only once', async () => {
    await waitFor(() => client.probes === 1);
    const probedAt = performance.now();
    await waitFor(() => silences.length === 1);
    expect(performance.now() - probedAt).toBeLessThan(2 * INTERVAL_MS);
    expect(silences).toEqual([`no sign of life for ${INTERVAL_MS} ms`]);
    expect(client.probes).toBe(1);
  });

  it('goes on for as long as anything comes back', async () => {
    client.onProbe = () => far.write('x');
    await waitFor(() => client.probes === 4);
    expect(silences).toEqual([]);
  });

  it('counts an answer that came while the process was busy', async () => {
    client.onProbe = () => {
      // In an immediate: timers come next, and the next one is due before the socket has been looked at.
      setImmediate(() => {
        far.write('x');
        const until = performance.now() + 2 * INTERVAL_MS;
        while (performance.now() < until) {}
      });
    };
    await waitFor(() => client.probes === 3);
    expect(silences).toEqual([]);
  });

  it('says nothing once stopped', async () => {
    await waitFor(() => client.probes === 1);
    probe.stop();
    const stoppedAt = performance.now();
    await waitFor(() => performance.now() - stoppedAt > 2 * INTERVAL_MS);
    expect(silences).toEqual([]);
    expect(client.probes).toBe(1);
  });
});
