import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { ClientConnection } from '../../../src/relay/client-connection.ts';
import type { RequestRelay } from '../../../src/relay/request-relay.ts';
import { TurnBatch } from '../../../src/relay/turn-batch.ts';

it('a connection that is cut for not reading is nobody to look after any more', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as { port: number }).port, '127.0.0.1').pause();
  client.on('error', () => {});
  const [socket] = (await once(server, 'connection')) as [Socket];
  onTestFinished(() => {
    client.destroy();
    server.close();
  });
  const pressing = new Set<ClientConnection>();
  const closed: string[] = [];
  const connection = new ClientConnection(
    socket,
    {} as RequestRelay,
    new TurnBatch(),
    { maxRequestBytes: 1000, maxInFlight: 10, maxQueuedBytes: 1000, idleTimeoutMs: 0 },
    {
      onMalformed: () => {},
      onPressing: (one, isPressing) => void (isPressing ? pressing.add(one) : pressing.delete(one)),
      onClosed: (_one, reason) => closed.push(reason),
    },
  );
  connection.send(Buffer.alloc(64 * 1024 * 1024), []);
  connection.flush();
  expect(closed).toEqual(['slow_reader']);
  expect(pressing.size).toBe(0);
});
