// Writes the generated parts of the documentation; `--check` only compares, and exits 1 where they differ.
// Runs on the built program: npm run build && node scripts/docs.mjs
import { readFileSync, writeFileSync } from 'node:fs';
import { renderConfigurationKeys } from '../dist/daemon/config-docs.js';
import { renderLocalAnswers, renderMetrics } from '../dist/daemon/reference-docs.js';

/** Each section stands in `file` between `<!-- generated:MARKER -->` and `<!-- /generated:MARKER -->`. */
const SECTIONS = [
  { file: 'docs/configuration.md', marker: 'configuration', render: renderConfigurationKeys },
  { file: 'docs/metrics.md', marker: 'metrics', render: renderMetrics },
  { file: 'README.md', marker: 'answers', render: renderLocalAnswers },
];

const root = new URL('../', import.meta.url);
const checkOnly = process.argv.includes('--check');
let drifted = 0;

for (const { file, marker, render } of SECTIONS) {
  const before = readFileSync(new URL(file, root), 'utf8');
  const after = replaceSection(before, file, marker, render());
  if (after === before) continue;
  drifted += 1;
  if (checkOnly) {
    console.error(
      `${file}: the section "${marker}" is not what the code says; run: npm run build && node scripts/docs.mjs`,
    );
  } else {
    writeFileSync(new URL(file, root), after);
    console.log(`${file}: the section "${marker}" was written anew`);
  }
}
if (checkOnly && drifted > 0) process.exitCode = 1;

function replaceSection(text, file, marker, content) {
  const [open, close] = [`<!-- generated:${marker} -->`, `<!-- /generated:${marker} -->`];
  const [start, end] = [text.indexOf(open), text.indexOf(close)];
  if (start < 0 || end < start) throw new Error(`${file}: expected the markers ${open} and ${close}`);
  return `${text.slice(0, start + open.length)}\n${content}\n${text.slice(end)}`;
}
