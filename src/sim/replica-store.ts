import type { TableCatalog } from './table-catalog.ts';

/** rDSN counts expiry in seconds since 2016-01-01 UTC (the server's pegasus_utils.h). */
const EPOCH_BEGIN_SECONDS = 1_451_606_400;

interface Entry {
  readonly value: Buffer;
  /** Seconds since EPOCH_BEGIN_SECONDS; 0 is never. */
  readonly expireAt: number;
}

/** What is denied to clients of a table, as the app env `replica.deny_client_request` has it. */
interface Denial {
  readonly read: boolean;
  readonly write: boolean;
  /** Answer ERR_INVALID_STATE, on which clients ask their meta again; else don't answer at all. */
  readonly reconfig: boolean;
}

export type Verdict = 'serve' | 'invalid-state' | 'silence' | 'not-found';

/** The data of one cluster, by app id and full key, shared by its replica servers; and what is denied. */
export class ReplicaStore {
  readonly #data = new Map<number, Map<string, Entry>>();
  readonly #denials = new Map<string, Denial>();
  readonly #now: () => number;
  #catalog: TableCatalog | undefined;
  #denialOfAll: Denial | undefined;
  #decree = 0n;

  constructor(now: () => number) {
    this.#now = now;
  }

  serve(catalog: TableCatalog): void {
    this.#catalog = catalog;
  }

  /**
   * Whether a request to this partition may go on. `server` is the address it came to, which must be the partition's
   * primary; undefined where any replica will do.
   */
  verdict(appId: number, partitionIndex: number, isWrite: boolean, server: string | undefined): Verdict {
    const table = this.#catalog?.byAppId(appId);
    const hasPartition = table !== undefined && partitionIndex >= 0 && partitionIndex < table.partitionCount;
    if (!hasPartition) return 'not-found';
    const denial = this.#denials.get(table.name) ?? this.#denialOfAll;
    if (denial !== undefined && (isWrite ? denial.write : denial.read)) {
      return denial.reconfig ? 'invalid-state' : 'silence';
    }
    const isPrimary = server === undefined || this.#catalog?.primaryOf(partitionIndex) === server;
    return isPrimary ? 'serve' : 'invalid-state';
  }

  /** Value "<reconfig|timeout>*<all|read|write>"; undefined takes the denial away. */
  deny(value: string | undefined, table: string | undefined): void {
    const denial = value === undefined ? undefined : parseDenial(value);
    if (table === undefined) {
      this.#denialOfAll = denial;
      if (denial === undefined) this.#denials.clear();
    } else if (denial === undefined) this.#denials.delete(table);
    else this.#denials.set(table, denial);
  }

  put(appId: number, key: Buffer, value: Buffer, expireAt: number): bigint {
    const table = this.#data.get(appId) ?? new Map<string, Entry>();
    this.#data.set(appId, table);
    // The value is a view of a whole chunk of the socket's; the store keeps only its bytes.
    table.set(key.toString('latin1'), { value: Buffer.from(value), expireAt });
    return ++this.#decree;
  }

  remove(appId: number, key: Buffer): bigint {
    this.#data.get(appId)?.delete(key.toString('latin1'));
    return ++this.#decree;
  }

  /** The value, if it is there and has not expired. */
  get(appId: number, key: Buffer): Buffer | undefined {
    return this.#entry(appId, key)?.value;
  }

  /** Seconds left, -1 for a value that never expires, undefined where there is none. */
  ttlSeconds(appId: number, key: Buffer): number | undefined {
    const entry = this.#entry(appId, key);
    if (entry === undefined) return undefined;
    return entry.expireAt === 0 ? -1 : entry.expireAt - this.#nowSeconds();
  }

  forget(appId: number): void {
    this.#data.delete(appId);
  }

  #entry(appId: number, key: Buffer): Entry | undefined {
    const entry = this.#data.get(appId)?.get(key.toString('latin1'));
    const isExpired = entry !== undefined && entry.expireAt > 0 && entry.expireAt <= this.#nowSeconds();
    return isExpired ? undefined : entry;
  }

  #nowSeconds(): number {
    return Math.floor(this.#now() / 1000) - EPOCH_BEGIN_SECONDS;
  }
}

function parseDenial(value: string): Denial {
  const match = /^(reconfig|timeout)\*(all|read|write)$/.exec(value);
  if (match === null) throw new RangeError(`not a value of replica.deny_client_request: ${value}`);
  return { reconfig: match[1] === 'reconfig', read: match[2] !== 'write', write: match[2] !== 'read' };
}
