import { describe, expect, it } from 'vitest';
import { ConnectionLimits, descriptorsForClients } from '../../../src/relay/connection-limits.ts';

describe('ConnectionLimits', () => {
  it('says which limit is reached, and counts out what it counted in', () => {
    const limits = new ConnectionLimits(3, 2);
    expect([limits.admit('a'), limits.admit('a'), limits.admit('a')]).toEqual([
      undefined,
      undefined,
      'client.max_connections_per_address',
    ]);
    expect([limits.admit('b'), limits.admit('c')]).toEqual([undefined, 'client.max_connections']);
    limits.leave('a');
    expect([limits.admit('c'), limits.admit('d')]).toEqual([undefined, 'client.max_connections']);
  });
});

describe('descriptorsForClients', () => {
  it('is what the process may open, less a reserve', () => {
    expect(descriptorsForClients('Max open files            1024                 4096                 files')).toBe(
      960,
    );
    expect(descriptorsForClients('Max open files            10                   4096                 files')).toBe(1);
    expect(descriptorsForClients('Max open files            unlimited            unlimited            files')).toBe(
      Infinity,
    );
    expect(descriptorsForClients('')).toBe(Infinity);
  });
});
