import { describe, expect, it } from 'vitest';
import { InFlightRequests } from '../../../src/relay/in-flight-requests.ts';

describe('InFlightRequests', () => {
  it('gives every waiter a seqId of its own, and finds it again by that, once', () => {
    const inFlight = new InFlightRequests<number>(10_000);
    const seqIds = Array.from({ length: 5000 }, (_, i) => inFlight.add(i, 0));
    expect(new Set(seqIds).size).toBe(5000);
    expect(inFlight.size).toBe(5000);
    const settled = [...seqIds].reverse().map((seqId) => inFlight.settle(seqId));
    expect(settled).toEqual(Array.from({ length: 5000 }, (_, i) => 4999 - i));
    expect(seqIds.every((seqId) => inFlight.settle(seqId) === undefined)).toBe(true);
    expect(inFlight.size).toBe(0);
  });

  it('finds nobody for a late answer, however the places are used again', () => {
    const inFlight = new InFlightRequests<number>(100);
    const late = inFlight.add(-1, 0);
    inFlight.expire(1);
    for (let i = 0; i < 100_000; i++) {
      const seqId = inFlight.add(i, 2);
      if (seqId === late || inFlight.settle(late) !== undefined) throw new Error(`somebody else was found at ${i}`);
      inFlight.settle(seqId);
    }
  });

  it('keeps who waits long while others come and go, through growth', () => {
    const inFlight = new InFlightRequests<string>(100_000);
    const old = Array.from({ length: 300 }, (_, i) => [inFlight.add(`old ${i}`, 0), `old ${i}`] as const);
    const waiting = new Map<number, string>(old);
    for (let i = 0; i < 50_000; i++) {
      const seqId = inFlight.add(`new ${i}`, 1);
      if (waiting.has(seqId)) throw new Error(`seqId ${seqId} was given twice`);
      if (i % 10 !== 0) inFlight.settle(seqId);
      else waiting.set(seqId, `new ${i}`);
    }
    expect(inFlight.size).toBe(waiting.size);
    expect([...waiting.keys()].map((seqId) => inFlight.settle(seqId))).toEqual([...waiting.values()]);
  });

  it('is full at its limit', () => {
    const inFlight = new InFlightRequests<number>(3);
    const first = inFlight.add(1, 0);
    inFlight.add(2, 0);
    expect(inFlight.full).toBe(false);
    inFlight.add(3, 0);
    expect(inFlight.full).toBe(true);
    inFlight.settle(first);
    expect(inFlight.full).toBe(false);
  });

  it('expires who has waited too long, and hands back all who are left', () => {
    const inFlight = new InFlightRequests<number>(100);
    for (let i = 0; i < 100; i++) inFlight.add(i, i);
    inFlight.expire(40);
    expect(inFlight.size).toBe(60);
    expect(inFlight.drain().sort((a, b) => a - b)).toEqual(Array.from({ length: 60 }, (_, i) => 40 + i));
    expect(inFlight.size).toBe(0);
    expect(inFlight.drain()).toEqual([]);
  });
});
