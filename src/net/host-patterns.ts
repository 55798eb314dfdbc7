/**
 * Values for hosts by pattern. A pattern is a name (`cdn.example.com`), a name with a port (`cdn.example.com:8443`), or
 * either after `*.`, which stands for one or more labels. The most specific pattern wins: a port before no port, a
 * whole name before a wildcard, a long wildcard before a short one.
 */
export class HostPatterns<T> {
  readonly #byPattern: ReadonlyMap<string, T>;

  constructor(patterns: Iterable<readonly [pattern: string, value: T]>) {
    this.#byPattern = new Map([...patterns].map(([pattern, value]) => [pattern.toLowerCase(), value]));
  }

  /** The value for a host, or `undefined`. `host` is lower case, as in a URL, with an optional port. */
  find(host: string): T | undefined {
    if (this.#byPattern.size === 0) return undefined;
    const [, name = host, port = ""] = /^(.*?)(:\d+)?$/.exec(host) ?? [];
    const patterns = [name, ...wildcards(name)];
    for (const pattern of [...patterns.map((each) => each + port), ...patterns]) {
      const found = this.#byPattern.get(pattern);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** `*.b.c` and `*.c` for `a.b.c`. */
function wildcards(name: string): string[] {
  const labels = name.split(".");
  return labels.slice(1).map((_, at) => `*.${labels.slice(at + 1).join(".")}`);
}
