import type { Fault } from './fault.ts';

const LANE = 'client';

/** What clients do that mean harm, or are broken. None of it may be felt by the others. */
export const CLIENT_FAULTS: readonly Fault[] = [
  {
    name: 'clients drip their frames',
    lane: LANE,
    run: (context) => context.peers.dripFrames(100, context.scaled(1_500)),
  },
  {
    name: 'clients leave half frames',
    lane: LANE,
    run: (context) => context.peers.halfFrames(context.scaled(300)),
  },
  {
    name: 'clients reset at every stage',
    lane: LANE,
    run: (context) => context.peers.resets(context.scaled(400)),
  },
  {
    name: 'clients that never read',
    lane: LANE,
    run: (context) => context.peers.neverRead(4, context.scaled(2_000)),
  },
  {
    name: 'clients connect in a storm',
    lane: LANE,
    run: (context) => context.peers.connectionStorm(context.scaled(500)),
  },
  {
    name: 'clients send malformed frames',
    lane: LANE,
    run: (context) => context.peers.malformedFrames(context.scaled(500)),
  },
];
