import { type ChaosTable, MOVED_BY_ROUTES } from '../layout.ts';
import type { Fault, FaultContext } from './fault.ts';

const LARGE_ZNODE_BYTES = 200_000;
/** A change takes so long to be seen, with much to spare: a rubbish znode that did harm would show by then. */
const SEEN_MS = 60;

const RUBBISH: readonly (string | Uint8Array)[] = [
  '',
  '{',
  'null',
  '[]',
  '{}',
  '{"cluster_name":"b"}',
  '{"cluster_name":"b","meta_addrs":""}',
  '{"cluster_name":"b","meta_addrs":"nowhere"}',
  '{"cluster_name":"b","meta_addrs":"127.0.0.1:99999"}',
  '{"cluster":"b","meta-addrs":[1,2,{}]}',
  '{"cluster":1,"meta-addrs":["127.0.0.1:34601"]}',
  Buffer.from([0xff, 0xfe, 0x00, 0x80, 0x7b]),
  `{"cluster":"${'x'.repeat(LARGE_ZNODE_BYTES)}","meta-addrs":["127.0.0.1:34601"]}`,
];

/** What happens to znodes. */
export const ROUTE_FAULTS: readonly Fault[] = [
  {
    name: 'routes move in a storm',
    lane: 'route',
    async run(context) {
      const moved = new Set<ChaosTable>();
      for (let move = 0; move < context.scaled(60); move++) moved.add(await context.moveOne(MOVED_BY_ROUTES));
      for (const table of moved) await context.converged(table);
    },
  },
  {
    name: 'routes become rubbish',
    lane: 'route',
    async run(context) {
      const table = context.random.pick(MOVED_BY_ROUTES);
      for (const content of RUBBISH) {
        await context.stage.routes.spoil(table, content);
        await context.hold(SEEN_MS);
      }
      await context.stage.routes.mend(table);
      await moveAndFollow(context, table);
    },
  },
  {
    name: 'tables deleted and created again',
    lane: 'route',
    async run(context) {
      const { routes } = context.stage;
      for (let time = 0; time < context.scaled(2); time++) {
        const table = context.random.pick(MOVED_BY_ROUTES);
        await routes.delete(table);
        await context.converged(table);
        await moveAndFollow(context, table);
      }
    },
  },
];

async function moveAndFollow(context: FaultContext, table: ChaosTable): Promise<void> {
  await context.stage.routes.move(table, context.otherPlace(table));
  await context.converged(table);
}
