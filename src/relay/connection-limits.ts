import { readFileSync } from 'node:fs';

/** File descriptors kept free of clients: for MetaServers, the registry, the log, and to say no politely. */
const RESERVED_DESCRIPTORS = 64;

/** Which limit keeps a new connection out, by the configuration key that an operator would raise. */
export type ConnectionLimit = 'client.max_connections' | 'client.max_connections_per_address';

/** Counts client connections, in total and by address, against their limits. */
export class ConnectionLimits {
  readonly #max: number;
  readonly #maxPerAddress: number;
  readonly #byAddress = new Map<string, number>();
  #total = 0;

  constructor(max: number, maxPerAddress: number) {
    this.#max = max;
    this.#maxPerAddress = maxPerAddress;
  }

  /** Counts a connection in; or says which limit it would break, and counts nothing. */
  admit(address: string): ConnectionLimit | undefined {
    if (this.#total >= this.#max) return 'client.max_connections';
    const count = this.#byAddress.get(address) ?? 0;
    if (count >= this.#maxPerAddress) return 'client.max_connections_per_address';
    this.#byAddress.set(address, count + 1);
    this.#total++;
    return undefined;
  }

  /** Counts an admitted connection out. */
  leave(address: string): void {
    const count = this.#byAddress.get(address) ?? 0;
    if (count > 1) this.#byAddress.set(address, count - 1);
    else this.#byAddress.delete(address);
    this.#total--;
  }
}

/**
 * How many client connections this process may really hold: no more than its file descriptors allow. Beyond that the
 * kernel takes connections only to have them closed, and there is none left to reach a MetaServer with.
 */
export function descriptorsForClients(limits: string = readLimits()): number {
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  return soft === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Number(soft) - RESERVED_DESCRIPTORS);
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    // Not on Linux: the configured limit alone has to do.
    return '';
  }
}
