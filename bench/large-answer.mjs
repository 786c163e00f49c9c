// What does it cost that an answer is passed on only when it has come in whole? Compared, in one run, round by round:
// the MetaServer itself, a relay that passes every chunk on as it comes (two sockets piped, nothing else), and the
// proxy. One query in flight, so that each figure is the way of one answer and nothing but.
//
//   npm run bench:large-answer [-- --seconds 2 --rounds 5 --json]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { encodeRequest } from '../dist/wire/message-frame.js';
import { queryCfgRpc } from '../dist/wire/messages.js';

const PARTITIONS = [8, 1024, 2048];
const HOST = '127.0.0.1';
const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
    relay: { type: 'string' },
  },
});

if (options.relay !== undefined) runBareRelay(Number(options.relay));
else await main();

/** The relay to compare with, a process of its own: chunks pass as they come. */
function runBareRelay(metaPort) {
  const server = createServer({ noDelay: true }, (client) => {
    const meta = connect({ host: HOST, port: metaPort, noDelay: true });
    client.pipe(meta).pipe(client);
    for (const socket of [client, meta]) socket.on('error', () => socket.destroy());
  });
  server.listen(0, HOST, () => process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`));
}

async function main() {
  const folder = mkdtempSync(join(tmpdir(), 'meta-proxy-bench-'));
  const children = [];
  try {
    const tables = PARTITIONS.map((count) => `t${count}:${count}`).join(',');
    const sim = fileURLToPath(new URL('../dist/sim/sim-main.js', import.meta.url));
    const meta = await start(children, sim, '--name', 'a', '--metas', '1', '--tables', tables, '--record-limit', '0');
    const address = meta.metas[0];
    const ports = { direct: Number(address.split(':')[1]) };
    ports.piped = (await start(children, fileURLToPath(import.meta.url), '--relay', String(ports.direct))).port;
    ports.proxy = await startProxy(children, folder, address);
    report(await measure(ports));
  } finally {
    for (const child of children) child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

async function startProxy(children, folder, meta) {
  const entry = `{ cluster: a, meta-addrs: ['${meta}'] }`;
  writeFileSync(join(folder, 'tables.yaml'), `tables:\n${PARTITIONS.map((n) => `  t${n}: ${entry}\n`).join('')}`);
  const config = join(folder, 'config.yaml');
  writeFileSync(config, `listen: ${HOST}:0\nregistry: file\nfile: { path: tables.yaml }\n`);
  const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
  const { listen } = await start(children, main, 'serve', '--config', config);
  return Number(listen.split(':')[1]);
}

/** Starts a program of ours, and resolves to the line that tells where it listens. */
async function start(children, script, ...args) {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  for await (const line of createInterface({ input: child.stdout })) {
    const told = JSON.parse(line);
    if (told.metas ?? told.port ?? told.listen) return told;
  }
  throw new Error(`${script} ended before it listened`);
}

/** Latencies in µs by partitions and way, one list per round. */
async function measure(ports) {
  const results = [];
  for (let round = 0; round <= Number(options.rounds); round++) {
    for (const partitions of PARTITIONS) {
      for (const [way, port] of Object.entries(ports)) {
        const latencies = await load(port, `t${partitions}`, (Number(options.seconds) * 1000) / PARTITIONS.length);
        // The first round warms up.
        if (round > 0) results.push({ partitions, way, round, ...latencies });
      }
    }
  }
  return results;
}

/** One query after the other on one connection. */
async function load(port, table, forMs) {
  const socket = connect({ host: HOST, port, noDelay: true });
  await once(socket, 'connect');
  const request = encodeRequest({ rpc: queryCfgRpc, seqId: 1, args: { app_name: table }, timeoutMs: 5000 });
  const latencies = [];
  let bytes = 0;
  const until = performance.now() + forMs;
  await new Promise((resolve, reject) => {
    let sentAt = performance.now();
    let missing = 0;
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('closed by the server')));
    socket.on('data', (chunk) => {
      if (missing === 0) {
        bytes = chunk.readInt32BE(0);
        missing = bytes;
      }
      missing -= chunk.length;
      if (missing > 0) return;
      const now = performance.now();
      latencies.push((now - sentAt) * 1000);
      if (now > until) resolve();
      sentAt = performance.now();
      if (now <= until) socket.write(request);
    });
    socket.write(request);
  });
  socket.removeAllListeners('close');
  socket.destroy();
  latencies.sort((a, b) => a - b);
  return { bytes, queries: latencies.length, p50: at(latencies, 0.5), p99: at(latencies, 0.99) };
}

function at(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

function median(values) {
  return at(
    [...values].sort((a, b) => a - b),
    0.5,
  );
}

function report(results) {
  const rows = PARTITIONS.map((partitions) => {
    const of = (way, key) =>
      median(results.filter((r) => r.partitions === partitions && r.way === way).map((r) => r[key]));
    const { bytes } = results.find((r) => r.partitions === partitions);
    return {
      partitions,
      bytes,
      ...Object.fromEntries(
        ['direct', 'piped', 'proxy'].flatMap((way) => [
          [`${way}_p50_us`, Math.round(of(way, 'p50'))],
          [`${way}_p99_us`, Math.round(of(way, 'p99'))],
        ]),
      ),
    };
  });
  if (options.json) {
    console.log(JSON.stringify(rows, null, 2));
    return;
  }
  console.log('Latency of one query, µs (median of the rounds):\n');
  console.table(rows);
  for (const row of rows) {
    const more = row.proxy_p50_us - row.piped_p50_us;
    console.log(
      `${row.partitions} partitions (${row.bytes} bytes): the proxy's p50 is ${(row.proxy_p50_us / row.piped_p50_us).toFixed(2)} times the piped relay's, ${more} µs more`,
    );
  }
}
