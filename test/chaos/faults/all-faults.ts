import { CLIENT_FAULTS } from './client-faults.ts';
import type { Fault } from './fault.ts';
import { META_FAULTS } from './meta-faults.ts';
import { PROXY_FAULTS } from './proxy-faults.ts';
import { ROUTE_FAULTS } from './route-faults.ts';
import { ENSEMBLE_FAULTS, ZOOKEEPER_FAULTS } from './zookeeper-faults.ts';

/** What is shown on each kind of stage, one after the other; ZooKeeper aside, the stages don't differ. */
export const FAULTS: Readonly<Record<'single' | 'ensemble', readonly Fault[]>> = {
  single: [...ZOOKEEPER_FAULTS, ...META_FAULTS, ...CLIENT_FAULTS, ...ROUTE_FAULTS, ...PROXY_FAULTS],
  ensemble: ENSEMBLE_FAULTS,
};

/** Faults of one lane follow each other, the lanes go on side by side. */
export interface Mix {
  readonly name: string;
  readonly kind: 'single' | 'ensemble';
  readonly lanes: readonly (readonly Fault[])[];
  /** ZooKeeper is down all the time. */
  readonly isStoreDown: boolean;
}

/** Two lanes of MetaServers leave one cluster of the three that nothing is done to. */
const METAS_AND_CLIENTS = [META_FAULTS, META_FAULTS, CLIENT_FAULTS];

export const MIXES: readonly Mix[] = [
  {
    name: 'mix, one ZooKeeper',
    kind: 'single',
    lanes: [ZOOKEEPER_FAULTS, ROUTE_FAULTS, ...METAS_AND_CLIENTS],
    isStoreDown: false,
  },
  { name: 'mix, ZooKeeper down', kind: 'single', lanes: METAS_AND_CLIENTS, isStoreDown: true },
  {
    name: 'mix, ensemble',
    kind: 'ensemble',
    lanes: [ENSEMBLE_FAULTS, ROUTE_FAULTS, ...METAS_AND_CLIENTS],
    isStoreDown: false,
  },
];
