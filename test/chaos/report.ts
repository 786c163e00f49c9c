import { CLUSTERS } from './layout.ts';
import type { Counts } from './load/load-control.ts';
import type { Result } from './result.ts';

const HEADINGS = [
  'fault',
  'requests',
  'errors',
  'excused',
  'wrong',
  'stale',
  `gap ${CLUSTERS.join('/')} ms`,
  'converged ms',
  'p99 ms',
  'RSS MiB',
  'heap MiB',
  'starved',
  'verdict',
];

/** The table for a person: one line per fault. */
export function renderTable(results: readonly Result[]): string {
  const rows = [HEADINGS, ...results.map(rowOf)];
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => (row[column] as string).length)));
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] as number)).join('  '));
  lines.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('  '));
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n(* the cluster that was hurt; excused: errors of clusters of which no MetaServer answers;
 starved: the time in which the proxy or its clients wanted a processor and had none)\n`;
}

function rowOf({ name, skipped, window, hurt, measured, before, after, starved, attempts, broken }: Result): string[] {
  const outcome = skipped === undefined ? (broken.length === 0 ? 'ok' : 'BROKEN') : 'skipped';
  const verdict = attempts === 1 ? outcome : `${outcome} (attempt ${attempts})`;
  if (window === undefined) return [name, ...HEADINGS.slice(2).map(() => ''), verdict];
  const wrong = Object.values(window.violations).reduce((sum, count) => sum + count, 0);
  const stale = window.violations.stale ?? 0;
  const gaps = window.gapMs.map((gap, cluster) => `${gap}${cluster === hurt ? '*' : ''}`).join('/');
  const slowest = measured.length === 0 ? '' : `${Math.round(Math.max(...measured.map(({ ms }) => ms)))}`;
  const change = (of: 'rssMb' | 'heapMb', digits: number) =>
    `${before?.[of].toFixed(digits) ?? '?'} → ${after?.[of].toFixed(digits) ?? '?'}`;
  return [
    name,
    `${window.requests}`,
    renderCounts(window.errors),
    renderCounts(window.excused),
    `${wrong - stale}`,
    `${stale}`,
    gaps,
    slowest,
    window.p99Ms.toFixed(1),
    change('rssMb', 0),
    change('heapMb', 1),
    `${Math.round(100 * starved)} %`,
    verdict,
  ];
}

function renderCounts(counts: Counts): string {
  const entries = Object.entries(counts);
  return entries.length === 0 ? '0' : entries.map(([kind, count]) => `${count} ${kind}`).join(', ');
}
