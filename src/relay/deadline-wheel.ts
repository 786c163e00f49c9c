/** Something that can be due once at a time; the wheel keeps its own links in it, so that waiting allocates nothing. */
export abstract class Deadline {
  /** When it is due, on the wheel's clock. Set by the wheel. */
  dueAt = 0;
  /** @internal */
  wheelPrevious: Deadline | undefined;
  /** @internal */
  wheelNext: Deadline | undefined;

  abstract onDue(): void;
}

const TICK_MS = 10;
const BUCKETS = 512;

class Bucket extends Deadline {
  override onDue(): void {}

  constructor() {
    super();
    this.wheelPrevious = this;
    this.wheelNext = this;
  }
}

/**
 * All deadlines of all requests on one timer: a hashed timing wheel. Setting and clearing are a few pointer writes,
 * whatever the number of requests; a deadline is met at most some 10 ms late, never early. The timer runs only while
 * something waits.
 */
export class DeadlineWheel {
  readonly #buckets = Array.from({ length: BUCKETS }, () => new Bucket());
  #timer: NodeJS.Timeout | undefined;
  /** The last tick that has been worked off. */
  #tick = 0;
  #waiting = 0;

  /** Deadlines set and not yet due or cleared. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Milliseconds on the monotonic clock that `set` counts by. */
  now(): number {
    return performance.now();
  }

  /** Makes it due at `at` (ms on `now`'s clock), instead of any time set before. */
  set(deadline: Deadline, at: number): void {
    this.clear(deadline);
    if (this.#timer === undefined) this.#start();
    deadline.dueAt = at;
    this.#link(deadline, Math.max(Math.ceil(at / TICK_MS), this.#tick + 1));
    this.#waiting++;
  }

  /** Takes it off; it will not become due. Nothing happens where none is set. */
  clear(deadline: Deadline): void {
    deadline.dueAt = Number.POSITIVE_INFINITY;
    if (deadline.wheelNext === undefined) return;
    unlink(deadline);
    this.#waiting--;
  }

  /** Ends the timer; what is set stays unmet. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #start(): void {
    this.#tick = Math.floor(this.now() / TICK_MS);
    // Worked off after the poll phase: when this process itself was held up, the answers that wait in the sockets are
    // read before anything is called late.
    this.#timer = setInterval(() => setImmediate(() => this.#advance()), TICK_MS);
  }

  #advance(): void {
    const now = this.now();
    const until = Math.floor(now / TICK_MS);
    // After a long pause every bucket is visited once at most.
    for (let tick = Math.max(this.#tick + 1, until - BUCKETS + 1); tick <= until; tick++) {
      // Noted first: what is set meanwhile goes to a later tick.
      this.#tick = tick;
      this.#workOff(this.#buckets[tick % BUCKETS] as Bucket, now);
    }
    if (this.#waiting === 0) this.stop();
  }

  #workOff(bucket: Bucket, now: number): void {
    const due: Deadline[] = [];
    for (let node = bucket.wheelNext as Deadline; node !== bucket; ) {
      const next = node.wheelNext as Deadline;
      node.wheelPrevious = undefined;
      node.wheelNext = undefined;
      due.push(node);
      node = next;
    }
    bucket.wheelNext = bucket;
    bucket.wheelPrevious = bucket;
    this.#waiting -= due.length;
    for (const deadline of due) {
      // Cleared, or set anew, by one that was due before it.
      if (deadline.dueAt === Number.POSITIVE_INFINITY || deadline.wheelNext !== undefined) continue;
      // One that is further away than a turn of the wheel comes by more than once.
      if (deadline.dueAt > now) this.set(deadline, deadline.dueAt);
      else deadline.onDue();
    }
  }

  #link(deadline: Deadline, tick: number): void {
    const bucket = this.#buckets[tick % BUCKETS] as Bucket;
    const last = bucket.wheelPrevious as Deadline;
    last.wheelNext = deadline;
    deadline.wheelPrevious = last;
    deadline.wheelNext = bucket;
    bucket.wheelPrevious = deadline;
  }
}

function unlink(deadline: Deadline): void {
  const previous = deadline.wheelPrevious as Deadline;
  const next = deadline.wheelNext as Deadline;
  previous.wheelNext = next;
  next.wheelPrevious = previous;
  deadline.wheelPrevious = undefined;
  deadline.wheelNext = undefined;
}
