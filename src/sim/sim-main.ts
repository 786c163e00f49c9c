import { createInterface } from 'node:readline';
import { readArguments, USAGE } from './sim-arguments.ts';
import { SimCluster } from './sim-cluster.ts';
import { runCommand } from './sim-commands.ts';

/**
 * A simulated cluster as a process of its own, for what can only be done to a process (SIGSTOP, SIGKILL). It prints one
 * JSON line once it listens, answers each line on stdin with one, and ends on SIGTERM, SIGINT or the end of stdin.
 */
async function main(): Promise<void> {
  const cluster = await SimCluster.start(readArguments(process.argv.slice(2)));
  const lines = createInterface({ input: process.stdin });
  let isStopping = false;
  const stop = () => {
    if (isStopping) return;
    isStopping = true;
    lines.close();
    process.stdin.destroy();
    void cluster.stop();
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  lines.on('close', stop);
  // One after the other, so that the answers come in the order of the commands.
  let last = Promise.resolve();
  lines.on('line', (line) => {
    last = last.then(async () => print(await runCommand(cluster, line)));
  });
  const { name, metaAddresses } = cluster;
  print({ name, metas: metaAddresses, replicas: cluster.replicas.map((replica) => replica.address), pid: process.pid });
}

function print(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  process.exitCode = 1;
});
