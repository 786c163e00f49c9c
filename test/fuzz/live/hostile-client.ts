import { connect, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseHostPort } from '../../../src/wire/host-port.ts';
import { requestFrameLength } from '../../../src/wire/request-frame.ts';
import type { Outcome } from '../oracle.ts';
import type { Random } from '../random.ts';
import { decodeChunks, decoders } from '../streams.ts';
import { readRequest, requestMutator } from '../targets/requests.ts';

/** As the proxy is configured by default. */
const requestDecoder = decoders(requestFrameLength, 64 * 1024);

/** Of the cluster that behaves; as long as the vectors' own "temp". */
export const GOOD_TABLE = 'good';

/** What a connection carries, and what the proxy has to make of it. */
interface Visit {
  readonly bytes: Buffer;
  readonly frames: number;
  /** `accepted`, `incomplete`, or the reason for which the proxy has to reject it. */
  readonly expected: Outcome;
}

/** What came of one connection. */
export interface Visited {
  readonly frames: number;
  readonly expected: Outcome;
}

/** One connection of a hostile client: a few frames or many, mutated, in chunks of any size; closed in some way. */
export async function visit(address: string, random: Random): Promise<Visited> {
  const { bytes, frames, expected } = prepare(random);
  const socket = connect({ ...(parseHostPort(address) as { host: string; port: number }), noDelay: true });
  // Not events.once(), which fails where the proxy resets a connection with bytes unread, as it may.
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.on('error', () => {});
  socket.resume();
  await sendInChunks(socket, bytes, random);
  // A reset may overtake what was sent, so where a rejection is expected, the end is an orderly one.
  const mayReset = expected === 'accepted' || expected === 'incomplete';
  if (mayReset && random.oneIn(4)) socket.resetAndDestroy();
  else socket.end();
  await closed;
  return { frames, expected };
}

/** Many connections are short; long ones have many frames that pass, and at their end perhaps one that doesn't. */
function prepare(random: Random): Visit {
  const wanted = random.oneIn(12) ? random.between(20, 200) : random.between(1, 3);
  const passing: Buffer[] = [];
  let last: Visit['expected'] = 'accepted';
  while (passing.length < wanted && last === 'accepted') {
    const frame = random.oneIn(8) ? requestMutator.valid(random) : requestMutator.mutated(random);
    // Some go to the cluster that behaves, over the connection that the client which behaves has to share.
    const table = frame.indexOf('temp');
    if (table >= 0 && random.oneIn(4)) frame.write(GOOD_TABLE, table, 'latin1');
    const outcome = outcomeOf(frame);
    const isLast = passing.length === wanted - 1 || wanted < 4;
    if (outcome !== 'accepted' && !isLast) continue;
    passing.push(frame);
    last = outcome;
  }
  const bytes = Buffer.concat(passing);
  return { bytes, frames: passing.length, expected: outcomeOf(bytes) };
}

function outcomeOf(bytes: Buffer): Outcome {
  return decodeChunks([bytes], bytes, requestDecoder, readRequest).outcome;
}

async function sendInChunks(socket: Socket, bytes: Buffer, random: Random): Promise<void> {
  let at = 0;
  while (at < bytes.length && !socket.destroyed) {
    const end = random.oneIn(3) ? Math.min(bytes.length, at + random.between(1, 512)) : bytes.length;
    socket.write(bytes.subarray(at, end));
    at = end;
    if (random.oneIn(2)) await nextTurn();
  }
}
