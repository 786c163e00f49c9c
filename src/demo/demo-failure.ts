/** Something that is not as the demo claims, or can't be done here; the message is for the person in front of it. */
export class DemoFailure extends Error {
  override readonly name = 'DemoFailure';
}

/** Rejects with a `DemoFailure` where the promise takes longer; `what` completes "… within 5 s: WHAT". */
export async function within<T>(timeoutMs: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new DemoFailure(`not within ${timeoutMs / 1000} s: ${what}`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
