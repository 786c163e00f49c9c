import type { Socket } from 'node:net';
import zookeeper from 'node-zookeeper-client';
import { formatHostPort, type HostPort } from '../wire/host-port.ts';
import { ZookeeperFrames } from './zookeeper-frames.ts';

const { Event, Exception, State, createClient } = zookeeper;

/** Proves who we are: `digest` with `user:password`. */
export interface ZookeeperAuth {
  readonly scheme: string;
  readonly credentials: string;
}

/** What a znode holds. */
export interface Znode {
  readonly content: Buffer;
  /** The transaction that wrote this content; grows over the whole of ZooKeeper. */
  readonly mzxid: bigint;
}

export type ZnodeEvent = 'created' | 'changed' | 'deleted';

/** An operation's end: `error` for anything but an answer; a missing node is an answer. */
export type Done<T> = (error: Error | undefined, value?: T) => void;

/** Why a client came to its end. */
export interface ClientEnd {
  readonly reason: string;
  /** The server took the connection and hung up without a word, as one does that lags behind the zxid we have seen. */
  readonly refused: boolean;
}

export interface ZookeeperClientOptions {
  readonly server: HostPort;
  /** What is asked for, in ms; the server decides. */
  readonly sessionTimeoutMs: number;
  readonly auth?: ZookeeperAuth | undefined;
  /** The last transaction seen: a server that doesn't know it yet refuses us. 0 for none. */
  readonly lastZxid: bigint;
  /** Read once to see that the server answers before the session counts as made. */
  readonly probePath: string;
}

/** Called outside of the library's stack, in the order in which things happened; nothing after `onEnd`. */
export interface ZookeeperClientListener {
  /** The server has given us a session and answers reads; `probeFound`: whether `probePath` exists. */
  onReady(probeFound: boolean): void;
  onEvent(event: ZnodeEvent, path: string): void;
  /** The one end, before or after `onReady`: nothing of this client is left. */
  onEnd(end: ClientEnd): void;
}

/** A connect response is 41 bytes; an HTTP or TLS server's greeting read as a length is far beyond this. */
const MAX_HANDSHAKE_FRAME = 1024;
/** Well over ZooKeeper's packet limit (`jute.maxbuffer`, 1 MB), which operators raise. */
const MAX_FRAME = 16 * 1024 * 1024;
/** Both a connect response and a getData reply have the length of a buffer at this offset of the frame. */
const INNER_LENGTH_OFFSET = 20;
const XID_OFFSET = 4;
const ZXID_OFFSET = 8;
const ERR_OFFSET = 16;
const REPLY_HEADER_END = 20;
const OP_GET_DATA = 4;
/** `STATES.CLOSED` of the library's ConnectionManager. */
const STATE_CLOSED = -2;
const KNOWN_ERRORS = new Set(Object.values(Exception).filter((code) => typeof code === 'number'));

/**
 * What of the library's insides is used here, and only here (node-zookeeper-client 1.1.3, lib/ConnectionManager.js).
 * Its public face can neither stop its reconnecting, nor give the zxid, nor survive a broken frame. The handlers are
 * looked up on the instance when a socket is made, so replacing them beforehand is enough.
 */
interface ConnectionManager {
  socket?: Socket;
  state: number;
  /** i64, sent in the connect request. */
  zxid: Buffer;
  connectTimeoutHandler: NodeJS.Timeout | null;
  /** Requests on the wire, in the order of their answers. */
  pendingQueue: { readonly request: { readonly header: { readonly type: number } } }[];
  packetQueue: { queue: unknown[] };
  findNextServer(callback: (server: HostPort) => void): void;
  onSocketData(chunk: Buffer): void;
  onSocketClosed(): void;
  onSocketError(error: Error): void;
  removeAllListeners(): void;
}

/**
 * One connection to one ZooKeeper server with one session of its own: it never reconnects. The loss of the connection
 * is its end, so the library never comes to send a SetWatches packet, nor to sit dead after an expiry.
 */
