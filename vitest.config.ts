import { defineConfig } from 'vitest/config';

/** Real servers need their time to start, the more so on a small machine that is busy with something else. */
const SLOW = { testTimeout: 60_000, hookTimeout: 120_000 };

const SLOW_SUITES = ['integration', 'compat'];

export default defineConfig({
  test: {
    reporters: ['default', './test/support/summary-reporter.ts'],
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 20_000 } },
      // Its tests set their own time limits: the long form, npm run fuzz, takes as long as it is told.
      { extends: true, test: { name: 'fuzz', include: ['test/fuzz/**/*.fuzz.test.ts'], hookTimeout: 120_000 } },
      // The oracle of npm run chaos; the suite itself is run by hand.
      { extends: true, test: { name: 'chaos', include: ['test/chaos/oracle.test.ts'] } },
      ...SLOW_SUITES.map((name) => ({
        extends: true as const,
        test: { name, include: [`test/${name}/**/*.test.ts`], ...SLOW },
      })),
    ],
  },
});
