import type { Report } from './runner.ts';

const HEADINGS = ['target', 'frames', 'accepted', 'rejected, by reason', 'frames/s', 'heap before → after', 'slowest'];

/** The reports as text, a line for each, as wide as they need. */
export function renderTable(reports: readonly Report[]): string {
  const rows = [HEADINGS, ...reports.map(toRow)];
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => (row[column] as string).length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] as number))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function toRow({ target, frames, seconds, outcomes, bytesBefore, bytesAfter, slowestMs }: Report): string[] {
  const rejected = [...outcomes].filter(([outcome]) => outcome !== 'accepted').sort((a, b) => b[1] - a[1]);
  return [
    target,
    count(frames),
    count(outcomes.get('accepted') ?? 0),
    rejected.map(([reason, n]) => `${reason} ${count(n)}`).join(', '),
    count(Math.round(frames / Math.max(seconds, 0.001))),
    `${megabytes(bytesBefore)} → ${megabytes(bytesAfter)} MB`,
    `${slowestMs.toFixed(1)} ms`,
  ];
}

function count(n: number): string {
  return n.toLocaleString('en-US');
}

function megabytes(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(1);
}
