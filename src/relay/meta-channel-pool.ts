import { MetaChannel, type MetaChannelContext } from './meta-channel.ts';

/** How often open connections are looked after, ms. */
const CHECK_EVERY_MS = 250;

interface PooledChannel {
  readonly channel: MetaChannel;
  users: number;
  lingering: NodeJS.Timeout | undefined;
}

/**
 * One channel for each MetaServer address, whoever needs it: clusters that share an address share its connection. A
 * channel that nobody needs any more is ended after a while, so that a table that comes right back finds it open.
 */
export class MetaChannelPool {
  readonly #context: MetaChannelContext;
  readonly #lingerMs: number;
  readonly #channels = new Map<string, PooledChannel>();
  #checking: NodeJS.Timeout | undefined;

  constructor(context: MetaChannelContext, lingerMs: number) {
    this.#context = context;
    this.#lingerMs = lingerMs;
  }

  /** Addresses with a channel, in use or lingering. */
  get size(): number {
    return this.#channels.size;
  }

  /** The channel to `address` (a `host:port` as `formatHostPort` spells it); give it back with `release`. */
  acquire(address: string): MetaChannel {
    let pooled = this.#channels.get(address);
    if (pooled === undefined) {
      pooled = { channel: new MetaChannel(address, this.#context), users: 0, lingering: undefined };
      this.#channels.set(address, pooled);
      this.#checking ??= setInterval(() => this.#check(), CHECK_EVERY_MS);
    }
    clearTimeout(pooled.lingering);
    pooled.lingering = undefined;
    pooled.users++;
    return pooled.channel;
  }

  /** Gives back what `acquire` returned. */
  release(channel: MetaChannel): void {
    const pooled = this.#channels.get(channel.address);
    if (pooled === undefined || pooled.channel !== channel) return;
    pooled.users--;
    if (pooled.users === 0) pooled.lingering = setTimeout(() => this.#remove(pooled), this.#lingerMs);
  }

  /** Ends every channel. */
  end(): void {
    for (const pooled of this.#channels.values()) this.#remove(pooled);
  }

  #remove(pooled: PooledChannel): void {
    clearTimeout(pooled.lingering);
    this.#channels.delete(pooled.channel.address);
    pooled.channel.end();
    if (this.#channels.size === 0) {
      clearInterval(this.#checking);
      this.#checking = undefined;
    }
  }

  #check(): void {
    const now = performance.now();
    for (const { channel } of this.#channels.values()) channel.check(now);
  }
}
