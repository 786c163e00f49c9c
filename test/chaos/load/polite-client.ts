import { connect, type Socket } from 'node:net';
import { FrameDecoder } from '../../../src/wire/frame-decoder.ts';
import { parseHostPort } from '../../../src/wire/host-port.ts';
import { encodeRequest } from '../../../src/wire/message-frame.ts';
import { queryCfgRpc } from '../../../src/wire/messages.ts';
import { RequestHead } from '../../../src/wire/request-frame.ts';
import { responseFrameLength } from '../../../src/wire/response-frame.ts';
import { now } from '../clock.ts';
import { CLIENT_TIMEOUT_MS, TABLES } from '../layout.ts';
import { readAnswer } from './oracle.ts';

const MAX_RESPONSE_BYTES = 1024 * 1024;
const RECONNECT_MS = 20;

/** One query on its way. */
export interface Query {
  readonly client: PoliteClient;
  readonly table: number;
  readonly seqId: number;
  readonly sentAt: number;
  state: 'waiting' | 'timed-out' | 'done';
}

/** Who is told what a client sees. */
export interface ClientOwner {
  onAnswer(query: Query, frame: Buffer): void;
  /** An answer that nobody has asked for, or a second one. */
  onUnasked(what: string): void;
  /** The connection ended; its queries will not be answered. */
  onClosed(reason: string, lost: readonly Query[]): void;
}

/** A client as the official ones are: it keeps one connection, reads what it is sent, and connects again when it must. */
export class PoliteClient {
  readonly #address: { host: string; port: number };
  readonly #frames: readonly RequestFrame[];
  readonly #owner: ClientOwner;
  readonly #queries = new Map<number, Query>();
  #socket: Socket | undefined;
  #nextSeqId: number;
  #isConnected = false;

  /** `place` in the row of all clients: it decides the header's version, and where seqIds begin. */
  constructor(address: string, place: number, owner: ClientOwner) {
    this.#address = parseHostPort(address) as { host: string; port: number };
    this.#frames = place % 2 === 0 ? FRAMES_V0 : FRAMES_V1;
    // Official clients begin with 0 or 1; after long they wrap.
    this.#nextSeqId = [0, 1, 0x7ffffff0, -0x10][place % 4] as number;
    this.#owner = owner;
    this.#connect();
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  send(table: number): Query {
    const seqId = this.#nextSeqId;
    this.#nextSeqId = (seqId + 1) | 0;
    const { bytes, seqIdOffset } = this.#frames[table] as RequestFrame;
    const frame = Buffer.from(bytes);
    frame.writeInt32BE(seqId, seqIdOffset);
    const query: Query = { client: this, table, seqId, sentAt: now(), state: 'waiting' };
    this.#queries.set(seqId, query);
    this.#socket?.write(frame);
    return query;
  }

  /** The answer will not come any more: forgets about it. */
  forget(query: Query): void {
    if (this.#queries.get(query.seqId) === query) this.#queries.delete(query.seqId);
  }

  #connect(): void {
    const socket = connect({ ...this.#address, noDelay: true });
    this.#socket = socket;
    let reason = 'closed';
    const decoder = new FrameDecoder(responseFrameLength, MAX_RESPONSE_BYTES, (frame) => this.#take(frame));
    socket.on('connect', () => {
      this.#isConnected = true;
    });
    socket.on('data', (chunk) => {
      try {
        decoder.push(chunk);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      reason = error.code ?? error.message;
    });
    socket.on('close', () => this.#onClose(reason));
  }

  #onClose(reason: string): void {
    const wasConnected = this.#isConnected;
    this.#isConnected = false;
    const lost = [...this.#queries.values()].filter(({ state }) => state === 'waiting');
    this.#queries.clear();
    if (wasConnected) this.#owner.onClosed(reason, lost);
    setTimeout(() => this.#connect(), RECONNECT_MS);
  }

  #take(frame: Buffer): boolean {
    const head = readAnswer(frame);
    const query = head === undefined ? undefined : this.#queries.get(head.seqId);
    if (query === undefined) {
      this.#owner.onUnasked(`nobody asked for seqId ${head?.seqId}: ${frame.toString('hex', 0, 64)}`);
      return true;
    }
    this.#queries.delete(query.seqId);
    this.#owner.onAnswer(query, frame);
    return true;
  }
}

interface RequestFrame {
  readonly bytes: Buffer;
  readonly seqIdOffset: number;
}

const FRAMES_V0 = TABLES.map(({ name }) => requestFrame(name, 0));
const FRAMES_V1 = TABLES.map(({ name }) => requestFrame(name, 1));

function requestFrame(table: string, headerVersion: 0 | 1): RequestFrame {
  const args = { app_name: table, partition_indices: [] };
  const bytes = encodeRequest({ rpc: queryCfgRpc, headerVersion, seqId: 0, args, timeoutMs: CLIENT_TIMEOUT_MS });
  const head = new RequestHead();
  head.read(bytes);
  return { bytes, seqIdOffset: head.seqIdOffset };
}
