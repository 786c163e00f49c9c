import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Deadline, DeadlineWheel } from '../../../src/relay/deadline-wheel.ts';

class Waiter extends Deadline {
  readonly metAt: number[] = [];
  readonly #wheel: DeadlineWheel;
  readonly #then: () => void;

  constructor(wheel: DeadlineWheel, then: () => void = () => {}) {
    super();
    this.#wheel = wheel;
    this.#then = then;
  }

  override onDue(): void {
    this.metAt.push(this.#wheel.now());
    this.#then();
  }
}

describe('DeadlineWheel', () => {
  let wheel: DeadlineWheel;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setImmediate', 'performance'] });
    wheel = new DeadlineWheel();
  });

  afterEach(() => {
    wheel.stop();
    vi.useRealTimers();
  });

  it('meets deadlines never early and at most a tick late, in any order, also beyond one turn of the wheel', () => {
    vi.advanceTimersByTime(12_345.6);
    const start = wheel.now();
    const delays = [0, 1, 9.5, 10, 11, 300, 900, 5110, 5120, 5130, 12_000, 61_234];
    const waiters = delays.map((delay) => {
      const waiter = new Waiter(wheel);
      wheel.set(waiter, start + delay);
      return waiter;
    });
    vi.advanceTimersByTime(70_000);
    waiters.forEach((waiter, i) => {
      const late = (waiter.metAt[0] as number) - start - (delays[i] as number);
      expect(waiter.metAt).toHaveLength(1);
      expect(late).toBeGreaterThanOrEqual(0);
      expect(late).toBeLessThanOrEqual(20);
    });
    expect(wheel.waiting).toBe(0);
  });

  it('forgets what is cleared, and meets what is set anew at the new time only', () => {
    const [cleared, moved] = [new Waiter(wheel), new Waiter(wheel)];
    wheel.set(cleared, wheel.now() + 50);
    wheel.set(moved, wheel.now() + 50);
    wheel.set(moved, wheel.now() + 200);
    wheel.clear(cleared);
    wheel.clear(cleared);
    vi.advanceTimersByTime(150);
    expect(moved.metAt).toHaveLength(0);
    vi.advanceTimersByTime(100);
    expect(moved.metAt).toHaveLength(1);
    expect(cleared.metAt).toHaveLength(0);
  });

  it('lets one deadline clear, set or repeat another of the same tick', () => {
    const at = wheel.now() + 50;
    const victim = new Waiter(wheel);
    const later = new Waiter(wheel);
    const first = new Waiter(wheel, () => {
      wheel.clear(victim);
      wheel.set(later, wheel.now() + 100);
      if (first.metAt.length < 3) wheel.set(first, wheel.now());
    });
    for (const one of [first, victim, later]) wheel.set(one, at);
    vi.advanceTimersByTime(100);
    expect(first.metAt).toHaveLength(3);
    expect(victim.metAt).toHaveLength(0);
    expect(later.metAt).toHaveLength(0);
    vi.advanceTimersByTime(200);
    expect(later.metAt).toHaveLength(1);
  });

  it('runs no timer while nothing waits', () => {
    expect(vi.getTimerCount()).toBe(0);
    const waiter = new Waiter(wheel);
    wheel.set(waiter, wheel.now() + 30);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(100);
    expect(vi.getTimerCount()).toBe(0);
    wheel.set(waiter, wheel.now() + 30);
    vi.advanceTimersByTime(100);
    expect(waiter.metAt).toHaveLength(2);
  });

  it('holds a hundred thousand at once', () => {
    const waiters = Array.from({ length: 100_000 }, () => new Waiter(wheel));
    waiters.forEach((waiter, i) => {
      wheel.set(waiter, wheel.now() + (i % 4000));
    });
    for (let i = 0; i < waiters.length; i += 2) wheel.clear(waiters[i] as Waiter);
    expect(wheel.waiting).toBe(50_000);
    vi.advanceTimersByTime(5000);
    expect(waiters.filter(({ metAt }) => metAt.length === 1)).toHaveLength(50_000);
  });
});
