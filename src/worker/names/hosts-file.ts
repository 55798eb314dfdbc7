import { readFileSync, statSync } from "node:fs";
import { isIP } from "node:net";
import type { Clock } from "../../std/clock.ts";
import { isOutOfDescriptors } from "../descriptors.ts";

const LOOK_EVERY_MS = 1000;

/**
 * The names of a hosts file (hosts(5)). c-ares reads it, too, but finds only the addresses of one line; so it resolves
 * only names that are not in the file. A change of the file takes effect within a second; an unreadable file has no
 * names.
 */
export class HostsFile {
  readonly #path: string;
  readonly #clock: Pick<Clock, "monotonic">;
  #addresses: ReadonlyMap<string, readonly string[]> = new Map();
  #lookedAt = Number.NEGATIVE_INFINITY;
  #version = "";

  constructor(path: string, clock: Pick<Clock, "monotonic">) {
    this.#path = path;
    this.#clock = clock;
  }

  /** All addresses of a name, in the file's order; `undefined` if the file does not have it. */
  addressesOf(name: string): readonly string[] | undefined {
    this.#look();
    return this.#addresses.get(name.toLowerCase().replace(/\.$/, ""));
  }

  #look(): void {
    const now = this.#clock.monotonic();
    if (now - this.#lookedAt < LOOK_EVERY_MS) return;
    this.#lookedAt = now;
    try {
      const { mtimeMs, size, ino } = statSync(this.#path);
      const version = `${ino} ${size} ${mtimeMs}`;
      if (version === this.#version) return;
      this.#addresses = parseHosts(readFileSync(this.#path, "utf8"));
      this.#version = version;
    } catch (error) {
      if (isOutOfDescriptors(error)) return; // the names stay as they are
      this.#addresses = new Map();
      this.#version = "";
    }
  }
}

function parseHosts(text: string): Map<string, string[]> {
  const addresses = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    if (isIP(address) === 0) continue;
    for (const name of new Set(names.map((each) => each.toLowerCase()))) {
      const known = addresses.get(name);
      if (known === undefined) addresses.set(name, [address]);
      else if (!known.includes(address)) known.push(address);
    }
  }
  return addresses;
}
