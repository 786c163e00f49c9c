import { defineConfig } from 'vitest/config';

/** Real servers need their time to start, the more so on a small machine that runs two test files at once. */
const SLOW = { testTimeout: 60_000, hookTimeout: 120_000 };

const SLOW_SUITES = ['integration', 'compat'];

export default defineConfig({
  test: {
    reporters: ['default', './test/support/summary-reporter.ts'],
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 20_000 } },
      ...SLOW_SUITES.map((name) => ({
        extends: true as const,
        test: { name, include: [`test/${name}/**/*.test.ts`], ...SLOW },
      })),
    ],
  },
});
