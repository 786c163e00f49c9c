import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { SimCluster } from '../../src/sim/sim-cluster.ts';
import { DaemonProcess } from '../support/daemon-process.ts';
import { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait-for.ts';

describe('a proxy with few file descriptors', () => {
  it('serves as many as it can, refuses the rest, and takes new ones when some have gone', async () => {
    const cluster = await SimCluster.start({ name: 'a', metas: 2, tables: { temp: { partitions: 8 } } });
    const tables = join(tmpdir(), `meta-proxy-descriptors-${process.pid}.yaml`);
    await writeFile(tables, `tables: { temp: { cluster: a, meta-addrs: [${cluster.metaAddresses.join(',')}] } }`);
    const config = `listen: 127.0.0.1:0\nregistry: file\nfile: { path: ${tables} }\n`;
    const daemon = await DaemonProcess.start({ config, maxOpenFiles: 150 });
    onTestFinished(async () => {
      await daemon.stop('SIGKILL');
      await cluster.stop();
    });
    const address = await daemon.address();
    await daemon.logged('registry can be read');
    expect(await daemon.logged('file descriptors allow fewer client connections')).toMatchObject({ limit: 86 });

    const clients = await Promise.all(Array.from({ length: 200 }, () => RawClient.connect(address)));
    const closed = new Set<RawClient>();
    for (const client of clients) client.closed.then(() => closed.add(client));
    await waitFor(() => closed.size === 200 - 86, { what: 'those over the limit to be closed' });
    const open = clients.filter((client) => !closed.has(client));
    for (const client of open) expect((await client.query('temp')).result?.err).toBe('ERR_OK');

    await Promise.all(open.slice(0, 40).map((client) => client.close()));
    await waitFor(
      async () => {
        const again = await RawClient.connect(address);
        const answered = await again.query('temp').then(
          ({ result }) => result?.err === 'ERR_OK',
          () => false,
        );
        await again.close();
        return answered;
      },
      { what: 'a new client to be served' },
    );
    for (const client of open.slice(40)) expect((await client.query('temp')).result?.err).toBe('ERR_OK');
    await Promise.all(open.map((client) => client.close()));
    expect(await daemon.stop()).toBe(0);
  });
});
