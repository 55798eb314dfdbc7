import type { LoadedConfig } from "./load-config.ts";
import { listConfig, type PrintedValue } from "./print-config.ts";

/** The values that the running service uses, with secrets masked. A reload replaces some of them. */
export class ConfigValues {
  #rows: () => readonly PrintedValue[];

  constructor(started: LoadedConfig) {
    this.#rows = () => listConfig(started);
  }

  list(): readonly PrintedValue[] {
    return this.#rows();
  }

  /** Takes the values of some keys, and of the keys below them, from a configuration that was loaded later. */
  take(loaded: LoadedConfig, keys: readonly string[]): void {
    const isTaken = ({ key }: PrintedValue) => keys.some((taken) => isBelow(key, taken));
    const before = this.#rows().filter((row) => !isTaken(row));
    const after = listConfig(loaded).filter(isTaken);
    this.#rows = () => [...before, ...after];
  }
}

/** True for the key itself and for every key below it. */
export function isBelow(key: string, other: string): boolean {
  return key === other || key.startsWith(`${other}.`);
}
