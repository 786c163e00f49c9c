/** A queue whose front is an index: taking from it moves nothing. */
export class Fifo<T> {
  #items: T[] = [];
  #next = 0;

  get length(): number {
    return this.#items.length - this.#next;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    if (this.#next === this.#items.length) return undefined;
    const item = this.#items[this.#next++];
    // What has been taken is dropped now and then: often enough to be let go of, seldom enough to cost nothing.
    if (this.#next === this.#items.length || (this.#next >= 1024 && this.#next * 2 >= this.#items.length)) {
      this.#items = this.#items.slice(this.#next);
      this.#next = 0;
    }
    return item;
  }

  clear(): void {
    this.#items = [];
    this.#next = 0;
  }
}
