import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** How one client came through one scenario. */
export interface Result {
  readonly client: string;
  readonly version: string;
  readonly scenario: string;
  readonly result: 'ok' | 'failed' | 'skipped';
  readonly ms?: number;
  readonly note: string;
}

const HEADINGS = ['client', 'version', 'scenario', 'result', 'ms', 'remarks'];

/** The results of a run: all of one client together, each in the order in which they came. */
export class Results {
  readonly #results: Result[] = [];

  add(result: Result): void {
    this.#results.push(result);
  }

  get count(): number {
    return this.#results.length;
  }

  /** As a markdown table, its columns aligned so that it can be read as it is. */
  toString(): string {
    const clients = [...new Set(this.#results.map(({ client }) => client))];
    const sorted = this.#results.toSorted((one, other) => clients.indexOf(one.client) - clients.indexOf(other.client));
    const rows = sorted.map(({ client, version, scenario, result, ms, note }) =>
      [client, version, scenario, result, ms === undefined ? '' : ms.toFixed(0), note].map(cell),
    );
    const widths = HEADINGS.map((heading, column) =>
      Math.max(heading.length, ...rows.map((row) => row[column]?.length ?? 0)),
    );
    const line = (cells: readonly string[], fill = ' ') =>
      `| ${cells.map((text, column) => text.padEnd(widths[column] ?? 0, fill)).join(' | ')} |`;
    const dashes = HEADINGS.map(() => '');
    return `${[line(HEADINGS), line(dashes, '-'), ...rows.map((row) => line(row))].join('\n')}\n`;
  }

  async write(file: string): Promise<void> {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, this.toString());
  }
}

/** One cell's text: on one line, and without the sign that ends a cell. */
function cell(text: string): string {
  return text.replace(/\s+/g, ' ').replaceAll('|', '\\|');
}
