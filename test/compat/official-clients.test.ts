import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { CLIENTS, type ClientKind, PREPARATION_TIMEOUT_MS, type Preparation } from './clients.ts';
import { Results } from './results.ts';
import { type Finding, SCENARIOS, type Scenario } from './scenarios.ts';
import { Site, Stage } from './stage.ts';

const RESULTS_FILE = fileURLToPath(new URL('../../.cache/compat-results.md', import.meta.url));
const LONG_TIMEOUT_MS = 150_000;

/** COMPAT_LONG=1 adds what would make every run a minute longer. */
const withLong = process.env.COMPAT_LONG === '1';

/** How a scenario ended that may have run beside others: nobody waits for it until its own turn. */
type Outcome = { readonly finding: Finding } | { readonly error: unknown };

const results = new Results();
const preparations = new Map<ClientKind, Preparation>();
const ahead = new Map<string, Promise<Outcome>>();
let site: Site;

beforeAll(async () => {
  const prepared = Promise.all(CLIENTS.map(async (kind) => preparations.set(kind, await kind.prepare())));
  [site] = await Promise.all([Site.start(), prepared]);
  for (const kind of CLIENTS) {
    const preparation = preparations.get(kind);
    if (preparation === undefined || 'missing' in preparation) continue;
    // The long ones run beside all others, each on a site of its own.
    for (const scenario of withLong ? SCENARIOS.filter((one) => one.isLong?.(kind)) : []) {
      ahead.set(keyOf(kind, scenario), playAlone(kind, scenario, preparation.command));
    }
  }
}, PREPARATION_TIMEOUT_MS + 60_000);

afterAll(async () => {
  // A run of some tests only may have left these unawaited.
  await Promise.all(ahead.values());
  await site?.stop();
  process.stdout.write(`\n${results}\n`);
  // A run of some tests only must not replace the table of a whole one.
  if (results.count === CLIENTS.length * SCENARIOS.length) await results.write(RESULTS_FILE);
});

for (const kind of CLIENTS) {
  describe(`the official ${kind.name} client`, () => {
    for (const scenario of SCENARIOS) if (!scenario.isLong?.(kind)) test(kind, scenario);
  });
}

// Last: where they run at all, they have been under way since the start.
for (const kind of CLIENTS) {
  for (const scenario of SCENARIOS) {
    if (scenario.isLong?.(kind)) describe(`the official ${kind.name} client, at length`, () => test(kind, scenario));
  }
}

function test(kind: ClientKind, scenario: Scenario): void {
  it(scenario.name, scenario.isLong?.(kind) ? { timeout: LONG_TIMEOUT_MS } : {}, async (ctx) => {
    const row = { client: kind.name, version: await kind.version(), scenario: scenario.name };
    const preparation = preparations.get(kind) ?? { missing: 'not prepared' };
    const isMissing = 'missing' in preparation;
    const reason = scenario.unfit?.(kind) ?? tooLong(kind, scenario) ?? (isMissing ? preparation.missing : undefined);
    if (reason !== undefined || isMissing) {
      results.add({ ...row, result: 'skipped', note: reason ?? '' });
      process.stdout.write(`skipped: ${keyOf(kind, scenario)}: ${reason}\n`);
      ctx.skip(reason);
      return;
    }
    const outcome = await (ahead.get(keyOf(kind, scenario)) ?? play(site, kind, scenario, preparation.command));
    if ('error' in outcome) {
      const [note = ''] = String(outcome.error).split('\n');
      results.add({ ...row, result: 'failed', note });
      throw outcome.error;
    }
    results.add({ ...row, result: 'ok', ...outcome.finding });
  });
}

function tooLong(kind: ClientKind, scenario: Scenario): string | undefined {
  if (withLong || !scenario.isLong?.(kind)) return undefined;
  return `takes the client's own ${kind.reconnectMs / 1000} s to connect again: run it with COMPAT_LONG=1`;
}

/** Puts a client through a scenario. Never rejects. */
async function play(where: Site, kind: ClientKind, scenario: Scenario, command: readonly string[]): Promise<Outcome> {
  const stage = new Stage(where, command, `${kind.name}${SCENARIOS.indexOf(scenario)}`);
  try {
    const finding = await scenario.run(stage, kind);
    stage.expectOnlyTheProxyAtMetas();
    return { finding };
  } catch (error) {
    return { error };
  } finally {
    await stage.close();
  }
}

/** The same on a site that is the scenario's alone. */
async function playAlone(kind: ClientKind, scenario: Scenario, command: readonly string[]): Promise<Outcome> {
  try {
    const own = await Site.start();
    try {
      return await play(own, kind, scenario, command);
    } finally {
      await own.stop();
    }
  } catch (error) {
    return { error };
  }
}

function keyOf(kind: ClientKind, scenario: Scenario): string {
  return `${kind.name}: ${scenario.name}`;
}
