import { readFile, rename, writeFile } from 'node:fs/promises';
import { parseTableFile } from '../routing/table-file.ts';
import type { DemoRegistry, MetaAddresses } from './demo-registry.ts';

/** The embedded registry: a YAML file that the proxy reads again whenever it changes. */
export class FileRegistry implements DemoRegistry {
  readonly name: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly #path: string;
  readonly #clusters: MetaAddresses;
  readonly #places: Record<string, string>;

  private constructor(path: string, clusters: MetaAddresses, places: Readonly<Record<string, string>>) {
    this.#path = path;
    this.#clusters = clusters;
    this.#places = { ...places };
    this.name = `the file ${path}`;
    this.settings = { registry: 'file', file: { path } };
  }

  static async create(
    path: string,
    clusters: MetaAddresses,
    places: Readonly<Record<string, string>>,
  ): Promise<FileRegistry> {
    const registry = new FileRegistry(path, clusters, places);
    await registry.#write();
    return registry;
  }

  async content(): Promise<string> {
    return await readFile(this.#path, 'utf8');
  }

  async assign(table: string, cluster: string): Promise<void> {
    this.#places[table] = cluster;
    await this.#write();
  }

  async tables(): Promise<string[]> {
    return [...parseTableFile(await readFile(this.#path)).keys()];
  }

  byHand(table: string, from: string, to: string) {
    return {
      how: `open the file in an editor, or let sed do it in another terminal:`,
      command: `sed -i.bak 's/${table}: ${from}/${table}: ${to}/' \\\n  ${this.#path}`,
    };
  }

  /** Whole and at once: written beside it, then renamed, so that nobody ever reads half of it. */
  async #write(): Promise<void> {
    const lines = [
      'clusters: # the MetaServers of each cluster',
      ...Object.entries(this.#clusters).map(([name, metas]) => `  ${name}: [${metas.join(', ')}]`),
      'tables: # and which cluster owns each table',
      ...Object.entries(this.#places).map(([table, cluster]) => `  ${table}: ${cluster}`),
    ];
    await writeFile(`${this.#path}.new`, `${lines.join('\n')}\n`);
    await rename(`${this.#path}.new`, this.#path);
  }
}
