import { Random } from '../fuzz/random.ts';
import { now } from './clock.ts';
import { type Fault, FaultContext } from './faults/fault.ts';
import type { ChaosCluster } from './stage/chaos-cluster.ts';
import type { Stage } from './stage/stage.ts';

const LONGEST_PAUSE_MS = 1_000;
const SAY_EVERY_MS = 60_000;

export interface MixOptions {
  readonly seconds: number;
  readonly random: Random;
  /** How often each fault came, by its name. */
  readonly runs: Map<string, number>;
  /** Told of each fault's beginning and end, for who wants to find out what went wrong. */
  readonly note: (text: string) => void;
  readonly say: (text: string) => void;
}

/**
 * Random faults of all lanes at once for a given time. Within a lane they follow each other, after a pause of random
 * length; no cluster is hurt by two lanes at the same time.
 */
export async function runMix(
  stage: Stage,
  lanes: readonly (readonly Fault[])[],
  { seconds, random, runs, note, say }: MixOptions,
): Promise<void> {
  const endsAt = now() + 1000 * seconds;
  const free = [...stage.clusters];
  const failures: unknown[] = [];
  const isOver = () => now() >= endsAt || failures.length > 0 || !stage.proxy.isRunning;

  const runLane = async (faults: readonly Fault[], own: Random) => {
    while (!isOver()) {
      const fault = own.pick(faults);
      const hurts = fault.lane === 'meta';
      const cluster = hurts ? takeOne(free, own) : own.pick(stage.clusters);
      const context = new FaultContext(stage, own, cluster);
      const what = hurts ? `${fault.name} (cluster ${cluster.name})` : fault.name;
      note(`begins: ${what}`);
      runs.set(fault.name, (runs.get(fault.name) ?? 0) + 1);
      try {
        await fault.run(context);
        await fault.mend?.(context);
      } catch (error) {
        failures.push(new Error(`${what}: ${String(error)}`, { cause: error }));
      } finally {
        note(`ends:   ${what}`);
        if (hurts) free.push(cluster);
      }
      await context.hold(Math.min(own.below(LONGEST_PAUSE_MS), Math.max(0, endsAt - now())));
    }
  };

  const startedAt = now();
  const progress = setInterval(() => void sayProgress(stage, now() - startedAt, say), SAY_EVERY_MS);
  try {
    // A generator for each lane: what one lane does never depends on how fast another one was.
    await Promise.all(lanes.map((faults) => runLane(faults, new Random(random.u32()))));
  } finally {
    clearInterval(progress);
  }
  if (failures.length > 0) throw failures[0];
}

/** There are more clusters than lanes that hurt them. */
function takeOne(free: ChaosCluster[], random: Random): ChaosCluster {
  return free.splice(random.below(free.length), 1)[0] as ChaosCluster;
}

async function sayProgress(stage: Stage, forMs: number, say: (text: string) => void): Promise<void> {
  const memory = await stage.proxy.memory().catch(() => undefined);
  if (memory === undefined) return;
  const { heapMb, rssMb } = memory;
  say(`  mixing for ${Math.round(forMs / 60_000)} min: heap ${heapMb.toFixed(1)} MiB, RSS ${rssMb.toFixed(0)} MiB`);
}
