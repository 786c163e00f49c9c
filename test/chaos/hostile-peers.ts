import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { parseHostPort } from '../../src/wire/host-port.ts';
import { encodeRequest } from '../../src/wire/message-frame.ts';
import { queryCfgRpc } from '../../src/wire/messages.ts';
import type { Random } from '../fuzz/random.ts';
import { LARGE_TABLE_NAME, TABLES } from './layout.ts';

const CONNECTS_AT_ONCE = 50;
const DRIP_MS = 50;
/** So many large answers every `DRIP_MS` are 10 MB/s, which fills the kernel's buffers within a second. */
const UNREAD_BATCH = 25;
const MAX_WAIT_MS = 5_000;

/** Clients that do everything that a client must not do, from this process, on connections of their own. */
export class HostilePeers {
  readonly #address: { host: string; port: number };
  readonly #random: Random;

  constructor(address: string, random: Random) {
    this.#address = parseHostPort(address) as { host: string; port: number };
    this.#random = random;
  }

  /** Frames that come byte by byte, until the proxy hangs up or the time is over. */
  async dripFrames(count: number, forMs: number): Promise<void> {
    const endsAt = performance.now() + forMs;
    await this.#each(count, count, async (socket) => {
      const frame = this.#query();
      for (let at = 0; performance.now() < endsAt && !socket.destroyed; at++) {
        socket.write(frame.subarray(at % frame.length, (at % frame.length) + 1));
        await pause(DRIP_MS);
      }
    });
  }

  /** Connections that end in the middle of a frame, in good order. */
  async halfFrames(count: number): Promise<void> {
    await this.#each(count, CONNECTS_AT_ONCE, async (socket) => {
      socket.end(this.#cut(this.#query()));
      await closed(socket);
    });
  }

  /** Resets at every stage: at once, within a frame, before the answer, within the answer. */
  async resets(count: number): Promise<void> {
    await this.#each(count, CONNECTS_AT_ONCE, async (socket) => {
      const stage = this.#random.below(4);
      if (stage === 1) socket.write(this.#cut(this.#query()));
      if (stage >= 2) socket.write(this.#query(LARGE_TABLE_NAME));
      // The large answer comes in several chunks: at the first one it is not whole.
      if (stage === 3) await Promise.race([once(socket, 'data'), closed(socket)]);
      socket.resetAndDestroy();
    });
  }

  /** Asks for large answers, a batch at a time, and never reads a byte. */
  async neverRead(count: number, forMs: number): Promise<void> {
    const endsAt = performance.now() + forMs;
    await this.#each(count, count, async (socket) => {
      socket.pause();
      const batch = Buffer.concat(Array.from({ length: UNREAD_BATCH }, () => this.#query(LARGE_TABLE_NAME)));
      while (performance.now() < endsAt && !socket.destroyed) {
        if (socket.writableLength === 0) socket.write(batch);
        await pause(DRIP_MS);
      }
    });
  }

  /** A storm of connections, one query each. */
  async connectionStorm(count: number): Promise<void> {
    await this.#each(count, count, async (socket) => {
      socket.write(this.#query());
      await Promise.race([once(socket, 'data'), closed(socket)]);
    });
  }

  /** Frames of which each is wrong in some way; the proxy has to hang up, or at least to survive. */
  async malformedFrames(count: number): Promise<void> {
    await this.#each(count, CONNECTS_AT_ONCE, async (socket) => {
      socket.end(this.#spoil(this.#query()));
      socket.resume();
      await closed(socket);
    });
  }

  /** So many connections, so many of them at a time; each is closed when it has done its part. */
  async #each(count: number, atOnce: number, act: (socket: Socket) => Promise<void>): Promise<void> {
    let left = count;
    const lane = async () => {
      while (left > 0) {
        left--;
        const socket = connect(this.#address);
        socket.on('error', () => {});
        await Promise.race([once(socket, 'connect').catch(() => {}), closed(socket)]);
        if (!socket.destroyed) await act(socket).catch(() => {});
        socket.destroy();
      }
    };
    await Promise.all(Array.from({ length: Math.min(count, atOnce) }, lane));
  }

  #query(table = this.#random.pick(TABLES).name): Buffer {
    const args = { app_name: table, partition_indices: [] };
    return encodeRequest({ rpc: queryCfgRpc, seqId: this.#random.u32() | 0, args, timeoutMs: 1000 });
  }

  #flipBit(frame: Buffer, at: number): Buffer {
    frame.writeUInt8(frame.readUInt8(at) ^ (1 << this.#random.below(8)), at);
    return frame;
  }

  #cut(frame: Buffer): Buffer {
    return frame.subarray(0, this.#random.between(1, frame.length - 1));
  }

  #spoil(frame: Buffer): Buffer {
    const random = this.#random;
    switch (random.below(5)) {
      case 0:
        return Buffer.from(Array.from({ length: random.between(1, 200) }, () => random.below(256)));
      case 1: // a length that is negative, or absurd
        frame.writeInt32BE(random.pick([-1, -0x80000000, 0x7fffffff, 0x10000000]), random.pick([8, 16]));
        return frame;
      case 2: // the magic, or the version
        frame.writeInt32BE(random.u32() | 0, random.pick([0, 4]));
        return frame;
      case 3: // any one bit
        return this.#flipBit(frame, random.below(frame.length));
      default: // several frames, the last one cut
        return Buffer.concat([frame, frame, this.#cut(frame)]);
    }
  }
}

/** Never waits for ever: whether the proxy hangs up is not asked here, and this process has to end. */
async function closed(socket: Socket): Promise<void> {
  if (socket.closed) return;
  await Promise.race([new Promise<void>((resolve) => socket.once('close', () => resolve())), pause(MAX_WAIT_MS)]);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
