import { afterAll, describe, expect, it } from 'vitest';
import { waitFor } from '../support/wait-for.ts';
import { ALLOWED_GROWTH_BYTES } from './heap.ts';
import { fuzzLiveServer } from './live/live-server.ts';
import { options } from './options.ts';
import { fuzz, type Report, type Target } from './runner.ts';
import { renderTable } from './table.ts';
import { generateMessages } from './targets/codecs.ts';
import { generateRequests } from './targets/requests.ts';
import { generateResponses } from './targets/responses.ts';
import { generateRoutes } from './targets/routes.ts';

const TARGETS: readonly Target[] = [
  { name: 'requests', share: 0.5, generate: generateRequests },
  { name: 'responses', share: 0.35, generate: generateResponses },
  { name: 'messages', share: 0.1, generate: generateMessages },
  { name: 'routes', share: 0.05, generate: generateRoutes },
];

/** Over TCP a frame costs far more than in a decoder alone. */
const LIVE_SHARE = 0.03;
const LIVE_SHARE_OF_TIME = 0.2;

const { seed, frames, seconds, from } = options;
/** Checked between inputs; the rest is for one that takes longer, and for a busy machine. */
const timeout = 2 * seconds * 1000 + 60_000;
const reports: Report[] = [];

describe(`fuzz, seed ${seed}`, () => {
  afterAll(() => {
    process.stdout.write(`\nfuzz, seed ${seed}\n${renderTable(reports)}\n\n`);
  });

  it.each(TARGETS)(
    '$name: refused or read, the same everywhere, in bounded time and memory',
    { timeout },
    async (target) => {
      const until = performance.now() + seconds * 1000 * target.share * (1 - LIVE_SHARE_OF_TIME);
      const report = await fuzz(target, { seed, from, until, frames: Math.ceil(frames * target.share) });
      reports.push(report);
      expect(report.bytesAfter - report.bytesBefore).toBeLessThan(ALLOWED_GROWTH_BYTES);
    },
  );

  it('a live server answers those who behave, and forgets the others', { timeout }, async () => {
    const before = openHandles();
    const until = performance.now() + seconds * 1000 * LIVE_SHARE_OF_TIME;
    reports.push(await fuzzLiveServer({ seed, from, until, frames: Math.ceil(frames * LIVE_SHARE) }));
    await waitFor(() => openHandles() <= before, { what: 'the end of all timers and sockets' });
  });
});

/** What keeps this process from ending: timers and sockets, those of the test runner included. */
function openHandles(): number {
  return process.getActiveResourcesInfo().filter((kind) => /^(Timeout|TCP)/.test(kind)).length;
}
