import type { Logger } from 'pino';
import { Fifo } from './fifo.ts';
import { Pace } from './pace.ts';
import type { ReadQueue } from './read-queue.ts';
import { StoreUnavailableError } from './route-store.ts';
import { type Verified, VerifiedTerms } from './verified-terms.ts';

/** How cached tables are read again when the registry is back. Times in ms. */
export interface VerificationLimits {
  /** Tables verified per second, at most. */
  readonly verifyRate: number;
  /** It begins after a random part of this, lest many proxies begin at the same time. */
  readonly verifyJitterMs: number;
}

/** The part of a cached table that is the verification's own; nobody else writes it after its making. */
export interface Verifiable extends Verified {
  readonly name: string;
  /** The term in which a client asked for it while it was in doubt, so that it went before the others. */
  hastened: number;
  /** A re-read is queued or under way; `again`: something changed meanwhile. */
  rereading: boolean;
  again: boolean;
}

/** What a new entry has of this: in doubt, and nothing known of when it was right. */
export const UNVERIFIED = { term: 0, verifiedAt: 0, hastened: 0, rereading: false, again: false };

/** What a re-read has brought: `older` than what is cached, from a server that lags; `gone`: no longer of interest. */
export type Reread = 'same' | 'changed' | 'older' | 'gone';

/** A time in which tables were served that could have been overtaken. Both times of `performance.now()`. */
interface StaleSpell {
  readonly since: number;
  availableSince: number | undefined;
  changed: number;
  /** Said already that some tables can't be read. */
  failuresTold: boolean;
}

/** All places that the read queue has for what is in the background: a changed table waits for one read at most. */
const AT_ONCE = 32;
const RETRY_AFTER_MS = 1000;
/**
 * Which cached tables are in doubt, and when each is read again: at once where the store told of a change; after a
 * reconnect all of them, at a bounded rate, those first that clients ask for, then those longest in doubt.
 */
export class RouteVerification<Entry extends Verifiable> {
  readonly #terms: VerifiedTerms<Entry>;
  readonly #reads: ReadQueue;
  readonly #reread: (entry: Entry) => Promise<Reread>;
  readonly #limits: VerificationLimits;
  readonly #logger: Logger;
  readonly #pace: Pace;
  readonly #hastened = new Fifo<Entry>();
  readonly #others = new Fifo<Entry>();
  readonly #rereading = new Set<Entry>();
  readonly #retries = new Set<Entry>();
  #available = false;
  #running = 0;
  #jitter: NodeJS.Timeout | undefined;
  #wait: NodeJS.Timeout | undefined;
  #soon: NodeJS.Immediate | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #spell: StaleSpell | undefined;

  /**
   * `entries` gives all cached tables, the last used first. `reread` reads a table and takes over what it brings; it
   * rejects with `StoreUnavailableError` where it can't.
   */
  constructor(
    entries: () => Iterable<Entry>,
    reads: ReadQueue,
    reread: (entry: Entry) => Promise<Reread>,
    limits: VerificationLimits,
    logger: Logger,
  ) {
    this.#terms = new VerifiedTerms(entries);
    this.#reads = reads;
    this.#reread = reread;
    this.#limits = limits;
    this.#logger = logger;
    this.#pace = new Pace(limits.verifyRate);
  }

  /** Which tables can have been overtaken, and since when. */
  get terms(): Pick<VerifiedTerms<Entry>, 'doubted' | 'isDoubted' | 'oldestDoubt' | 'verifiedUntil'> {
    return this.#terms;
  }

  /** A table is cached from now on, as it was right at that time (ms since the epoch). */
  addOld(entry: Entry, verifiedAt: number): void {
    this.#terms.add(entry);
    entry.verifiedAt = verifiedAt;
    this.#spell ??= newSpell();
  }

  /** A table is cached from now on, as it has just been read. */
  addRead(entry: Entry): void {
    this.#terms.add(entry);
    this.#terms.verify(entry);
  }

  /** The table is cached no more. */
  forget(entry: Entry): void {
    this.#terms.remove(entry);
    this.#retries.delete(entry);
    if (!entry.rereading) this.#endSpell(); // else when that is over, and counted
  }

  /** The store says that the table has changed: it is read again as soon as there is a place. */
  changed(entry: Entry): void {
    this.#terms.doubt(entry);
    this.#readAgain(entry);
  }

