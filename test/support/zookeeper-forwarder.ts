import { connect, createServer, type Server, type Socket } from 'node:net';
import { ZookeeperFrames } from '../../src/routing/zookeeper-frames.ts';
import { freePort } from './zookeeper-process.ts';

const MAX_FRAME = 8 * 1024 * 1024;
const TYPE_OFFSET = 8;
const CONNECT_RESPONSE_SESSION = 12;

/** One connection through the forwarder, and what went over it. */
export interface ForwardedConnection {
  /** The frame that asks for a session, its length included; undefined until it has come. */
  connectRequest: Buffer | undefined;
  connectResponse: Buffer | undefined;
  /** The operation codes of the requests after it, in order (ZooDefs.OpCode: 4 getData, 101 setWatches, …). */
  readonly operations: number[];
  readonly client: Socket;
  readonly server: Socket;
}

/**
 * Stands between a client and a ZooKeeper: notes what the client asks, and can play the cable. Frames are forwarded as
 * they come.
 */
export class ZooKeeperForwarder {
  readonly connections: ForwardedConnection[] = [];
  readonly port: number;
  readonly address: string;
  readonly #targetPort: number;
  readonly #server: Server;
  #silent = false;

  private constructor(port: number, targetPort: number) {
    this.port = port;
    this.address = `127.0.0.1:${port}`;
    this.#targetPort = targetPort;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async start(targetPort: number): Promise<ZooKeeperForwarder> {
    const forwarder = new ZooKeeperForwarder(await freePort(), targetPort);
    await new Promise<void>((resolve, reject) => {
      forwarder.#server.once('error', reject);
      forwarder.#server.listen(forwarder.port, '127.0.0.1', resolve);
    });
    return forwarder;
  }

  /** The newest connection. */
  get last(): ForwardedConnection {
    const connection = this.connections.at(-1);
    if (connection === undefined) throw new Error('nobody has connected');
    return connection;
  }

  /** Lets nothing through either way, and closes nothing, as a cut cable does; connections are still accepted. */
  cut(): void {
    this.#silent = true;
    for (const { client, server } of this.connections) {
      client.pause();
      server.pause();
    }
  }

  mend(): void {
    this.#silent = false;
    for (const { client, server } of this.connections) {
      client.resume();
      server.resume();
    }
  }

  /** Hangs up on every client. */
  drop(): void {
    for (const { client, server } of this.connections) {
      client.destroy();
      server.destroy();
    }
  }

  async stop(): Promise<void> {
    this.drop();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(client: Socket): void {
    const server = connect({ host: '127.0.0.1', port: this.#targetPort });
    const connection: ForwardedConnection = {
      connectRequest: undefined,
      connectResponse: undefined,
      operations: [],
      client,
      server,
    };
    this.connections.push(connection);
    const requests = new ZookeeperFrames(MAX_FRAME);
    const responses = new ZookeeperFrames(MAX_FRAME);
    client.on('data', (chunk: Buffer) => {
      requests.push(chunk, (frame) => {
        if (connection.connectRequest === undefined) connection.connectRequest = Buffer.from(frame);
        else connection.operations.push(frame.readInt32BE(TYPE_OFFSET));
      });
      server.write(chunk);
    });
    server.on('data', (chunk: Buffer) => {
      responses.push(chunk, (frame) => {
        connection.connectResponse ??= Buffer.from(frame);
      });
      client.write(chunk);
    });
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.on('error', () => {});
      from.on('close', () => to.destroy());
    }
    if (this.#silent) {
      client.pause();
      server.pause();
    }
  }
}

/**
 * Ends another connection's session on the server, as its expiry would: joins the session with the id and password of
 * that connection's connect response, and closes it. Resolves when the server has confirmed.
 */
export function endSession(port: number, connectResponse: Buffer): Promise<void> {
  const session = connectResponse.subarray(CONNECT_RESPONSE_SESSION, CONNECT_RESPONSE_SESSION + 8);
  const password = connectResponse.subarray(CONNECT_RESPONSE_SESSION + 8, CONNECT_RESPONSE_SESSION + 28);
  const request = Buffer.concat([Buffer.alloc(4 + 4 + 8 + 4), session, password]);
  request.writeInt32BE(request.length - 4, 0);
  request.writeInt32BE(10_000, 16);
  const close = Buffer.alloc(12);
  close.writeInt32BE(8, 0);
  close.writeInt32BE(1, 4);
  close.writeInt32BE(-11, 8);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port }, () => socket.write(request));
    socket.once('data', () => socket.write(close));
    socket.on('error', reject);
    socket.on('close', () => resolve());
  });
}
