import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LogLimiter } from '../../../src/telemetry/log-limiter.ts';

describe('LogLimiter', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance'] });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  it('lets so many lines pass in a window, and says afterwards how many were left out', () => {
    const limiter = new LogLimiter(2, 1000);
    expect([limiter.admit(), limiter.admit(), limiter.admit(), limiter.admit()]).toEqual([
      {},
      {},
      undefined,
      undefined,
    ]);
    vi.advanceTimersByTime(999);
    expect(limiter.admit()).toBeUndefined();
    vi.advanceTimersByTime(1);
    expect([limiter.admit(), limiter.admit(), limiter.admit()]).toEqual([{ leftOut: 3 }, {}, undefined]);
  });
});