export class ZookeeperClient {
  readonly #options: ZookeeperClientOptions;
  readonly #listener: ZookeeperClientListener;
  readonly #library: ReturnType<typeof createClient>;
  readonly #manager: ConnectionManager;
  readonly #frames = new ZookeeperFrames(MAX_HANDSHAKE_FRAME);
  readonly #libraryOnData: (chunk: Buffer) => void;
  /** One function for all watches. */
  readonly #onWatch = (event: zookeeper.Event): void => this.#enqueueEvent(event);
  #events: zookeeper.Event[] = [];
  #lastZxid: bigint;
  #socketError: string | undefined;
  #bytesReceived = 0;
  #ready = false;
  #ended = false;

  constructor(options: ZookeeperClientOptions, listener: ZookeeperClientListener) {
    this.#options = options;
    this.#listener = listener;
    this.#lastZxid = options.lastZxid;
    this.#library = createClient(formatHostPort(options.server), { sessionTimeout: options.sessionTimeoutMs });
    this.#manager = (this.#library as unknown as { connectionManager: ConnectionManager }).connectionManager;
    this.#libraryOnData = this.#manager.onSocketData.bind(this.#manager);
  }

  /** The latest transaction seen in an answer, or the one given at the start. */
  get lastZxid(): bigint {
    return this.#lastZxid;
  }

  /** Grows with every byte that arrives: the sign of life. */
  get bytesReceived(): number {
    return this.#bytesReceived;
  }

  /** What the server granted, in ms; meaningful once ready. */
  get sessionTimeoutMs(): number {
    return this.#library.getSessionTimeout();
  }

  /** As ZooKeeper's own logs spell it; meaningful once ready. */
  get sessionId(): string {
    return `0x${this.#library.getSessionId().readBigUInt64BE().toString(16)}`;
  }

  connect(): void {
    const manager = this.#manager;
    manager.zxid.writeBigInt64BE(this.#options.lastZxid);
    // At once, not in a later turn: there is a socket to destroy from the first moment on.
    manager.findNextServer = (callback) => callback(this.#options.server);
    manager.onSocketData = (chunk) => this.#onData(chunk);
    manager.onSocketClosed = () => this.#onClosed();
    manager.onSocketError = (error) => {
      this.#socketError = error.message;
    };
    this.#library.on('state', (state) => this.#onState(state));
    const auth = this.#options.auth;
    if (auth !== undefined) this.#library.addAuthInfo(auth.scheme, Buffer.from(auth.credentials));
    this.#library.connect();
    // Its time limit covers the TCP handshake alone; ours covers the session, so that one does for both.
    clearTimeout(manager.connectTimeoutHandler ?? undefined);
  }

  /** Reads a node; undefined where there is none. A watch is set only on a node that exists. */
  getData(path: string, watch: boolean, done: Done<Znode | undefined>): void {
    const onAnswer = (error: Error | zookeeper.Exception | null, data?: Buffer, stat?: zookeeper.Stat): void => {
      if (error) {
        if ('code' in error && error.code === Exception.NO_NODE) done(undefined, undefined);
        else done(error as Error);
      } else {
        done(undefined, { content: data ?? Buffer.alloc(0), mzxid: stat!.mzxid.readBigInt64BE() });
      }
    };
    this.#gatherWrites();
    if (watch) this.#library.getData(path, this.#onWatch, onAnswer);
    else this.#library.getData(path, onAnswer);
  }

  /** Whether there is such a node. A watch is set either way. */
  exists(path: string, watch: boolean, done: Done<boolean>): void {
    const onAnswer = (error: Error | zookeeper.Exception | null, stat?: zookeeper.Stat | null): void => {
      if (error) done(error as Error);
      else done(undefined, Boolean(stat));
    };
    this.#gatherWrites();
    if (watch) this.#library.exists(path, this.#onWatch, onAnswer);
    else this.#library.exists(path, onAnswer);
  }

  /** Asks the server to end the session; `onEnd` follows when it has hung up. */
  close(): void {
    if (!this.#ended) this.#library.close();
  }

  /** Ends it here and now, without a word to the server; `onEnd` is called before this returns. */
  destroy(reason: string): void {
    this.#end(reason);
  }

  /** The library writes each request by itself; those of one turn go out in one write, which is far cheaper. */
  #gatherWrites(): void {
    const { socket } = this.#manager;
    if (socket === undefined || socket.writableCorked > 0) return;
    socket.cork();
    process.nextTick(() => socket.uncork());
  }

  #onState(state: zookeeper.State): void {
    if (state === State.SYNC_CONNECTED) this.#probe();
    else if (state === State.AUTH_FAILED) this.#end('ZooKeeper refused the authentication');
    else if (state === State.EXPIRED) this.#end('the session has expired');
  }

  /** Sent behind the credentials, so its answer says that they were taken too. */
  #probe(): void {
    this.#frames.maxLength = MAX_FRAME;
    this.exists(this.#options.probePath, false, (error, found) => {
      if (error !== undefined) return this.#end(error.message);
      setImmediate(() => {
        if (this.#ended) return;
        this.#ready = true;
        this.#listener.onReady(found === true);
      });
    });
  }

