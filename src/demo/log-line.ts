import { basename, isAbsolute } from 'node:path';

/** One line of the proxy's log, as far as it is known. */
export type LogLine = { readonly level: string; readonly time: string; readonly msg: string } & Readonly<
  Record<string, unknown>
>;

/** Reads what the proxy writes: one JSON object per line; undefined for anything else. */
export function parseLogLine(text: string): LogLine | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isLine = typeof value === 'object' && value !== null && 'msg' in value && 'level' in value;
    return isLine ? (value as LogLine) : undefined;
  } catch {
    return undefined;
  }
}

/** The line for a person: time of day, level, what happened, then who and where. */
export function formatLogLine({ level, time, msg, metas: _metas, err, ...fields }: LogLine): string {
  const shown = Object.entries(fields).map(([name, value]) => `${name}=${formatValue(value)}`);
  if (err !== undefined) shown.push(`err=${formatValue((err as { message?: unknown }).message ?? err)}`);
  return `${String(time).slice(11, 23)} ${level.padEnd(5)} ${msg}  ${shown.join(' ')}`.trimEnd();
}

function formatValue(value: unknown): string {
  if (typeof value === 'string' && isLongPath(value)) return `…/${basename(value)}`;
  if (typeof value === 'string') return /\s/.test(value) ? JSON.stringify(value) : value;
  return Array.isArray(value) ? value.map(formatValue).join(',') : JSON.stringify(value);
}

/** The demo's own files: their folder has been shown, and would take half of the line each time. */
function isLongPath(value: string): boolean {
  return isAbsolute(value) && value.length > 32 && !/\s/.test(value);
}
