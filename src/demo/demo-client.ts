import { connect, type Socket } from 'node:net';
import { FrameDecoder } from '../wire/frame-decoder.ts';
import { parseHostPort } from '../wire/host-port.ts';
import { type DecodedResponse, decodeResponse, encodeRequest, type RequestOptions } from '../wire/message-frame.ts';
import { getRpc, putRpc, queryCfgRpc, type Rpc } from '../wire/messages.ts';
import { responseFrameLength } from '../wire/response-frame.ts';
import { DemoFailure, within } from './demo-failure.ts';

const MAX_RESPONSE_BYTES = 64 * 1024 * 1024;
const ANSWER_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** What a client would say: as long as this it waits, so the proxy has time to find a new leader. */
const CLIENT_TIMEOUT_MS = 5_000;

/** What a client learns about a table. */
export interface TableAnswer {
  readonly table: string;
  /** The error's name; ERR_OK for none. */
  readonly err: string;
  readonly appId: number;
  readonly partitionCount: number;
  /** Of every partition, in order; for a redirect, the leader. */
  readonly primaries: readonly string[];
  readonly tookMs: number;
}

interface Waiter {
  readonly resolve: (frame: Buffer) => void;
  readonly reject: (error: Error) => void;
}

/** One TCP connection that speaks as the official clients do (THFT frames, header version 0). */
export class DemoClient {
  readonly address: string;
  readonly #socket: Socket;
  readonly #waiters = new Map<number, Waiter>();
  /** How many answers came with each error's name. */
  readonly outcomes = new Map<string, number>();
  #sent = 0;
  #closed = false;

  private constructor(address: string, socket: Socket) {
    this.address = address;
    this.#socket = socket;
    const decoder = new FrameDecoder(responseFrameLength, MAX_RESPONSE_BYTES, (frame) => this.#take(frame));
    socket.on('data', (chunk) => {
      try {
        decoder.push(chunk);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#closed = true;
      const error = new DemoFailure(`the connection to ${address} was closed before the answer came`);
      for (const { reject } of this.#waiters.values()) reject(error);
      this.#waiters.clear();
    });
  }

  /** Connects to "host:port". */
  static async connect(address: string): Promise<DemoClient> {
    const to = parseHostPort(address);
    if (to === undefined) throw new DemoFailure(`not host:port: ${address}`);
    const socket = connect({ ...to, noDelay: true });
    const connected = new Promise<void>((resolve, reject) => {
      socket.once('error', (error) => reject(new DemoFailure(`no connection to ${address}: ${error.message}`)));
      socket.once('connect', resolve);
    });
    await within(CONNECT_TIMEOUT_MS, `a connection to ${address}`, connected);
    return new DemoClient(address, socket);
  }

  /** Connects, does this, and closes. */
  static async once<T>(address: string, use: (client: DemoClient) => Promise<T>): Promise<T> {
    const client = await DemoClient.connect(address);
    try {
      return await use(client);
    } finally {
      client.close();
    }
  }

  /** Our own end of the connection: the same for as long as it is the same connection. */
  get localPort(): number | undefined {
    return this.#socket.localPort;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Queries sent since the start. */
  get sent(): number {
    return this.#sent;
  }

  /** Asks where a table is. */
  async query(table: string): Promise<TableAnswer> {
    const start = performance.now();
    const response = await this.#call(queryCfgRpc, { app_name: table, partition_indices: [] }, {});
    const tookMs = performance.now() - start;
    const {
      err = response.headerError,
      app_id: appId = 0,
      partition_count: partitionCount = 0,
    } = response.result ?? {};
    const primaries = (response.result?.partitions ?? []).map(({ primary }) => primary ?? 'none');
    this.outcomes.set(err, (this.outcomes.get(err) ?? 0) + 1);
    return { table, err, appId, partitionCount, primaries, tookMs };
  }

  /** Stores a value in the first partition of the table; this connection must be to its primary. */
  async put(appId: number, key: string, value: string): Promise<void> {
    const args = { key: fullKey(key), value: Buffer.from(value) };
    const { headerError } = await this.#call(putRpc, args, { appId });
    if (headerError !== 'ERR_OK') throw new DemoFailure(`${this.address} does not store a value: ${headerError}`);
  }

  /** The value of a key in the first partition of the table; undefined where there is none. */
  async get(appId: number, key: string): Promise<string | undefined> {
    const { headerError, result } = await this.#call(getRpc, fullKey(key), { appId });
    if (result === undefined) throw new DemoFailure(`${this.address} does not serve a value: ${headerError}`);
    return result.error === 0 ? result.value.toString() : undefined;
  }

  close(): void {
    this.#socket.destroySoon();
  }

  async #call<A, R>(
    rpc: Rpc<A, R>,
    args: A,
    header: RequestOptions,
  ): Promise<DecodedResponse & { readonly result: R | undefined }> {
    const seqId = ++this.#sent;
    const answer = new Promise<Buffer>((resolve, reject) => {
      if (this.#closed) reject(new DemoFailure(`the connection to ${this.address} is closed`));
      else this.#waiters.set(seqId, { resolve, reject });
    });
    this.#socket.write(encodeRequest({ ...header, timeoutMs: CLIENT_TIMEOUT_MS, rpc, seqId, args }));
    const frame = await within(ANSWER_TIMEOUT_MS, `an answer from ${this.address}`, answer);
    return decodeResponse(frame, rpc as Rpc<unknown, R>);
  }

  #take(frame: Buffer): boolean {
    const { seqId } = decodeResponse(frame);
    this.#waiters.get(seqId)?.resolve(frame);
    this.#waiters.delete(seqId);
    return true;
  }
}

/** A hash key without a sort key, as rrdb encodes it: its length in two bytes first. */
function fullKey(hashKey: string): Buffer {
  const bytes = Buffer.from(hashKey);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
