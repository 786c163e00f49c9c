// The long form of the fuzzer: npm run fuzz -- [--frames N] [--seed S] [--seconds T] [--from N]. Prints the seed and a table.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const DEFAULT_FRAMES = 1_000_000;
const ONE_DAY = 24 * 60 * 60;

const { values } = parseArgs({
  options: {
    frames: { type: 'string' },
    seed: { type: 'string' },
    seconds: { type: 'string' },
    from: { type: 'string' },
  },
});

// With a time and no number of frames, the time alone ends it.
const frames = values.frames ?? (values.seconds === undefined ? DEFAULT_FRAMES : Number.MAX_SAFE_INTEGER);
const seed = values.seed ?? Date.now() % 1_000_000_000;
console.log(`fuzz: seed ${seed}, again with --seed ${seed}`);

const environment = {
  ...process.env,
  FUZZ_SEED: String(seed),
  FUZZ_FRAMES: String(frames),
  FUZZ_SECONDS: values.seconds ?? String(ONE_DAY),
  FUZZ_FROM: values.from ?? '0',
};
const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url));
const { status } = spawnSync(process.execPath, [vitest, 'run', '--project', 'fuzz'], {
  cwd: fileURLToPath(new URL('..', import.meta.url)),
  env: environment,
  stdio: 'inherit',
});
process.exitCode = status ?? 1;
