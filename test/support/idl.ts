import { readFileSync } from 'node:fs';

/** What a .thrift file declares, as far as idl/pegasus.thrift makes use of the language. */
export interface Idl {
  /** By the struct's name: its fields, in the order of the file. */
  readonly structs: ReadonlyMap<string, readonly IdlField[]>;
  readonly enums: ReadonlyMap<string, Readonly<Record<string, number>>>;
  /** By the function's name: what it takes, what it returns. */
  readonly functions: ReadonlyMap<string, { readonly argument: string; readonly result: string }>;
}

export interface IdlField {
  readonly id: number;
  readonly optional: boolean;
  readonly type: string;
  readonly name: string;
}

const BLOCK = /\b(struct|enum|service)\s+(\w+)\s*\{([^}]*)\}/g;
const FIELD = /^(\d+):\s*(optional\s+)?(.+?)\s+(\w+)$/;
const ENUMERATOR = /^(\w+)\s*=\s*(\d+)$/;
const FUNCTION = /^(\w+)\s+(\w+)\(1:\s*(\w+)\s+\w+\)$/;

/** Reads a .thrift file; a line that it can't read is an error, not a gap. */
export function readIdl(path: URL): Idl {
  const text = readFileSync(path, 'utf8').replace(/\/\/.*$/gm, '');
  const structs = new Map<string, IdlField[]>();
  const enums = new Map<string, Record<string, number>>();
  const functions = new Map<string, { argument: string; result: string }>();
  for (const [, kind, name = '', body = ''] of text.matchAll(BLOCK)) {
    const lines = body
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
    if (kind === 'struct') structs.set(name, lines.map(readField));
    else if (kind === 'enum') enums.set(name, Object.fromEntries(lines.map(readEnumerator)));
    else for (const line of lines) functions.set(...readFunction(line));
  }
  return { structs, enums, functions };
}

function readField(line: string): IdlField {
  const [, id, optional, type = '', name = ''] = matchOf(FIELD, line);
  return { id: Number(id), optional: optional !== undefined, type, name };
}

function readEnumerator(line: string): [string, number] {
  const [, name = '', value] = matchOf(ENUMERATOR, line);
  return [name, Number(value)];
}

function readFunction(line: string): [string, { argument: string; result: string }] {
  const [, result = '', name = '', argument = ''] = matchOf(FUNCTION, line);
  return [name, { argument, result }];
}

function matchOf(pattern: RegExp, line: string): RegExpExecArray {
  const match = pattern.exec(line);
  if (match === null) throw new Error(`not understood: ${line}`);
  return match;
}
