import { freePort } from '../../support/zookeeper-process.ts';
import type { MetaFaults } from '../stage/chaos-cluster.ts';
import type { Fault, FaultContext } from './fault.ts';

/** The bounds of the issue: no error, and no gap longer than this, where another MetaServer leads at once. */
const KILLED_GAP_MS = 300;
const FROZEN_GAP_MS = 600;

const SLOW_MS = 400;
/** Far from every seqId in flight: an answer under another query's seqId would be that query's, for all one can see. */
const SEQ_ID_OFFSET = 1 << 20;

/** The faults of MetaServers. */
export const META_FAULTS: readonly Fault[] = [
  {
    ...fault('meta leader killed', KILLED_GAP_MS),
    async run(context) {
      const { cluster } = context;
      const killed = cluster.leader.kill();
      await cluster.elect(cluster.nextPlace);
      await killed;
      await hold(context);
    },
  },
  {
    ...fault('meta leader frozen', FROZEN_GAP_MS),
    async run(context) {
      const { cluster } = context;
      cluster.leader.freeze();
      await cluster.elect(cluster.nextPlace);
      await hold(context);
    },
  },
  {
    ...fault('meta leader slow', FROZEN_GAP_MS),
    async run(context) {
      const { cluster } = context;
      await cluster.misbehave(cluster.leaderPlace, { delayMs: SLOW_MS });
      await hold(context);
    },
  },
  {
    ...fault('meta leader refuses', KILLED_GAP_MS),
    async run(context) {
      const { cluster } = context;
      const old = cluster.leader;
      await Promise.all([old.command({ command: 'refuse', meta: 0 }), cluster.elect(cluster.nextPlace)]);
      await hold(context);
      await old.command({ command: 'listen', meta: 0 });
    },
  },
  deposed('resets mid-answer', () => ({ cutAfterBytes: 100 })),
  deposed('resets on request', () => ({ resetOnRequest: true })),
  deposed('answers rubbish', ({ random }) => ({ rubbish: random.u32().toString(16).padStart(8, '0').repeat(16) })),
  deposed('says an absurd length', ({ random }) => ({ absurdLength: random.pick([0x7fffffff, -1, 0, 0x0fffffff]) })),
  deposed('answers wrong seqIds', () => ({ seqIdOffset: SEQ_ID_OFFSET })),
  deposed('answers a header error', () => ({ headerError: 'ERR_HANDLER_NOT_FOUND' })),
  {
    ...fault('meta redirects to a dead address', FROZEN_GAP_MS),
    async run(context) {
      const { cluster } = context;
      const dead = { redirectTo: `127.0.0.1:${await freePort()}` };
      const [old, other] = [cluster.leaderPlace, cluster.nextPlace];
      await cluster.elect((other + 1) % cluster.metas.length);
      await Promise.all([cluster.misbehave(old, dead), cluster.misbehave(other, dead)]);
      await hold(context);
    },
  },
  {
    ...fault('meta leader flapping', FROZEN_GAP_MS),
    async run(context) {
      const { cluster, random } = context;
      for (let turn = 0; turn < context.scaled(8); turn++) {
        await cluster.elect(random.below(cluster.metas.length));
        await context.hold(random.between(50, 250));
      }
    },
  },
  dead('cluster redirects in a circle', async ({ cluster }) => {
    const { addresses } = cluster;
    const next = (place: number) => addresses[(place + 1) % addresses.length] as string;
    await Promise.all(addresses.map((_, place) => cluster.misbehave(place, { redirectTo: next(place) })));
  }),
  dead('cluster dark, killed', async ({ cluster }) => {
    await Promise.all(cluster.metas.map((meta) => meta.kill()));
  }),
  dead('cluster dark, frozen', async ({ cluster }) => {
    for (const meta of cluster.metas) meta.freeze();
  }),
];

/** A fault that ends with everything mended, however it goes; its `run` does not mend. */
type Spoiling = Omit<Fault, 'run'>;

function fault(name: string, gapMs: number): Spoiling {
  return { name, lane: 'meta', gapMs };
}

/** The leader goes wrong in this way, and another one leads at once. */
function deposed(what: string, faults: (context: FaultContext) => MetaFaults): Fault {
  return {
    ...fault(`meta leader ${what}`, FROZEN_GAP_MS),
    async run(context) {
      const { cluster } = context;
      await cluster.misbehave(cluster.leaderPlace, faults(context));
      await cluster.elect(cluster.nextPlace);
      await hold(context);
    },
  };
}

/** Nobody of the cluster answers any more: its clients have to go without, and no others. */
function dead(name: string, kill: (context: FaultContext) => Promise<void>): Fault {
  return {
    name,
    lane: 'meta',
    async run(context) {
      const { cluster, stage } = context;
      await stage.sick(cluster);
      await kill(context);
      await context.hold(context.scaled(1_500));
      await cluster.restore();
      await stage.recovered(cluster);
    },
  };
}

async function hold(context: FaultContext): Promise<void> {
  await context.hold(context.scaled(1_000));
  await context.cluster.restore();
}
