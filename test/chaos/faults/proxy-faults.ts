import { now } from '../clock.ts';
import { Stage } from '../stage/stage.ts';
import type { Fault, FaultContext } from './fault.ts';

/** With its routes on disk it "serves within 1 s of its start"; else it has to find ZooKeeper first. */
const SNAPSHOT_START_MS = 1_000;
const START_MS = 2_000;

/** What happens to the proxy itself. Only here it may close connections. */
export const PROXY_FAULTS: readonly Fault[] = [
  {
    name: 'proxy restarted',
    lane: 'proxy',
    isOutage: true,
    run: (context) => restart(context, 'SIGTERM', START_MS),
  },
  {
    name: 'proxy killed, started again',
    lane: 'proxy',
    isOutage: true,
    run: (context) => restart(context, 'SIGKILL', START_MS),
  },
  {
    name: 'proxy started from its snapshot, ZooKeeper down',
    lane: 'proxy',
    isOutage: true,
    skipped: Stage.hasSnapshots ? undefined : 'this build has no snapshot.path',
    async run(context) {
      await context.single.kill();
      await restart(context, 'SIGTERM', SNAPSHOT_START_MS);
    },
  },
];

/** Notes how long it took, from the start of the new process, until every table was served. */
async function restart(context: FaultContext, signal: NodeJS.Signals, boundMs: number): Promise<void> {
  const { stage } = context;
  await stage.load.call('mayClose', true);
  await stage.proxy.stop(signal);
  const startedAt = now();
  await stage.startProxy();
  await stage.calm();
  context.took('all tables to be served', now() - startedAt, boundMs);
  await stage.load.call('mayClose', false);
}