  #onData(chunk: Buffer): void {
    this.#bytesReceived += chunk.length;
    try {
      this.#frames.push(chunk, (frame) => {
        if (this.#ended) return;
        this.#inspect(frame);
        this.#libraryOnData(frame);
      });
    } catch (error) {
      // Whatever a broken or foreign server makes the library throw would otherwise end the process.
      this.#end(`not understood: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** Keeps from the library what it can't take, and takes the zxid (as the Java client: only where it is positive). */
  #inspect(frame: Buffer): void {
    const pending = this.#manager.pendingQueue[0];
    const isHandshake = this.#library.getState() !== State.SYNC_CONNECTED;
    const xid = frame.readInt32BE(XID_OFFSET);
    let hasInnerLength = isHandshake;
    if (!isHandshake && xid >= 0) {
      const zxid = frame.readBigInt64BE(ZXID_OFFSET);
      if (zxid > this.#lastZxid) this.#lastZxid = zxid;
      const err = frame.readInt32BE(ERR_OFFSET);
      // It throws on codes newer than itself (a throttled operation, a session moved): one node's trouble, not ours.
      if (!KNOWN_ERRORS.has(err)) frame.writeInt32BE(Exception.SYSTEM_ERROR, ERR_OFFSET);
      hasInnerLength = err === 0 && pending?.request.header.type === OP_GET_DATA;
    }
    // It would allocate whatever is claimed there.
    if (hasInnerLength && frame.readInt32BE(INNER_LENGTH_OFFSET) > frame.length - REPLY_HEADER_END) {
      throw new Error('a buffer longer than its frame');
    }
  }

  /**
   * Events wait for the end of this turn: a change that comes in one chunk with the answer before it must not be told
   * before the promise of that answer has been seen to.
   */
  #enqueueEvent(event: zookeeper.Event): void {
    if (this.#events.push(event) > 1) return;
    setImmediate(() => {
      const events = this.#events;
      this.#events = [];
      for (const { type, path } of events) {
        const name = eventName(type);
        if (!this.#ended && name !== undefined) this.#listener.onEvent(name, path);
      }
    });
  }

  #onClosed(): void {
    if (this.#socketError !== undefined) this.#end(this.#socketError);
    else if (this.#ready) this.#end('the server closed the connection');
    else this.#end('the server closed the connection before it gave a session', this.#bytesReceived === 0);
  }

  #end(reason: string, refused = false): void {
    if (this.#ended) return;
    this.#ended = true;
    const manager = this.#manager;
    const socket = manager.socket;
    manager.state = STATE_CLOSED;
    manager.removeAllListeners();
    this.#library.removeAllListeners();
    manager.pendingQueue.length = 0;
    manager.packetQueue.queue.length = 0;
    this.#events = [];
    if (socket !== undefined) {
      socket.removeAllListeners();
      socket.on('error', () => {});
      socket.setTimeout(0);
      socket.destroy();
    }
    this.#listener.onEnd({ reason, refused });
  }
}

function eventName(type: number): ZnodeEvent | undefined {
  if (type === Event.NODE_CREATED) return 'created';
  if (type === Event.NODE_DATA_CHANGED) return 'changed';
  if (type === Event.NODE_DELETED) return 'deleted';
  return undefined;
}
