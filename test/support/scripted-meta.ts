import { createServer, type Server, type Socket } from 'node:net';
import { FrameDecoder } from '../../src/wire/frame-decoder.ts';
import { RequestHead, requestFrameLength } from '../../src/wire/request-frame.ts';
import { ResponseHead } from '../../src/wire/response-frame.ts';

/** What to do with a request: `frame` is a copy, `seqId` what it was sent under. */
export type Script = (request: { frame: Buffer; seqId: number; seqIdOffset: number }, socket: Socket) => void;

/** A MetaServer that does what a test tells it, byte by byte; for everything usual there is the simulated cluster. */
export class ScriptedMeta {
  /** Every request frame as it came. */
  readonly received: Buffer[] = [];
  script: Script = () => {};
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
  }

  static async start(): Promise<ScriptedMeta> {
    const meta = new ScriptedMeta();
    await new Promise<void>((resolve) => meta.#server.listen(0, '127.0.0.1', resolve));
    return meta;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    const head = new RequestHead();
    const decoder = new FrameDecoder(requestFrameLength, 1024 * 1024, (view) => {
      const frame = Buffer.from(view);
      head.read(frame);
      this.received.push(frame);
      this.script({ frame, seqId: head.seqId, seqIdOffset: head.seqIdOffset }, socket);
      return true;
    });
    socket.on('data', (chunk) => decoder.push(chunk));
  }
}

/** A response frame under another seqId. */
export function withSeqId(response: Buffer, seqId: number): Buffer {
  const frame = Buffer.from(response);
  const head = new ResponseHead();
  head.read(frame);
  frame.writeInt32BE(seqId, head.seqIdOffset);
  return frame;
}
