/**
 * Values for hosts by pattern. A pattern is a name (`cdn.example.com`), a name with a port (`cdn.example.com:8443`), or
 * either behind `*.`, which stands for one label or more. The one that says most wins: a port before none, a whole name
 * before a wildcard, a long one before a short one.
 */
export class HostPatterns<T> {
  readonly #byPattern: ReadonlyMap<string, T>;

  constructor(patterns: Iterable<readonly [pattern: string, value: T]>) {
    this.#byPattern = new Map([...patterns].map(([pattern, value]) => [pattern.toLowerCase(), value]));
  }

  /** `host` is lower case, as in a URL, with a port or without. */
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
