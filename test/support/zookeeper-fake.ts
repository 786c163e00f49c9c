import { createServer, type Server, type Socket } from 'node:net';
import { ZookeeperFrames } from '../../src/routing/zookeeper-frames.ts';

const MAX_FRAME = 1024 * 1024;

/** A request as the fake got it; a connect request has type and xid 0. */
export interface FakeRequest {
  readonly xid: number;
  /** ZooDefs.OpCode. */
  readonly type: number;
  readonly frame: Buffer;
  /** Which connection, counted from 0. */
  readonly connection: number;
  readonly socket: Socket;
}

/** Answers one request with whole frames, to be sent in one chunk; undefined for silence. */
export type FakeScript = (request: FakeRequest) => Buffer | undefined;

/** A scripted TCP server that speaks ZooKeeper's frames, for what a real one can't be made to do. */
export class FakeZooKeeper {
  readonly requests: FakeRequest[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #connections = 0;

  private constructor(script: FakeScript) {
    this.#server = createServer((socket) => this.#accept(socket, script));
  }

  static async start(script: FakeScript): Promise<FakeZooKeeper> {
    const fake = new FakeZooKeeper(script);
    await new Promise<void>((resolve) => fake.#server.listen(0, '127.0.0.1', resolve));
    return fake;
  }

  get address(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('not listening');
    return `127.0.0.1:${address.port}`;
  }

  get connections(): number {
    return this.#connections;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket, script: FakeScript): void {
    const connection = this.#connections;
    this.#connections += 1;
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    const frames = new ZookeeperFrames(MAX_FRAME);
    let isFirst = true;
    socket.on('data', (chunk: Buffer) => {
      frames.push(chunk, (whole) => {
        const frame = Buffer.from(whole);
        const xid = isFirst ? 0 : frame.readInt32BE(4);
        const type = isFirst ? 0 : frame.readInt32BE(8);
        isFirst = false;
        const request = { xid, type, frame, connection, socket };
        this.requests.push(request);
        const answer = script(request);
        if (answer !== undefined && !socket.destroyed) socket.write(answer);
      });
    });
  }
}

/** ZooDefs.OpCode. */
export const OP = { connect: 0, exists: 3, getData: 4, ping: 11, closeSession: -11 } as const;

/** A connect response: protocol version, timeout in ms, session id, password. */
export function connectResponse(timeoutMs: number, passwordLength = 16): Buffer {
  const body = Buffer.alloc(4 + 4 + 8 + 4 + 16);
  body.writeInt32BE(timeoutMs, 4);
  body.writeBigInt64BE(0x1234n, 8);
  body.writeInt32BE(passwordLength, 16);
  return framed(body);
}

/** A reply: xid, zxid, err, payload. */
export function reply(request: FakeRequest, zxid: bigint, err: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(16);
  header.writeInt32BE(request.xid, 0);
  header.writeBigInt64BE(zxid, 4);
  header.writeInt32BE(err, 12);
  return framed(Buffer.concat([header, payload]));
}

/** A watch event: xid -1, zxid -1, err 0, type (1 created, 2 deleted, 3 changed), state connected, path. */
export function notification(type: number, path: string): Buffer {
  const body = Buffer.alloc(16 + 12 + Buffer.byteLength(path));
  body.writeInt32BE(-1, 0);
  body.writeBigInt64BE(-1n, 4);
  body.writeInt32BE(type, 16);
  body.writeInt32BE(3, 20);
  body.writeInt32BE(Buffer.byteLength(path), 24);
  body.write(path, 28);
  return framed(body);
}

/** A znode's stat, with nothing but its mzxid. */
export function stat(mzxid: bigint): Buffer {
  const buffer = Buffer.alloc(68);
  buffer.writeBigInt64BE(mzxid, 8);
  return buffer;
}

/** The payload of a getData reply; `claimedLength` for one that lies. */
export function nodeData(content: string, mzxid: bigint, claimedLength = Buffer.byteLength(content)): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(claimedLength);
  return Buffer.concat([length, Buffer.from(content), stat(mzxid)]);
}

export function framed(body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length);
  return Buffer.concat([length, body]);
}
