import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

// The same as node --expose-gc, without asking everyone who starts the tests for it.
setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

/** Growth that is no leak: compiled code, pools, what the test runner keeps. */
export const ALLOWED_GROWTH_BYTES = 8 * 1024 * 1024;

/** Bytes in use, on the heap and in buffers, when all garbage is gone. */
export async function bytesInUse(): Promise<number> {
  // Finalizers run between turns, and free more.
  for (let i = 0; i < 3; i++) {
    gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
