/** Remembers since when each of some states has held; a state that ends is forgotten. */
export class FirstSeen {
  #seen: ReadonlyMap<string, number> = new Map();

  /** Takes the states that hold now. */
  note(states: Iterable<string>, now: number): void {
    this.#seen = new Map([...states].map((state) => [state, this.#seen.get(state) ?? now]));
  }

  /** The time since which a state has held; `undefined` if it was not noted. */
  since(state: string): number | undefined {
    return this.#seen.get(state);
  }
}
