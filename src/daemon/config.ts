import { dirname, resolve } from 'node:path';
import { stringify } from 'yaml';
import {
  BadFileError,
  isYamlList,
  isYamlMap,
  parseYaml,
  plainValue,
  readSmallFile,
  type YamlField,
  type YamlValue,
} from '../routing/yaml-file.ts';
import { ALL_KEYS, type AnyKey, type Config, ConfigKey, entriesOf, mapKeys } from './config-keys.ts';
import { nearest } from './nearest.ts';

export type { Config } from './config-keys.ts';

/** A mistake in the configuration. The message is one line that names the place, what was expected and what is there. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(message: string) {
    super(message.replace(/[\s\p{Cc}]+/gu, ' '));
  }
}

/** A value that goes before that of the file. `from` is its name in messages: `--listen`. */
export interface ConfigOverride {
  readonly key: string;
  readonly value: string;
  readonly from: string;
}

const MAX_CONFIG_BYTES = 1024 * 1024;
const SECRET_MASK = '******';
const MAX_SHOWN = 60;

/** Reads, validates and completes a configuration file. Throws `ConfigError`. */
export async function loadConfig(file: string, overrides: readonly ConfigOverride[] = []): Promise<Config> {
  let content: Uint8Array;
  try {
    content = await readSmallFile(file, MAX_CONFIG_BYTES);
  } catch (error) {
    throw error instanceof BadFileError ? new ConfigError(`${file}: ${error.message}`) : error;
  }
  return parseConfig(content, file, overrides);
}

/**
 * The same for content that is at hand already. `file` is the name in messages; paths within the configuration are
 * relative to its folder. Throws `ConfigError`.
 */
export function parseConfig(
  content: Uint8Array | string,
  file: string,
  overrides: readonly ConfigOverride[] = [],
): Config {
  const values = new ConfigReader(file).read(content, overrides);
  for (const key of ['file.path', 'snapshot.path']) {
    const path = values.get(key);
    if (typeof path === 'string' && path !== '') values.set(key, resolve(dirname(file), path));
  }
  return mapKeys(({ key }) => Object.freeze(values.get(key))) as Config;
}

/** The effective values in the layout of the file, secrets masked: to be shown and logged. Unset keys are left out. */
export function describeConfig(config: Config): Readonly<Record<string, unknown>> {
  const root: Record<string, unknown> = {};
  for (const [{ key, kind, secret }, value] of entriesOf(config)) {
    if (value === '') continue;
    const levels = key.split('.');
    const name = levels.pop() ?? key;
    let group = root;
    for (const level of levels) {
      group[level] ??= {};
      group = group[level] as Record<string, unknown>;
    }
    group[name] = secret ? SECRET_MASK : kind.show(value);
  }
  return root;
}

/** `describeConfig` as the text of a configuration file. */
export function formatConfig(config: Config): string {
  return stringify(describeConfig(config), { flowCollectionPadding: false, lineWidth: 0 });
}

/** A group of keys, or a key, by the names they have in the file. */
type Layout = Map<string, Layout | AnyKey>;

const LAYOUT: Layout = layoutOf(ALL_KEYS);

class ConfigReader {
  readonly #file: string;
  readonly #values = new Map<string, unknown>(ALL_KEYS.map((key) => [key.key, key.default]));
  /** Where each key that was given stands, for the messages: `file:line` or the option. */
  readonly #places = new Map<string, string>();

  constructor(file: string) {
    this.#file = file;
  }

  read(content: Uint8Array | string, overrides: readonly ConfigOverride[]): Map<string, unknown> {
    const root = this.#parse(typeof content === 'string' ? new TextEncoder().encode(content) : content);
    this.#readGroup(LAYOUT, root, '');
    for (const { key, value, from } of overrides) this.#readOverride(key, value, from);
    this.#crossCheck();
    return this.#values;
  }

