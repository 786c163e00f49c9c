import { ALL_KEYS, type AnyKey } from './config-keys.ts';

/** The reference of all keys as Markdown, for docs/configuration.md. */
export function renderConfigurationKeys(): string {
  const rows = ALL_KEYS.map((key) => row([`\`${key.key}\``, typeOf(key), defaultOf(key), boundsOf(key), helpOf(key)]));
  return [row(['Key', 'Type', 'Default', 'Bounds', 'Meaning']), '|---|---|---|---|---|', ...rows].join('\n');
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function typeOf({ kind }: AnyKey): string {
  return kind.unit === undefined ? kind.type : `${kind.type}, ${kind.unit}`;
}

function defaultOf({ kind, default: value, required }: AnyKey): string {
  if (required !== undefined) return `needed ${required}`;
  const shown = kind.show(value);
  return shown === '' || (Array.isArray(shown) && shown.length === 0) ? 'none' : `\`${shown}\``;
}

function boundsOf({ kind }: AnyKey): string {
  return kind.bounds ?? '';
}

function helpOf({ help, restart }: AnyKey): string {
  return restart ? help : `${help} Takes effect without a restart.`;
}
