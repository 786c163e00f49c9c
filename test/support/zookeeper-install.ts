import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const ZOOKEEPER_JAR = '/usr/share/java/zookeeper.jar';
/** Without it slf4j says nothing at all, which is fine but no help when a server doesn't start. */
const LOGGER_JAR = '/usr/share/java/slf4j-simple.jar';
const INSTALL_COMMAND = 'apt-get update && apt-get install -y --no-install-recommends zookeeper';
const APT_TIMEOUT_MS = 10 * 60_000;

/** What it takes to run ZooKeeper: Debian's package, whose jar names its dependencies in its manifest. */
export interface ZooKeeperInstallation {
  readonly classPath: string;
}

/**
 * Finds Debian's ZooKeeper, and installs it where it is missing and this process may. Throws an error that says what
 * to install and how.
 */
export function installZooKeeper(): ZooKeeperInstallation {
  if (!isInstalled()) {
    if (process.getuid?.() !== 0 || !runs('apt-get', ['--version'])) throw missing('it may not be installed from here');
    const failure = aptGet('update') ?? aptGet('install', '-y', '--no-install-recommends', 'zookeeper');
    if (!isInstalled()) throw missing(failure ?? 'the package came without /usr/share/java/zookeeper.jar or java');
  }
  return { classPath: [ZOOKEEPER_JAR, LOGGER_JAR].filter((jar) => existsSync(jar)).join(':') };
}

function isInstalled(): boolean {
  return existsSync(ZOOKEEPER_JAR) && runs('java', ['-version']);
}

function runs(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** Returns what went wrong. The lock timeout lets several test files find the package missing at the same time. */
function aptGet(...args: string[]): string | undefined {
  const result = spawnSync('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=300', ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: APT_TIMEOUT_MS,
    encoding: 'utf8',
  });
  if (result.status === 0) return undefined;
  return `apt-get ${args[0]} failed: ${result.error?.message ?? result.stderr.trim().slice(-500)}`;
}

function missing(why: string): Error {
  return new Error(
    `These tests need a real ZooKeeper, Debian's package "zookeeper" (with java), and ${why}. ` +
      `Install it with: sudo sh -c '${INSTALL_COMMAND}'`,
  );
}