  #parse(content: Uint8Array): YamlField {
    let root: YamlField;
    try {
      root = parseYaml(content);
    } catch (error) {
      if (!(error instanceof BadFileError)) throw error;
      throw new ConfigError(`${this.#place(error.line)}: ${error.message}`);
    }
    if (root.value === null) {
      throw new ConfigError(`${this.#file}: the file is empty, expected at least zookeeper.address and zookeeper.root`);
    }
    return root;
  }

  #readGroup(layout: Layout, { line, value }: YamlField, prefix: string): void {
    if (value === null) return; // a group whose keys are all commented out
    const holdsSecret = [...layout.values()].some((node) => node instanceof ConfigKey && node.secret);
    if (!isYamlMap(value)) {
      const where = prefix === '' ? this.#place(line) : `${this.#place(line)}: ${prefix}`;
      const found = holdsSecret ? kindOf(value) : shown(value);
      throw new ConfigError(`${where}: expected the keys ${[...layout.keys()].join(', ')}, found ${found}`);
    }
    const seen = new Map<string, string>();
    for (const [written, field] of value) {
      const name = written.toLowerCase(); // the Go daemon takes its keys in any letter case
      const node = layout.get(name);
      const full = prefix === '' ? name : `${prefix}.${name}`;
      if (node === undefined) throw this.#unknownKey(layout, written, field.line, prefix, holdsSecret);
      const twin = seen.get(name);
      if (twin !== undefined) throw new ConfigError(`${this.#place(field.line)}: ${full}: stands there twice`);
      seen.set(name, written);
      if (node instanceof ConfigKey) this.#set(node, field.value, this.#place(field.line));
      else this.#readGroup(node, field, full);
    }
  }

  #readOverride(key: string, value: string, from: string): void {
    const known = ALL_KEYS.find((each) => each.key === key);
    if (known === undefined) throw new Error(`no such configuration key: ${key}`);
    this.#set(known, value, from);
  }

  #set(key: AnyKey, value: YamlValue, place: string): void {
    const read = key.kind.read(value);
    if (read === undefined) {
      const found = key.secret ? `${kindOf(value)} of another form` : shown(value);
      const name = place.startsWith('--') ? place : `${place}: ${key.key}`;
      throw new ConfigError(`${name}: expected ${key.kind.expected}, found ${found}`);
    }
    this.#values.set(key.key, read);
    this.#places.set(key.key, place);
  }

  #crossCheck(): void {
    this.#ordered('deadline.min_ms', 'deadline.default_ms');
    this.#ordered('deadline.default_ms', 'deadline.max_ms');
    this.#ordered('meta.backoff_min_ms', 'meta.backoff_max_ms');
    if (this.#values.get('registry') === 'file') {
      this.#required('file.path', 'the path of the YAML file of tables');
    } else {
      this.#required('zookeeper.address', 'the ZooKeeper servers as host:port');
      this.#required('zookeeper.root', 'the znode whose children are the tables');
    }
    this.#notOverwritten('snapshot.path');
    const tags = this.#values.get('metric.tags') as Readonly<Record<string, string>>;
    const bad = Object.keys(tags).find((name) => !/^(?!__)\w+$/.test(name));
    if (bad !== undefined && this.#values.get('metric.type') === 'prometheus') {
      throw this.#wrong('metric.tags', 'names of letters, digits and _ (for metric.type prometheus)', shown(bad));
    }
  }

  #ordered(low: string, high: string): void {
    const [least, most] = [Number(this.#values.get(low)), Number(this.#values.get(high))];
    if (least <= most) return;
    // the one that was given is to blame, not the default it collides with
    if (this.#places.has(low)) throw this.#wrong(low, `at most ${high}, which is ${most}`, least);
    throw this.#wrong(high, `at least ${low}, which is ${least}`, most);
  }

  /** What the program writes must not be what it reads: a slip here would cost the operator that file. */
  #notOverwritten(key: string): void {
    const path = resolve(dirname(this.#file), String(this.#values.get(key)));
    const isTables = path === resolve(dirname(this.#file), String(this.#values.get('file.path')));
    if (this.#places.has(key) && (isTables || path === resolve(this.#file))) {
      throw this.#wrong(key, 'a file of its own', shown(String(this.#values.get(key))));
    }
  }

  #required(key: string, expected: string): void {
    if (this.#places.has(key)) return;
    throw this.#wrong(key, `${expected} (registry is ${this.#values.get('registry')})`, 'nothing');
  }

  #wrong(key: string, expected: string, found: unknown): ConfigError {
    return new ConfigError(`${this.#places.get(key) ?? this.#file}: ${key}: expected ${expected}, found ${found}`);
  }

  #unknownKey(layout: Layout, written: string, line: number, prefix: string, holdsSecret: boolean): ConfigError {
    const place = this.#place(line);
    const inGroup = (name: string) => (prefix === '' ? name : `${prefix}.${name}`);
    const flat = ALL_KEYS.find(({ key }) => key === inGroup(written.toLowerCase()));
    if (flat !== undefined) {
      const [group, ...rest] = written.split('.');
      return new ConfigError(
        `${place}: ${flat.key}: expected nested keys, ${rest.join('.')} below ${group}:, not dots`,
      );
    }
    const meant = nearest(written, layout.keys());
    // what stands in the place of a key beside a secret may be the secret
    const name = holdsSecret && meant === undefined ? '' : ` ${shown(inGroup(written))}`;
    const hint = meant === undefined ? `expected ${[...layout.keys()].join(', ')}` : `did you mean ${inGroup(meant)}?`;
    return new ConfigError(`${place}: ${prefix === '' || meant ? '' : `${prefix}: `}unknown key${name}, ${hint}`);
  }

  #place(line: number | undefined): string {
    return line === undefined ? this.#file : `${this.#file}:${line}`;
  }
}

function layoutOf(keys: readonly AnyKey[]): Layout {
  const root: Layout = new Map();
  for (const key of keys) {
    const levels = key.key.split('.');
    const name = levels.pop() ?? key.key;
    let group = root;
    for (const level of levels) {
      const next = group.get(level) ?? new Map<string, Layout | AnyKey>();
      if (next instanceof ConfigKey) throw new Error(`${key.key} stands below a key`);
      group.set(level, next);
      group = next;
    }
    group.set(name, key);
  }
  return root;
}

/** What was found, short and on one line. */
function shown(value: YamlValue): string {
  if (value === null) return 'nothing';
  const text = JSON.stringify(plainValue(value));
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

function kindOf(value: YamlValue): string {
  if (value === null) return 'nothing';
  if (isYamlMap(value)) return 'a mapping';
  return isYamlList(value) ? 'a list' : 'a value';
}
