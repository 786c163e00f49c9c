import { parseArgs } from 'node:util';

export const USAGE = `usage: npm run chaos -- [options]

Runs the built proxy (dist/cli/main.js) between real ZooKeepers and simulated clusters, all as processes on loopback,
breaks one thing after the other under steady load, then several at once, and checks every single answer.
Exit code 1 when a bound is broken, 2 when the suite itself could not run.

  --minutes N    long form: N minutes of random mixes after the single faults, which take their time, too
                 (default: short form, a few seconds of mixes)
  --seed N       of all that is random (default: random, and printed)
  --only TEXT    only the faults whose name contains TEXT, and no mixes unless it is "mix"; may be given several times
  --rate N       queries per second in all (default 2000)
  --clients N    connections of well-behaved clients (default 200)
  --session MS   ZooKeeper session timeout (default 1000, long form 3000)
  --list         names the faults
  --json         the result as JSON on stdout, progress on stderr
`;

const SHORT_MIX_SECONDS = 9;
const RANDOM_SEEDS = 1_000_000;

/** What the command line asks for. */
export interface ChaosOptions {
  /** Every fault takes its time; false for CI. */
  readonly isLong: boolean;
  readonly mixSeconds: number;
  readonly seed: number;
  readonly only: readonly string[];
  readonly rate: number;
  readonly clients: number;
  readonly sessionMs: number;
  readonly json: boolean;
  readonly list: boolean;
  readonly help: boolean;
}

/** Reads the command line. Throws an Error that says what is wrong with it. */
export function readOptions(args: readonly string[]): ChaosOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string' },
      seed: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      rate: { type: 'string', default: '2000' },
      clients: { type: 'string', default: '200' },
      session: { type: 'string' },
      list: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const isLong = values.minutes !== undefined;
  return {
    isLong,
    mixSeconds: values.minutes === undefined ? SHORT_MIX_SECONDS : 60 * numberOf('--minutes', values.minutes),
    seed: values.seed === undefined ? Math.floor(Math.random() * RANDOM_SEEDS) : numberOf('--seed', values.seed),
    only: values.only,
    rate: numberOf('--rate', values.rate),
    clients: numberOf('--clients', values.clients),
    sessionMs: values.session === undefined ? (isLong ? 3000 : 1000) : numberOf('--session', values.session),
    list: values.list,
    json: values.json,
    help: values.help,
  };
}

function numberOf(option: string, text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new Error(`${option}: not a number: ${text}`);
  return Number(text);
}
