interface Entry<T> {
  readonly due: number;
  readonly item: T;
}

/** A binary heap: items by due time, the first one at hand. An item may stand in it more than once. */
export class DueHeap<T> {
  readonly #entries: Entry<T>[] = [];

  get size(): number {
    return this.#entries.length;
  }

  get first(): Entry<T> | undefined {
    return this.#entries[0];
  }

  push(due: number, item: T): void {
    const entry = { due, item };
    let at = this.#entries.push(entry) - 1;
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = this.#entries[parentAt];
      if (parent === undefined || parent.due <= due) break;
      this.#entries[at] = parent;
      at = parentAt;
    }
    this.#entries[at] = entry;
  }

  /** Removes the first item. */
  pop(): void {
    const last = this.#entries.pop();
    if (last === undefined || this.#entries.length === 0) return;
    let at = 0;
    for (;;) {
      const childAt = this.#earlierChild(at);
      const child = this.#entries[childAt];
      if (child === undefined || child.due >= last.due) break;
      this.#entries[at] = child;
      at = childAt;
    }
    this.#entries[at] = last;
  }

  clear(): void {
    this.#entries.length = 0;
  }

  #earlierChild(at: number): number {
    const [left, right] = [this.#entries[2 * at + 1], this.#entries[2 * at + 2]];
    return right !== undefined && left !== undefined && right.due < left.due ? 2 * at + 2 : 2 * at + 1;
  }
}
