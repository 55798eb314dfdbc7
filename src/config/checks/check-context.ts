import type { Config } from "../schema.ts";
import type { KeyPath } from "../sources/key-path.ts";

/** What the rules between keys look at, and where they report. */
export interface CrossCheck {
  readonly config: Config;
  /** False where a value at or below one of the keys was refused already: it is not there. */
  readonly usable: (...paths: readonly KeyPath[]) => boolean;
  readonly report: (path: KeyPath, message: string) => void;
}
