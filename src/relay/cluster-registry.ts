import type { Route } from '../routing/route.ts';
import { Cluster, type ClusterContext } from './cluster.ts';

/**
 * The clusters that cached routes lead to, each once, counted by the routes that use it. Two routes that name the same
 * cluster with other addresses are two clusters here: every table goes exactly where its own znode says.
 */
export class ClusterRegistry {
  readonly #context: ClusterContext;
  readonly #clusters = new Map<string, { readonly cluster: Cluster; users: number }>();

  constructor(context: ClusterContext) {
    this.#context = context;
  }

  /** The cluster of a route; give it back with `release`. */
  acquire(route: Route): Cluster {
    const key = keyOf(route);
    let used = this.#clusters.get(key);
    if (used === undefined) {
      used = { cluster: new Cluster(route.cluster, route.metas, this.#context), users: 0 };
      this.#clusters.set(key, used);
    }
    used.users++;
    return used.cluster;
  }

  /** Gives back what `acquire` returned for the same route. */
  release(route: Route): void {
    const key = keyOf(route);
    const used = this.#clusters.get(key);
    if (used === undefined) return;
    used.users--;
    if (used.users > 0) return;
    this.#clusters.delete(key);
    used.cluster.end();
  }
}

function keyOf(route: Route): string {
  return JSON.stringify([route.cluster, [...route.metas].sort()]);
}
