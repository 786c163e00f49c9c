import { connect, type Socket } from 'node:net';
import { FrameDecoder } from '../../src/wire/frame-decoder.ts';
import { parseHostPort } from '../../src/wire/host-port.ts';
import {
  type DecodedResponse,
  decodeResponse,
  encodeRequest,
  type RequestOptions,
} from '../../src/wire/message-frame.ts';
import { type QueryCfgResponse, queryCfgRpc, type Rpc } from '../../src/wire/messages.ts';
import { responseFrameLength } from '../../src/wire/response-frame.ts';

const MAX_RESPONSE_BYTES = 64 * 1024 * 1024;
const DEFAULT_DEADLINE_MS = 10_000;

/** How a query is sent, and how long its answer is waited for. */
export interface QueryOptions extends RequestOptions {
  /** The client's next one unless told. */
  readonly seqId?: number;
  /** partition_indices; absent from the wire unless told. */
  readonly indices?: readonly number[];
  /** Milliseconds; 10 s unless told. */
  readonly deadlineMs?: number;
}

/** A response, its result read, and the frame itself. */
export type Answered<R> = DecodedResponse & { readonly result: R | undefined; readonly frame: Buffer };

export type QueryAnswer = Answered<QueryCfgResponse>;

/** How a connection ended: in good order (FIN), or with the socket's error. */
export interface Closed {
  readonly error: NodeJS.ErrnoException | undefined;
}

interface Waiter {
  readonly seqId: number;
  readonly resolve: (frame: Buffer) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** A THFT client without any cleverness: what it is told goes out, what comes back is kept. */
export class RawClient {
  /** Every response frame, in the order of their coming. */
  readonly frames: Buffer[] = [];
  /** Resolves once the connection is closed, for whatever reason. */
  readonly closed: Promise<Closed>;
  readonly socket: Socket;
  readonly #waiters: Waiter[] = [];
  /** Frames that nobody waited for when they came. */
  readonly #unclaimed: { readonly seqId: number; readonly frame: Buffer }[] = [];
  #lastSeqId = 0;
  #error: NodeJS.ErrnoException | undefined;
  #isClosed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    const decoder = new FrameDecoder(responseFrameLength, MAX_RESPONSE_BYTES, (frame) => this.#take(frame));
    socket.on('data', (chunk) => {
      try {
        decoder.push(chunk);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    this.closed = new Promise((resolve) => {
      socket.on('error', (error) => {
        this.#error = error;
      });
      socket.on('close', () => {
        this.#isClosed = true;
        this.#rejectAll();
        resolve({ error: this.#error });
      });
    });
  }

  /** Connects to "host:port", from `localAddress` where given. */
  static connect(address: string, localAddress?: string): Promise<RawClient> {
    const to = parseHostPort(address);
    if (to === undefined) return Promise.reject(new Error(`not host:port: ${address}`));
    return new Promise((resolve, reject) => {
      const socket = connect({ ...to, noDelay: true, ...(localAddress === undefined ? {} : { localAddress }) });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new RawClient(socket));
      });
    });
  }

  /** Sends any bytes. */
  sendRaw(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  /** Sends a query-config and nothing else; returns its seqId, for `response()`. */
  sendQuery(table: string, options: QueryOptions = {}): number {
    return this.send(queryCfgRpc, queryArgs(table, options), options);
  }

  /** Sends a query-config and awaits its answer. */
  async query(table: string, options: QueryOptions = {}): Promise<QueryAnswer> {
    return this.call(queryCfgRpc, queryArgs(table, options), options);
  }

  /** Sends a request of any RPC; returns its seqId. */
  send<A>(rpc: Rpc<A, unknown>, args: A, options: QueryOptions = {}): number {
    const seqId = options.seqId ?? ++this.#lastSeqId;
    this.sendRaw(encodeRequest({ ...options, rpc, seqId, args }));
    return seqId;
  }

  /** Sends a request of any RPC and awaits its answer. */
  async call<A, R>(rpc: Rpc<A, R>, args: A, options: QueryOptions = {}): Promise<Answered<R>> {
    const seqId = this.send(rpc, args, options);
    const frame = await this.response(seqId, options.deadlineMs);
    return { ...decodeResponse(frame, rpc as Rpc<unknown, R>), frame };
  }

  /**
   * The next response frame with this seqId, one that nobody has claimed included. Rejects when the deadline passes or
   * the connection closes first.
   */
  response(seqId: number, deadlineMs = DEFAULT_DEADLINE_MS): Promise<Buffer> {
    const known = this.#unclaimed.findIndex((one) => one.seqId === seqId);
    if (known >= 0) return Promise.resolve((this.#unclaimed.splice(known, 1)[0] as { frame: Buffer }).frame);
    if (this.#isClosed) return Promise.reject(this.#closedError(seqId));
    return new Promise((resolve, reject) => {
      const expire = () => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(new Error(`no answer to seqId ${seqId} within ${deadlineMs} ms`));
      };
      const waiter = { seqId, resolve, reject, timer: setTimeout(expire, deadlineMs) };
      this.#waiters.push(waiter);
    });
  }

  /** Frames that came and were not claimed by a `response()`. */
  get unclaimed(): readonly Buffer[] {
    return this.#unclaimed.map(({ frame }) => frame);
  }

  /** Ends the connection in good order, and waits until it is closed. */
  async close(): Promise<void> {
    this.socket.destroySoon();
    await this.closed;
  }

  /** Ends the connection with a reset. */
  async reset(): Promise<void> {
    this.socket.resetAndDestroy();
    await this.closed;
  }

  #take(frame: Buffer): boolean {
    this.frames.push(frame);
    const { seqId } = decodeResponse(frame);
    const at = this.#waiters.findIndex((waiter) => waiter.seqId === seqId);
    if (at < 0) {
      this.#unclaimed.push({ seqId, frame });
      return true;
    }
    const [waiter] = this.#waiters.splice(at, 1) as [Waiter];
    clearTimeout(waiter.timer);
    waiter.resolve(frame);
    return true;
  }

  #rejectAll(): void {
    for (const waiter of this.#waiters.splice(0)) {
      clearTimeout(waiter.timer);
      waiter.reject(this.#closedError(waiter.seqId));
    }
  }

  #closedError(seqId: number): Error {
    return new Error(`the connection closed before the answer to seqId ${seqId}`, { cause: this.#error });
  }
}

function queryArgs(table: string, { indices }: QueryOptions) {
  return { app_name: table, ...(indices === undefined ? {} : { partition_indices: indices }) };
}
