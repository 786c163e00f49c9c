// Compiles the chaos suite to .cache/ and runs it on the built program: npm run build && node scripts/chaos.mjs --help
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const pathOf = (relative) => fileURLToPath(new URL(`../${relative}`, import.meta.url));

const { status } = spawnSync(
  process.execPath,
  [pathOf('node_modules/typescript/bin/tsc'), '-p', pathOf('test/chaos/tsconfig.json')],
  { stdio: 'inherit' },
);
if (status === 0) await import('../.cache/chaos/test/chaos/main.js');
else process.exitCode = 2;
