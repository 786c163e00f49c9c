import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LogDestination } from '../../../src/telemetry/log-destination.ts';
import { createLogger } from '../../../src/telemetry/logger.ts';
import { waitFor } from '../../support/wait-for.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'log-destination-test-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('createLogger', () => {
  it('appends one JSON object per line: level, time, fields, message', () => {
    const file = join(folder, 'x.log');
    createLogger({ level: 'info', file }).info({ table: 'temp', reason: 'why' }, 'what');
    createLogger({ level: 'info', file }).debug('not at this level');
    createLogger({ level: 'info', file }).error({ err: new TypeError('boom') }, 'bad');
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^\{"level":"info","time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","table":"temp"/);
    expect(JSON.parse(lines[1] ?? '')).toMatchObject({ level: 'error', err: { type: 'TypeError', message: 'boom' } });
  });

  it("throws where the file can't be opened", () => {
    expect(() => createLogger({ level: 'info', file: folder })).toThrow(expect.objectContaining({ code: 'EISDIR' }));
  });
});

describe('LogDestination', () => {
  it.skipIf(process.platform !== 'linux')('goes on when the disk is full, also after a fatal line', () => {
    const logger = createLogger({ level: 'info', file: '/dev/full' });
    logger.info('a line');
    logger.fatal('a fatal line');
  });

  it.skipIf(process.platform === 'win32')(
    'neither blocks nor grows while nobody reads, and drops what is too much',
    async () => {
      const fifo = join(folder, 'fifo');
      execFileSync('mkfifo', [fifo]);
      const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
      const writer = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
      const destination = new LogDestination(writer, 200_000);
      for (let i = 0; i < 10_000; i++) destination.write(`${i} ${'x'.repeat(100)}\n`);

      let taken = '';
      const buffer = Buffer.alloc(65_536);
      await waitFor(
        () => {
          taken += buffer.toString('utf8', 0, readSync(reader, buffer));
          destination.write('last\n');
          return taken.includes('last\n');
        },
        { what: 'what was held back' },
      );
      const numbers = taken
        .split('\n')
        .filter((line) => line.includes('x'))
        .map((line) => Number(line.split(' ')[0]));
      expect(numbers.length).toBeGreaterThan(1000);
      expect(numbers.length).toBeLessThan(5000);
      expect(numbers).toEqual(numbers.map((_, i) => i));
      closeSync(reader);
      closeSync(writer);
    },
  );
});
