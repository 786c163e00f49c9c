import { formatLogLine, type LogLine } from './log-line.ts';

const MAX_WIDTH = 100;
const MIN_WIDTH = 60;

/** What the demo writes to: the part of standard output that matters. */
export interface ScreenOutput {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** SGR codes. */
const STYLES = { bold: '1', dim: '2', green: '32', yellow: '33', heading: '1;36' } as const;

type Style = keyof typeof STYLES;

type Block = 'title' | 'step' | 'text' | 'table' | 'facts' | 'verbatim' | 'confirmed' | 'log' | 'event';

/** Blocks of these kinds stand together without a blank line between them. */
const TOGETHER: ReadonlySet<Block> = new Set(['confirmed', 'log', 'event']);
const LIVE: ReadonlySet<Block | undefined> = new Set(['log', 'event']);

/** Lays out the demo's output: wrapped text, aligned tables, colour where a person looks at it. */
export class Screen {
  readonly #output: ScreenOutput;
  readonly #width: number;
  readonly #isColoured: boolean;
  #last: Block | undefined;

  constructor(output: ScreenOutput, env: NodeJS.ProcessEnv) {
    this.#output = output;
    this.#width = Math.max(MIN_WIDTH, Math.min(MAX_WIDTH, output.columns || MAX_WIDTH));
    this.#isColoured = output.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
  }

  title(text: string): void {
    this.#block('title', [this.#styled('bold', text)]);
  }

  step(text: string): void {
    this.#block('step', [this.#styled('heading', text)]);
  }

  /** A paragraph. */
  say(text: string): void {
    this.#block(
      'text',
      wrapped(text, this.#width - 3).map((line) => `   ${line}`),
    );
  }

  /** Rows of aligned columns; those whose head ends with ">" are flush right. */
  table(heads: readonly string[], rows: readonly (readonly string[])[]): void {
    const names = heads.map((head) => head.replace(/>$/, ''));
    const widths = names.map((name, at) => Math.max(name.length, ...rows.map((row) => (row[at] ?? '').length)));
    const format = (row: readonly string[]) =>
      row
        .map((cell, at) => (heads[at]?.endsWith('>') ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)))
        .join('  ')
        .trimEnd();
    this.#block('table', [this.#styled('dim', `     ${format(names)}`), ...rows.map((row) => `     ${format(row)}`)]);
  }

  /** Labels and what belongs to them. */
  facts(facts: readonly (readonly [string, string])[]): void {
    const width = Math.max(...facts.map(([label]) => label.length));
    this.#block(
      'facts',
      facts.map(([label, value]) => `     ${this.#styled('dim', label.padEnd(width))}  ${value}`),
    );
  }

  /** Lines as they are: a file's content, a command to copy. */
  verbatim(text: string): void {
    const lines = text.trimEnd().split('\n');
    this.#block(
      'verbatim',
      lines.map((line) => `     ${line}`),
    );
  }

  /** Something that was checked and is so. */
  confirmed(claim: string): void {
    const lines = wrapped(claim, this.#width - 7);
    this.#block(
      'confirmed',
      lines.map((line, at) => (at === 0 ? `   ${this.#styled('green', 'ok')}  ${line}` : `       ${line}`)),
    );
  }

  /** Lines of the proxy's log. */
  log(lines: readonly LogLine[]): void {
    if (lines.length === 0) return;
    const format = (line: LogLine) => {
      const isTrouble = line.level !== 'info' && line.level !== 'debug';
      return this.#styled(isTrouble ? 'yellow' : 'dim', clipped(`   | ${formatLogLine(line)}`, this.#width));
    };
    this.#block('log', lines.map(format));
  }

  /** A moment of the live view. */
  event(text: string): void {
    this.#block('event', [`   ${text}`]);
  }

  #block(kind: Block, lines: readonly string[]): void {
    const isTogether = TOGETHER.has(kind) && (kind === this.#last || (LIVE.has(kind) && LIVE.has(this.#last)));
    const gap = this.#last === undefined || isTogether ? '' : '\n';
    this.#last = kind;
    this.#output.write(`${gap}${lines.join('\n')}\n`);
  }

  #styled(style: Style, text: string): string {
    return this.#isColoured ? `\u001b[${STYLES[style]}m${text}\u001b[0m` : text;
  }
}

function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

function clipped(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}
