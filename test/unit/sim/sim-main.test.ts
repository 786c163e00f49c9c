import { describe, expect, it } from 'vitest';
import { readArguments } from '../../../src/sim/sim-arguments.ts';
import { SimCluster } from '../../../src/sim/sim-cluster.ts';
import { runCommand } from '../../../src/sim/sim-commands.ts';
import { RawClient } from '../../support/raw-client.ts';

describe('the command line', () => {
  it('has defaults', () => {
    expect(readArguments([])).toMatchObject({ name: 'sim', metas: 2, replicas: 0, tables: {}, metaPorts: [] });
  });

  it('names tables, ports and what followers tell', () => {
    const args = '--name a --metas 3 --tables temp:8,ns:stat:64:5 --meta-ports 1,2 --host-ports --silent-followers';
    expect(readArguments(args.split(' '))).toMatchObject({
      name: 'a',
      metas: 3,
      tables: { temp: { partitions: 8 }, 'ns:stat': { partitions: 64, appId: 5 } },
      metaPorts: [1, 2],
      hostPorts: true,
      followersKnowLeader: false,
    });
  });

  it.each([['--metas', 'two'], ['--tables', 'temp'], ['--nope']])('refuses %s %s', (...args) => {
    expect(() => readArguments(args)).toThrow();
  });
});

describe('commands', () => {
  it('do what they say, and answer what came of it', async () => {
    const cluster = await SimCluster.start({ replicas: 1, tables: { temp: { partitions: 8 } } });
    const run = (command: object) => runCommand(cluster, JSON.stringify(command));
    const client = await RawClient.connect(cluster.metas[1]?.address ?? '');
    try {
      expect(await run({ command: 'leader', meta: 1, id: 7 })).toEqual({ id: 7, ok: true });
      expect((await client.query('temp')).result?.err).toBe('ERR_OK');
      await run({ command: 'create', table: 'new', partitions: 2, appId: 9 });
      await run({ command: 'split', table: 'new' });
      expect((await client.query('new')).result).toMatchObject({ app_id: 9, partition_count: 4 });
      await run({ command: 'table-status', table: 'new', status: 'dropping' });
      expect((await client.query('new')).result?.err).toBe('ERR_BUSY_DROPPING');
      await run({ command: 'recreate', table: 'new', partitions: 2 });
      expect((await client.query('new')).result?.app_id).toBe(10);
      await run({ command: 'drop', table: 'new' });
      expect((await client.query('new')).result?.err).toBe('ERR_OBJECT_NOT_FOUND');
      await run({ command: 'faults', meta: 1, faults: { hold: true } });
      const held = client.query('temp');
      await cluster.metas[1]?.waitForHeld(1);
      expect(await run({ command: 'release', meta: 1 })).toEqual({ ok: true, released: 1 });
      expect((await held).result?.err).toBe('ERR_OK');
      expect(await run({ command: 'deny', value: 'reconfig*all' })).toEqual({ ok: true });
      expect(await run({ command: 'status' })).toMatchObject({
        leader: 1,
        metas: [{ requestCount: 0 }, { requestCount: 6, connectionCount: 1 }],
        replicas: [{ requestCount: 0 }],
      });
      await run({ command: 'faults', meta: 1, faults: { rubbish: 'ffff' } });
      client.sendQuery('temp');
      await cluster.metas[1]?.waitForRequests(7);
      await run({ command: 'reset', meta: 1 });
      await client.closed;
      expect(await run({ command: 'refuse', meta: 1 })).toEqual({ ok: true });
      await expect(RawClient.connect(cluster.metas[1]?.address ?? '')).rejects.toThrow(/ECONNREFUSED/);
      expect(await run({ command: 'listen', meta: 1 })).toEqual({ ok: true });
      await run({ command: 'leader', meta: null });
      expect(cluster.leaderIndex).toBeUndefined();
    } finally {
      await client.close();
      await cluster.stop();
    }
  });

  it('that make no sense are answered, too', async () => {
    const cluster = await SimCluster.start({ metas: 1 });
    const lines = ['{', '{"command": 1}', '{"command": "fly"}', '{"command": "leader", "meta": 5}'];
    lines.push('{"command": "faults", "meta": 3, "faults": {}}', '{"command": "faults", "meta": 0}');
    lines.push('{"command": "table-status", "table": "temp", "status": "odd"}', '{"command": "split", "table": "x"}');
    try {
      for (const line of lines) {
        expect(await runCommand(cluster, line)).toEqual({ ok: false, error: expect.any(String) });
      }
    } finally {
      await cluster.stop();
    }
  });
});
