import { MOVED_BY_ZOOKEEPER } from '../layout.ts';
import type { Fault, FaultContext } from './fault.ts';

/** Long enough to be taken for dead, and for the session to expire. */
const FROZEN_SESSIONS = 3;

/** The faults of a single ZooKeeper. None may cost a cached table anything. */
export const ZOOKEEPER_FAULTS: readonly Fault[] = [
  fault('ZooKeeper frozen, changed after', async (context) => {
    const { single, sessionMs } = context;
    single.freeze();
    await context.hold(FROZEN_SESSIONS * sessionMs);
    single.thaw();
    await moveAndFollow(context);
  }),
  fault('ZooKeeper frozen, changed during', async (context) => {
    const { single, sessionMs } = context;
    single.freeze();
    const moved = context.moveOne(MOVED_BY_ZOOKEEPER);
    await context.hold(FROZEN_SESSIONS * sessionMs);
    single.thaw();
    await context.converged(await moved);
  }),
  fault('ZooKeeper killed, restarted', async (context) => {
    const { single, sessionMs } = context;
    await single.kill();
    await context.hold(context.scaled(1.5 * sessionMs));
    await single.restart();
    await moveAndFollow(context);
  }),
  fault('ZooKeeper flapping', async (context) => {
    const { single, random, sessionMs } = context;
    for (let flap = 0; flap < context.scaled(4); flap++) {
      single.freeze();
      await context.hold(random.between(sessionMs / 5, 1.3 * sessionMs));
      single.thaw();
      await context.hold(random.between(20, sessionMs / 2));
    }
    await moveAndFollow(context);
  }),
  fault('ZooKeeper session expired', async (context) => {
    for (let time = 0; time < context.scaled(2); time++) {
      await context.single.expireSession();
      await moveAndFollow(context);
    }
  }),
  fault('ZooKeeper connection silent', async (context) => {
    const { single, sessionMs } = context;
    single.cut();
    const table = await context.moveOne(MOVED_BY_ZOOKEEPER);
    await context.hold(1.5 * sessionMs);
    single.mend();
    await context.converged(table);
  }),
  fault('ZooKeeper down', async (context) => {
    await context.single.kill();
    await context.hold(context.scaled(2_000));
  }),
];

/** The faults of an ensemble of three, in a list of which half is dead. */
export const ENSEMBLE_FAULTS: readonly Fault[] = [
  ensembleFault('ensemble leader killed', async (context) => {
    await context.ensemble.kill(await context.ensemble.leader());
    await moveAndFollow(context);
  }),
  ensembleFault('ensemble leader frozen', async (context) => {
    await context.ensemble.freeze(await context.ensemble.leader(), context.sessionMs);
    await moveAndFollow(context);
  }),
  ensembleFault('ensemble member killed', async (context) => {
    await context.ensemble.kill(await context.ensemble.follower());
    await moveAndFollow(context);
  }),
  ensembleFault('ensemble without quorum', async (context) => {
    const { ensemble } = context;
    await ensemble.killTwo();
    await context.hold(context.scaled(1_500));
    await ensemble.restore();
    await moveAndFollow(context);
  }),
];

async function moveAndFollow(context: FaultContext): Promise<void> {
  await context.converged(await context.moveOne(MOVED_BY_ZOOKEEPER));
}

function fault(name: string, run: Fault['run']): Fault {
  return { name, lane: 'zookeeper', run, mend };
}

function ensembleFault(name: string, run: Fault['run']): Fault {
  return { name, lane: 'ensemble', run, mend };
}

async function mend({ stage }: FaultContext): Promise<void> {
  await stage.store.restore();
}
