import type { Socket } from 'node:net';
import { FrameDecoder } from '../../../src/wire/frame-decoder.ts';
import { MalformedFrameError } from '../../../src/wire/malformed-frame.ts';
import { encodeResponse } from '../../../src/wire/message-frame.ts';
import { queryCfgRpc } from '../../../src/wire/messages.ts';
import { answerKind, readForwardAddress } from '../../../src/wire/query-cfg.ts';
import { ResponseHead, responseFrameLength } from '../../../src/wire/response-frame.ts';
import { ScriptedMeta, withSeqId } from '../../support/scripted-meta.ts';
import { responseVectors } from '../../support/vectors.ts';
import { Mutator, repairResponse } from '../mutate.ts';
import type { Random } from '../random.ts';

/** As the proxy of these tests is configured: nothing longer can reach the guard's decoder. */
export const MAX_RESPONSE_BYTES = 64 * 1024;

/** The vectors' replicas have addresses of the network they were made in, 10.132.5.x: here they are of this host. */
const answers = new Mutator(responseVectors.map(onThisHost), repairResponse);

function onThisHost({ frame }: { readonly frame: Buffer }): Buffer {
  return Buffer.from(frame.toString('hex').replaceAll('0a8405', '7f0000'), 'hex');
}

/** A MetaServer that answers half of the queries rightly, and the others with anything. */
export async function startHostileMeta(random: Random, redirects: () => readonly string[]): Promise<ScriptedMeta> {
  const meta = await ScriptedMeta.start();
  const guards = new WeakMap<Socket, LoopbackGuard>();
  meta.script = ({ seqId }, socket) => {
    meta.received.length = 0;
    const guard = guards.get(socket) ?? new LoopbackGuard();
    guards.set(socket, guard);
    const bytes = answerTo(seqId, random, redirects());
    // What a mutation could make the proxy dial, it must not even see.
    if (guard.admits(bytes)) sendInChunks(bytes, socket, random);
    else socket.destroy();
  };
  return meta;
}

function answerTo(seqId: number, random: Random, redirects: readonly string[]): Buffer {
  if (random.oneIn(2)) return withSeqId(answers.valid(random), seqId);
  if (random.oneIn(8)) return withSeqId(redirectTo(random.pick(redirects)), seqId);
  // Mostly under the seqId that is waited for, else nobody looks at it.
  const bytes = answers.mutated(random);
  try {
    return random.oneIn(8) ? bytes : withSeqId(bytes, seqId);
  } catch {
    return bytes;
  }
}

function redirectTo(primary: string): Buffer {
  const partition = {
    pid: { appId: -1, partitionIndex: -1 },
    ballot: 0n,
    max_replica_count: 0,
    primary,
    secondaries: [],
    last_drops: [],
    last_committed_decree: 0n,
    partition_flags: 0,
  };
  const result = { err: 'ERR_FORWARD_TO_OTHERS', app_id: 0, partition_count: 0, is_stateful: false };
  return encodeResponse({ rpc: queryCfgRpc, seqId: 0, result: { ...result, partitions: [partition] } });
}

function sendInChunks(bytes: Buffer, socket: Socket, random: Random): void {
  if (random.oneIn(64)) {
    socket.write(bytes.subarray(0, random.below(bytes.length + 1)));
    if (random.oneIn(2)) socket.resetAndDestroy();
    else socket.destroySoon();
    return;
  }
  const cut = random.oneIn(4) ? random.below(bytes.length + 1) : bytes.length;
  socket.write(bytes.subarray(0, cut));
  if (cut < bytes.length) socket.write(bytes.subarray(cut));
}

/** Reads along what is sent on one connection, and refuses redirects to anywhere but this host. */
class LoopbackGuard {
  readonly #head = new ResponseHead();
  readonly #decoder = new FrameDecoder(responseFrameLength, MAX_RESPONSE_BYTES, (frame) => this.#look(frame));
  #leadsAway = false;
  #ended = false;

  admits(bytes: Buffer): boolean {
    try {
      if (!this.#ended) this.#decoder.push(bytes);
    } catch (error) {
      if (!(error instanceof MalformedFrameError)) throw error;
      // The proxy ends the connection here, too.
      this.#ended = true;
    }
    return !this.#leadsAway;
  }

  #look(frame: Buffer): boolean {
    this.#head.read(frame);
    try {
      const isForward = answerKind(frame, this.#head) === 'forward';
      const address = isForward ? readForwardAddress(frame, this.#head) : undefined;
      if (address !== undefined && !address.startsWith('127.')) this.#leadsAway = true;
    } catch (error) {
      if (!(error instanceof MalformedFrameError)) throw error;
    }
    return true;
  }
}
