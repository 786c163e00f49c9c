/** A connection that gathers what it has to write. */
export interface Flushable {
  flush(): void;
}

/**
 * Lets every connection write once at the end of the event loop's turn, instead of once per frame: the answers and
 * queries that one turn has brought together leave in one system call for each connection.
 */
export class TurnBatch {
  #waiting: Flushable[] = [];
  #scheduled = false;
  readonly #run = (): void => {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#scheduled = false;
    for (const connection of waiting) connection.flush();
  };

  /** Has `flush` called after this turn's reads. The caller adds itself once a turn. */
  add(connection: Flushable): void {
    this.#waiting.push(connection);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // The check phase comes right after the poll phase: all sockets that were readable have been read by then.
    setImmediate(this.#run);
  }
}
