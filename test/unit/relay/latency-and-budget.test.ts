import { describe, expect, it } from 'vitest';
import { LatencyEstimate } from '../../../src/relay/latency-estimate.ts';
import { RetryBudget } from '../../../src/relay/retry-budget.ts';

describe('LatencyEstimate', () => {
  it('waits longest before it knows anything, and within its bounds ever after', () => {
    const estimate = new LatencyEstimate(20, 300);
    expect(estimate.delayMs).toBe(300);
    expect(estimate.smoothedMs).toBeUndefined();
    estimate.add(0.5);
    expect(estimate.delayMs).toBe(20);
    for (let i = 0; i < 100; i++) estimate.add(5000);
    expect(estimate.delayMs).toBe(300);
  });

  it('follows what answers take: close above steady ones, well above scattered ones', () => {
    const steady = new LatencyEstimate(1, 10_000);
    for (let i = 0; i < 200; i++) steady.add(100);
    expect(steady.delayMs).toBeGreaterThanOrEqual(100);
    expect(steady.delayMs).toBeLessThan(105);
    const scattered = new LatencyEstimate(1, 10_000);
    for (let i = 0; i < 200; i++) scattered.add(i % 2 === 0 ? 50 : 150);
    expect(scattered.delayMs).toBeGreaterThan(250);
    for (let i = 0; i < 200; i++) scattered.add(10);
    expect(scattered.delayMs).toBeLessThan(20);
  });

  it('keeps its bounds in order when they are given the wrong way round', () => {
    const estimate = new LatencyEstimate(500, 300);
    estimate.add(1);
    expect(estimate.delayMs).toBe(300);
  });
});

describe('RetryBudget', () => {
  it('lets a great many retries pass at once, then a share of the queries', () => {
    const budget = new RetryBudget();
    let passed = 0;
    while (budget.spend(1000)) passed++;
    expect(passed).toBe(5000);
    for (let i = 0; i < 1000; i++) budget.earn();
    passed = 0;
    while (budget.spend(1000)) passed++;
    expect(passed).toBe(250);
  });

  it('fills up with time as well, up to its bound', () => {
    const budget = new RetryBudget();
    while (budget.spend(0));
    expect(budget.spend(100)).toBe(true);
    let passed = 0;
    while (budget.spend(10_000_000)) passed++;
    expect(passed).toBe(5000);
  });
});
