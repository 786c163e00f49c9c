import { setTimeout as delay } from 'node:timers/promises';

/** `timeoutMs`: how long the condition may take; `what` completes the sentence "timed out waiting for …". */
export interface WaitForOptions {
  readonly timeoutMs?: number;
  readonly what?: string;
}

const POLL_INTERVAL_MS = 5;
const DEFAULT_TIMEOUT_MS = 10_000;

/**
 * Polls until `condition` gives something other than false, null or undefined, and resolves to that. A condition that
 * throws hasn't come true yet; its last error is the cause of the error this rejects with at the deadline.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { timeoutMs = DEFAULT_TIMEOUT_MS, what = 'a condition' }: WaitForOptions = {},
): Promise<Exclude<T, false | null | undefined>> {
  const deadline = performance.now() + timeoutMs;
  let cause: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value !== false && value !== null && value !== undefined) {
        return value as Exclude<T, false | null | undefined>;
      }
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() >= deadline)
      throw new Error(`timed out after ${timeoutMs} ms waiting for ${what}`, { cause });
    await delay(POLL_INTERVAL_MS);
  }
}
