import { isTableName } from '../wire/table-name.ts';
import { BadRouteError, type Route, routeFromValue } from './route.ts';
import { BadFileError, isYamlMap, parseYaml, plainValue, type YamlField, type YamlMap } from './yaml-file.ts';

/** What the file says about one table, or why that is no route; the problem names its line. */
export type TableEntry =
  | { readonly route: Route; readonly problem?: undefined }
  | { readonly problem: string; readonly route?: undefined };

/** Parsing stops everything else meanwhile, for a second or two per megabyte. */
export const MAX_TABLE_FILE_BYTES = 1024 * 1024;

const LAYOUT = '"tables" and, if wanted, "clusters"';
const ENTRY_FIELDS = new Set(['cluster', 'cluster_name', 'meta-addrs', 'meta_addrs']);

/**
 * Reads a file of tables:
 *
 *     clusters:                       # optional: the MetaServers of a cluster, said once
 *       a: [meta1:34601, meta2:34601]
 *     tables:
 *       temp: a                       # the short form: a name from above
 *       user: { cluster: b, meta-addrs: [meta3:34601] }   # the fields of a znode, in either of their layouts
 *
 * A mistake in one entry is that entry's `problem` alone. Throws `BadFileError` where the whole is no such file;
 * so is one without `tables`: half a file, seen while it was being written, must not look like "no tables any more".
 */
export function parseTableFile(content: Uint8Array): Map<string, TableEntry> {
  const root = parseYaml(content);
  if (root.value === null) throw new BadFileError('the file is empty, expected "tables"');
  if (!isYamlMap(root.value)) throw new BadFileError(`expected ${LAYOUT}`, root.line);
  for (const [key, { line }] of root.value) {
    if (key !== 'tables' && key !== 'clusters') {
      throw new BadFileError(`unknown key ${JSON.stringify(key)}, expected ${LAYOUT}`, line);
    }
  }
  const clusters = section(root.value, 'clusters') ?? new Map<string, YamlField>();
  const tables = section(root.value, 'tables');
  if (tables === undefined) throw new BadFileError('"tables" is missing');
  const reader = new EntryReader(clusters);
  return new Map([...tables].map(([name, field]) => [name, reader.read(name, field)]));
}

function section(root: YamlMap, name: string): YamlMap | undefined {
  const field = root.get(name);
  if (field === undefined) return undefined;
  if (isYamlMap(field.value)) return field.value;
  throw new BadFileError(`"${name}": expected a mapping (for none: {})`, field.line);
}

class EntryReader {
  readonly #clusters: YamlMap;
  /** Each cluster is read once, however many tables are on it. */
  readonly #read = new Map<string, TableEntry>();

  constructor(clusters: YamlMap) {
    this.#clusters = clusters;
  }

  read(name: string, { line, value }: YamlField): TableEntry {
    if (!isTableName(name)) {
      return { problem: `line ${line}: not a table name: ${JSON.stringify(name.slice(0, 80))}` };
    }
    if (typeof value === 'string') return this.#clusterOf(value, line);
    if (!isYamlMap(value)) return { problem: `line ${line}: expected a cluster's name or the fields of a route` };
    const unknown = [...value.keys()].find((key) => !ENTRY_FIELDS.has(key));
    if (unknown !== undefined) {
      const fields = [...ENTRY_FIELDS].join(', ');
      return { problem: `line ${line}: unknown field ${JSON.stringify(unknown.slice(0, 80))}, expected ${fields}` };
    }
    const cluster = (value.get('cluster_name') ?? value.get('cluster'))?.value;
    const addressesElsewhere = !value.has('meta_addrs') && !value.has('meta-addrs');
    return typeof cluster === 'string' && addressesElsewhere
      ? this.#clusterOf(cluster, line)
      : readRoute(plainValue(value), line);
  }

  #clusterOf(name: string, line: number): TableEntry {
    const known = this.#read.get(name);
    if (known !== undefined) return known;
    const field = this.#clusters.get(name);
    if (field === undefined) {
      return { problem: `line ${line}: no cluster ${JSON.stringify(name.slice(0, 80))} under "clusters"` };
    }
    const entry = readRoute({ cluster_name: name, meta_addrs: plainValue(field.value) }, field.line);
    this.#read.set(name, entry);
    return entry;
  }
}

function readRoute(value: unknown, line: number): TableEntry {
  try {
    return { route: routeFromValue(value) };
  } catch (error) {
    if (error instanceof BadRouteError) return { problem: `line ${line}: ${error.message}` };
    throw error;
  }
}
