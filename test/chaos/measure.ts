import { now } from './clock.ts';
import type { FaultContext } from './faults/fault.ts';
import type { WindowReport } from './load/load-control.ts';
import { brokenByAnswers, brokenByErrors, brokenByStaleness, type Result } from './result.ts';
import type { Stage } from './stage/stage.ts';

/** A result, and what was broken in it: wrong on any machine, or a matter of time. */
export interface Outcome {
  readonly result: Result & { readonly window: WindowReport };
  readonly wrong: string[];
  readonly late: string[];
}

/** Has something happen under load: what clients see from its beginning until all is calm again, and the memory before and after. */
export async function measure(
  stage: Stage,
  context: FaultContext,
  name: string,
  act: () => Promise<void>,
): Promise<Outcome> {
  const wrong: string[] = [];
  const late: string[] = [];
  const before = await stage.proxy.memory().catch(() => undefined);
  const between = await stage.load.call('begin');
  const startedAt = now();
  const meter = stage.starvation();
  await act()
    .then(() => stage.calm())
    .catch((error: unknown) => late.push(describe(error)));
  const window = await stage.load.call('end');
  const starved = meter.share();
  const seconds = (now() - startedAt) / 1000;
  await stage.restore().catch((error: unknown) => wrong.push(`not restored: ${describe(error)}`));
  const after = await stage.proxy.memory().catch((error: unknown) => void wrong.push(describe(error)));
  wrong.push(...brokenByAnswers(window), ...brokenByAnswers(between).map((what) => `before it: ${what}`));
  wrong.push(...stage.proxy.alarms.splice(0), ...stage.crashes.splice(0));
  late.push(...brokenByErrors(window), ...brokenByStaleness(window));
  const { measured } = context;
  return { result: { ...nothing(name), seconds, window, measured, before, after, starved }, wrong, late };
}

/** A result without a measurement. */
export function nothing(name: string, more: Partial<Result> = {}): Result {
  const none = { skipped: undefined, window: undefined, hurt: undefined, before: undefined, after: undefined };
  return { name, seconds: 0, attempts: 1, measured: [], starved: 0, broken: [], ...none, ...more };
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}
