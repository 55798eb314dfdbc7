/** Each circle of pools that fall back on one another, once, as `[a, b, a]`; unknown names lead nowhere. */
export function proxyCycles(pools: Readonly<Record<string, { readonly fallbacks: readonly string[] }>>): string[][] {
  const cycles: string[][] = [];
  const done = new Set<string>();
  const visit = (name: string, trail: readonly string[]): void => {
    const start = trail.indexOf(name);
    if (start >= 0) cycles.push([...trail.slice(start), name]);
    if (start >= 0 || done.has(name) || !Object.hasOwn(pools, name)) return;
    for (const fallback of pools[name]?.fallbacks ?? []) visit(fallback, [...trail, name]);
    done.add(name);
  };
  for (const name of Object.keys(pools)) visit(name, []);
  return cycles;
}
