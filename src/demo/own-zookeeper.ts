import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Belongings, endProcess, spawnTied } from './belongings.ts';
import { DemoFailure } from './demo-failure.ts';
import { probeZookeeper } from './zookeeper-writer.ts';

const HOST = '127.0.0.1';
/** Where Debian's package has it; its manifest names the jars that it needs. */
const ZOOKEEPER_JAR = '/usr/share/java/zookeeper.jar';
const LOGGER_JAR = '/usr/share/java/slf4j-simple.jar';
const INSTALL_COMMAND = "sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends zookeeper'";
const START_TIMEOUT_MS = 60_000;
/** Short: a connection that comes early in ZooKeeper's start may be accepted and then never looked at. */
const ATTEMPT_TIMEOUT_MS = 1_000;
const PAUSE_MS = 50;

const JAVA_OPTIONS = ['-Xmx160m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-XX:-UsePerfData'];
const ZOOKEEPER_OPTIONS = ['-Dzookeeper.jmx.log4j.disable=true', '-Dzookeeper.preAllocSize=512'];
const MAIN_CLASS = 'org.apache.zookeeper.server.quorum.QuorumPeerMain';

/**
 * Starts a ZooKeeper of Debian's package on a free loopback port, its data in `folder`; resolves to its address when it
 * serves. Installs nothing: where the package is missing, throws a `DemoFailure` that says how to install it.
 */
export async function startOwnZookeeper(folder: string, belongings: Belongings): Promise<string> {
  const hasJava = spawnSync('java', ['-version'], { stdio: 'ignore' }).status === 0;
  if (!hasJava || !existsSync(ZOOKEEPER_JAR)) {
    throw new DemoFailure(
      `${hasJava ? 'ZooKeeper' : 'java'} is not installed here. On Debian and Ubuntu this installs both:\n\n` +
        `    ${INSTALL_COMMAND}\n\nOr use a ZooKeeper that runs already: npm run demo -- --zookeeper HOST:PORT`,
    );
  }
  const port = await freePort();
  const logPath = join(folder, 'zookeeper.log');
  const log = openSync(logPath, 'a');
  const classPath = [ZOOKEEPER_JAR, LOGGER_JAR].filter((jar) => existsSync(jar)).join(':');
  const options = [...JAVA_OPTIONS, ...ZOOKEEPER_OPTIONS, '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn'];
  const child = spawnTied('java', [...options, '-cp', classPath, MAIN_CLASS, writeConfig(folder, port)], {
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  child.once('error', () => {});
  belongings.own(
    () => endProcess(child),
    () => child.kill('SIGKILL'),
  );
  const deadline = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    const problem = await probeZookeeper({ host: HOST, port }, ATTEMPT_TIMEOUT_MS);
    if (problem === undefined) return `${HOST}:${port}`;
    const hasEnded = child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
    if (hasEnded || performance.now() > deadline) {
      const tail = readFileSync(logPath, 'utf8').trim().slice(-2_000);
      throw new DemoFailure(`ZooKeeper does not start on ${HOST}:${port}: ${problem}\n${tail}`);
    }
    await delay(PAUSE_MS);
  }
}

function writeConfig(folder: string, port: number): string {
  const data = join(folder, 'zookeeper');
  mkdirSync(data);
  const path = join(folder, 'zoo.cfg');
  const lines = [
    'tickTime=500',
    `dataDir=${data}`,
    `clientPort=${port}`,
    `clientPortAddress=${HOST}`,
    'admin.enableServer=false',
  ];
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, HOST, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