  /** The store is away: everything is in doubt until it is back. */
  suspend(): void {
    this.#nextTerm(false);
    if (this.#terms.known > 0) this.#spell ??= newSpell();
    // Away again before all was verified: the spell goes on.
    if (this.#spell !== undefined) this.#spell.availableSince = undefined;
  }

  /** The store is (newly) there and has no watch of ours: everything is to be read again. */
  begin(): void {
    this.#nextTerm(true);
    for (const entry of this.#rereading) entry.again = true;
    for (const entry of this.#terms.oldestFirst()) this.#others.push(entry); // lest a flapping store never get to some
    this.#spell ??= newSpell();
    this.#spell.availableSince = performance.now();
    if (this.#terms.known === 0) this.#spell = undefined;
    const delay = Math.random() * this.#limits.verifyJitterMs;
    if (delay > 0) this.#jitter = setTimeout(() => this.#afterJitter(), delay);
    else this.#pump();
  }

  /** A client has asked for a table in doubt: it goes before those that nobody asks for. */
  hasten(entry: Entry): void {
    if (!this.#available || entry.hastened === this.#terms.current || entry.rereading) return;
    entry.hastened = this.#terms.current;
    this.#hastened.push(entry);
    // Later in this turn, behind the queries themselves.
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined;
      if (this.#wait === undefined) this.#pump();
    });
  }

  /** Stops every timer; what is being read comes to its end by itself. */
  close(): void {
    this.#nextTerm(false);
    this.#spell = undefined;
  }

  #nextTerm(available: boolean): void {
    this.#terms.next();
    this.#available = available;
    clearTimeout(this.#jitter);
    clearTimeout(this.#wait);
    clearTimeout(this.#retryTimer);
    clearImmediate(this.#soon);
    this.#jitter = undefined;
    this.#wait = undefined;
    this.#retryTimer = undefined;
    this.#soon = undefined;
    this.#hastened.clear();
    this.#others.clear();
    this.#retries.clear();
  }

  #afterJitter(): void {
    this.#jitter = undefined;
    this.#pump();
  }

  /** Lets as many reads go as there are places for, and the rate allows. */
  #pump(): void {
    while (this.#running < AT_ONCE && this.#available) {
      if (!this.#pace.isOpen()) {
        this.#wait ??= setTimeout(() => {
          this.#wait = undefined;
          this.#pump();
        }, this.#pace.delayMs);
        return;
      }
      const entry = this.#takeNext();
      if (entry === undefined) return;
      this.#pace.spend();
      this.#running++;
      this.#readAgain(entry, () => {
        this.#running--;
        // While the rate holds it up, the next ones go together when the timer lets them: one write for all.
        if (this.#wait === undefined) this.#pump();
      });
    }
  }

  #takeNext(): Entry | undefined {
    for (;;) {
      const entry = this.#hastened.shift() ?? (this.#jitter === undefined ? this.#others.shift() : undefined);
      if (entry === undefined || (this.#terms.isDoubted(entry) && !entry.rereading)) return entry;
    }
  }

  #readAgain(entry: Entry, done?: () => void): void {
    if (entry.rereading) {
      entry.again = true;
      return;
    }
    entry.rereading = true;
    this.#rereading.add(entry);
    this.#reads.addBackground(async () => {
      await this.#readNow(entry);
      entry.rereading = false;
      this.#rereading.delete(entry);
      this.#endSpell();
      done?.();
    });
  }

  async #readNow(entry: Entry): Promise<void> {
    do {
      entry.again = false;
      const term = this.#terms.current;
      try {
        const outcome = await this.#reread(entry);
        if (outcome === 'gone') return;
        if (outcome === 'changed' && this.#spell !== undefined) this.#spell.changed++;
        if (outcome === 'older') this.#retryLater(entry, 'the server lags behind');
        else if (term === this.#terms.current && !entry.again) this.#terms.verify(entry);
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) {
          this.#logger.error({ table: entry.name, err: error }, 'reading the registry failed, trying again');
        }
        this.#retryLater(entry, error instanceof Error ? error.message : String(error));
        return;
      }
    } while (entry.again);
  }

  /** A store that is away will be asked for everything when it is back; one that failed while it is there, soon. */
  #retryLater(entry: Entry, reason: string): void {
    if (!this.#available) return;
    this.#terms.doubt(entry);
    this.#retries.add(entry);
    if (this.#spell?.failuresTold === false) {
      this.#spell.failuresTold = true;
      const fields = { table: entry.name, reason, unverified: this.#terms.doubted };
      this.#logger.warn(fields, 'a cached table could not be verified, serving it as it is and trying again');
    }
    this.#retryTimer ??= setTimeout(() => {
      this.#retryTimer = undefined;
      for (const one of this.#retries) this.#others.push(one);
      this.#retries.clear();
      this.#pump();
    }, RETRY_AFTER_MS);
  }

  #endSpell(): void {
    const spell = this.#spell;
    if (this.#terms.doubted > 0 || spell?.availableSince === undefined) return;
    this.#spell = undefined;
    const now = performance.now();
    const tookMs = Math.round(now - spell.availableSince);
    const fields = { changed: spell.changed, tookMs, staleMs: Math.round(now - spell.since) };
    this.#logger.info(fields, 'all cached tables are verified');
  }
}

function newSpell(): StaleSpell {
  return { since: performance.now(), availableSince: undefined, changed: 0, failuresTold: false };
}
