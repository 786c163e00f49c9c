import { waitFor } from '../../support/wait-for.ts';
import { ZooKeeperAdmin } from '../../support/zookeeper-admin.ts';
import { now } from '../clock.ts';
import { type ChaosTable, ROOT, TABLES } from '../layout.ts';
import type { LoadProcess } from '../load/load-process.ts';
import { NOWHERE } from '../load/oracle.ts';
import type { ChaosCluster } from './chaos-cluster.ts';
import { type ChaosStore, StoreHealth } from './store.ts';

const WRITE_RETRIES = 8;
/** For a move to be followed, from when it could be known; until then an outage of the store may last so long. */
const CONVERGE_TIMEOUT_MS = 15_000;
const LONGEST_OUTAGE_MS = 120_000;
const NEVER = 'never';
/** Nobody was sent elsewhere for so long, in which many have asked. */
const QUIET_MS = 100;

/** A table that was moved, and what of it is not yet settled. */
interface Move {
  readonly table: number;
  readonly to: number;
  readonly writtenAt: number;
  /** Places that the table has left since it was last settled. */
  readonly left: ReadonlySet<number>;
  knowableFrom: number | undefined;
}

/**
 * Writes the tables' znodes, and tells the oracle what that means: a new place may be answered from the moment before
 * it is written, an old one for the allowance after the change could be known. An outage of the store within that time
 * begins it anew.
 */
export class RouteBook {
  readonly #load: LoadProcess;
  readonly #store: ChaosStore;
  readonly #clusters: readonly ChaosCluster[];
  readonly #places: number[] = TABLES.map(({ home }) => home);
  readonly #unsettled = new Map<number, Move>();
  #admin: { readonly servers: string; readonly client: ZooKeeperAdmin } | undefined;

  constructor(load: LoadProcess, store: ChaosStore, clusters: readonly ChaosCluster[]) {
    this.#load = load;
    this.#store = store;
    this.#clusters = clusters;
    store.health.onChange(() => this.#onHealth());
  }

  placeOf(table: ChaosTable): number {
    return this.#places[table.index] as number;
  }

  /** Writes every table's home, before the proxy looks. */
  async writeAll(): Promise<void> {
    for (const table of TABLES) await this.#put(table, this.#contentFor(table.home, table.index));
  }

  /** Moves a table; resolves once that is written. */
  async move(table: ChaosTable, to: number): Promise<void> {
    await this.#change(table, to, () => this.#put(table, this.#contentFor(to, now())));
  }

  async delete(table: ChaosTable): Promise<void> {
    await this.#change(table, NOWHERE, () => this.#writing((admin) => deleteOnce(admin, pathOf(table))));
  }

  /** Writes something that is no route: the table stays where it is. */
  async spoil(table: ChaosTable, content: string | Uint8Array): Promise<void> {
    await this.#put(table, content);
  }

  /** Ends that. */
  async mend(table: ChaosTable): Promise<void> {
    await this.#put(table, this.#contentFor(this.placeOf(table), now()));
  }

  /** Waits until clients see the table where it is; resolves to the ms that took since it could be known. */
  async converged(table: ChaosTable): Promise<number> {
    const move = this.#unsettled.get(table.index);
    if (move === undefined) return 0;
    const what = `${table.name} to be served from its new place`;
    const seen = await waitFor(
      async () => {
        if (now() > (move.knowableFrom ?? Number.POSITIVE_INFINITY) + CONVERGE_TIMEOUT_MS) return NEVER;
        const { firstAt, othersLastSentAt } = await this.#load.call('movement', move.table, move.to);
        const isQuiet = now() - Math.max(othersLastSentAt, move.writtenAt) > QUIET_MS;
        return firstAt !== undefined && isQuiet && Math.max(firstAt, othersLastSentAt);
      },
      { what, timeoutMs: LONGEST_OUTAGE_MS },
    );
    if (seen === NEVER) throw new Error(`waited ${CONVERGE_TIMEOUT_MS} ms in vain for ${what}`);
    if (this.#unsettled.get(table.index) === move) await this.#settle(move);
    return Math.max(0, seen - (move.knowableFrom ?? seen));
  }

  /** Brings every table home. */
  async restore(): Promise<void> {
    for (const table of TABLES) {
      if (this.placeOf(table) !== table.home) await this.move(table, table.home);
    }
    for (const table of TABLES) await this.converged(table);
  }

  async close(): Promise<void> {
    await this.#admin?.client.close();
  }

  async #change(table: ChaosTable, to: number, write: () => Promise<void>): Promise<void> {
    const { index } = table;
    const from = this.placeOf(table);
    if (from === to) return;
    await this.#load.call('allow', index, to);
    await write();
    this.#places[index] = to;
    const left = new Set([...(this.#unsettled.get(index)?.left ?? []), from]);
    left.delete(to);
    const writtenAt = now();
    const move: Move = { table: index, to, writtenAt, left, knowableFrom: undefined };
    this.#unsettled.set(index, move);
    await this.#setKnowable(move, this.#store.health.knowableFrom(writtenAt));
  }

  async #setKnowable(move: Move, from: number | undefined): Promise<void> {
    move.knowableFrom = from;
    const until = from ?? Number.POSITIVE_INFINITY;
    await Promise.all([...move.left].map((place) => this.#load.call('revoke', move.table, place, until)));
  }

  async #settle(move: Move): Promise<void> {
    this.#unsettled.delete(move.table);
    const at = now();
    await Promise.all([...move.left].map((place) => this.#load.call('settle', move.table, place, at)));
  }

  /** The store went or came: what nobody could know for long enough gets its time anew. */
  #onHealth(): void {
    for (const move of this.#unsettled.values()) {
      if (move.knowableFrom !== undefined && StoreHealth.isOver(move.knowableFrom)) continue;
      void this.#setKnowable(move, this.#store.health.knowableFrom(move.writtenAt));
    }
  }

  #contentFor(place: number, turn: number): string {
    const { name, addresses } = this.#clusters[place] as ChaosCluster;
    // Both layouts, by turns.
    return Math.floor(turn) % 2 === 0
      ? JSON.stringify({ cluster: name, 'meta-addrs': addresses })
      : JSON.stringify({ cluster_name: name, meta_addrs: addresses.join(',') });
  }

  async #put(table: ChaosTable, content: string | Uint8Array): Promise<void> {
    await this.#writing((admin) => admin.put(pathOf(table), content));
  }

  /** A write that outlasts an outage of any length that a fault makes. */
  async #writing(write: (admin: ZooKeeperAdmin) => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await write(await this.#adminNow());
        return;
      } catch (error) {
        if (attempt >= WRITE_RETRIES) throw error;
      }
    }
  }

  async #adminNow(): Promise<ZooKeeperAdmin> {
    const servers = this.#store.writeServers;
    if (this.#admin?.servers !== servers) {
      const old = this.#admin;
      this.#admin = { servers, client: new ZooKeeperAdmin(servers) };
      await old?.client.close();
    }
    return this.#admin.client;
  }
}

function pathOf({ name }: ChaosTable): string {
  return `${ROOT}/${name}`;
}

/** A call that met a lost connection may have been done all the same. */
async function deleteOnce(admin: ZooKeeperAdmin, path: string): Promise<void> {
  try {
    await admin.delete(path);
  } catch (error) {
    if ((await admin.get(path)) !== undefined) throw error;
  }
}
