import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, type YAMLMap } from 'yaml';

/** A parsed mapping; every field remembers the line (from 1) it stands on, so that a mistake can be pointed at. */
export type YamlMap = ReadonlyMap<string, YamlField>;
export type YamlValue = string | number | boolean | null | readonly YamlValue[] | YamlMap;
export interface YamlField {
  readonly line: number;
  readonly value: YamlValue;
}

/** Why a file can't be used, in one line of plain words; `line` (from 1) where one place is to blame. */
export class BadFileError extends Error {
  override readonly name = 'BadFileError';
  readonly line: number | undefined;

  constructor(message: string, line?: number) {
    super(message.replace(/\s+/g, ' '));
    this.line = line;
  }
}

/** Nothing we read is nested deeper than a few levels; the bound keeps the walk below from running out of stack. */
const MAX_DEPTH = 16;
/** Without O_NONBLOCK the open of a FIFO that nobody writes to would wait for ever. */
const OPEN_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** Reads a whole regular file of at most `maxBytes`. Throws `BadFileError`. */
export async function readSmallFile(path: string, maxBytes: number): Promise<Uint8Array> {
  try {
    const file = await open(path, OPEN_FLAGS);
    try {
      const stats = await file.stat();
      if (stats.isDirectory()) throw new BadFileError('this is a directory, expected a file');
      if (!stats.isFile()) throw new BadFileError('this is not a regular file');
      if (stats.size > maxBytes) throw tooLarge(maxBytes);
      const content = await file.readFile();
      if (content.length > maxBytes) throw tooLarge(maxBytes);
      return content;
    } finally {
      await file.close();
    }
  } catch (error) {
    throw error instanceof BadFileError ? error : new BadFileError(describeFileError(error));
  }
}

/**
 * Parses YAML 1.2 and keeps the lines. Refused beyond plain syntax errors: doubled keys, aliases (a few lines of them
 * unfold to gigabytes), tags nobody knows, a second document, deep nesting. Throws `BadFileError`.
 */
export function parseYaml(content: Uint8Array): YamlField {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch {
    throw new BadFileError('not UTF-8 text');
  }
  const lines = new LineCounter();
  // Doubled keys are looked for below: the library compares each key with each, which takes seconds for 30,000 tables.
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
    uniqueKeys: false,
    logLevel: 'error',
  });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem?.code === 'MULTIPLE_DOCS') throw new BadFileError('more than one YAML document ("---")');
  if (problem !== undefined) {
    throw new BadFileError(`not valid YAML: ${problem.message}`, lines.linePos(problem.pos[0]).line);
  }
  return new TreeReader(lines).field(document.contents, 0);
}

/** The parsed tree as plain values: what `JSON.parse` would give for the same content. */
export function plainValue(value: YamlValue): unknown {
  if (isYamlMap(value)) return Object.fromEntries([...value].map(([key, field]) => [key, plainValue(field.value)]));
  return isYamlList(value) ? value.map(plainValue) : value;
}

export function isYamlMap(value: YamlValue): value is YamlMap {
  return value instanceof Map;
}

export function isYamlList(value: YamlValue): value is readonly YamlValue[] {
  return Array.isArray(value);
}

class TreeReader {
  readonly #lines: LineCounter;

  constructor(lines: LineCounter) {
    this.#lines = lines;
  }

  field(node: unknown, depth: number): YamlField {
    const line = this.#lineOf(node);
    if (depth > MAX_DEPTH) throw new BadFileError(`nested deeper than ${MAX_DEPTH} levels`, line);
    if (node === null || node === undefined) return { line, value: null };
    if (isMap(node)) return { line, value: this.#map(node, depth) };
    if (isSeq(node)) return { line, value: node.items.map((item) => this.field(item, depth + 1).value) };
    if (isAlias(node)) throw new BadFileError('aliases (*name) are not supported', line);
    return { line, value: scalarValue(isScalar(node) ? node.value : undefined, line) };
  }

  #map(node: YAMLMap, depth: number): YamlMap {
    const fields = new Map<string, YamlField>();
    for (const { key, value } of node.items) {
      const line = this.#lineOf(key);
      if (!isScalar(key)) throw new BadFileError('a key that is no plain text', line);
      const name = String(key.value);
      if (fields.has(name)) throw new BadFileError(`the key ${JSON.stringify(name)} stands there twice`, line);
      fields.set(name, { line, value: this.field(value, depth + 1).value });
    }
    return fields;
  }

  #lineOf(node: unknown): number {
    return isNode(node) && node.range ? this.#lines.linePos(node.range[0]).line : 1;
  }
}

function scalarValue(value: unknown, line: number): YamlValue {
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
    return value;
  }
  throw new BadFileError('a value that is neither text nor number', line);
}

function tooLarge(maxBytes: number): BadFileError {
  return new BadFileError(`larger than ${maxBytes} bytes`);
}

const FILE_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file (a part of the path is no directory)',
  EACCES: 'no permission to read it',
  EPERM: 'no permission to read it',
  EISDIR: 'this is a directory, expected a file',
  ENXIO: 'this is not a regular file',
  ELOOP: 'too many symbolic links',
  EMFILE: 'this process has too many files open',
};

function describeFileError(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return FILE_ERRORS[code ?? ''] ?? `it can't be read (${code ?? String(error)})`;
}
