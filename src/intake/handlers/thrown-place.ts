/** Of an error while a file was loaded, where in it: `12:5: `; nothing where that cannot be told. */
export function placeOf(error: unknown, file: string): string {
  for (const each of error instanceof AggregateError ? error.errors : [error]) {
    const place = parserPlace(each) ?? stackPlace(each, file);
    if (place !== undefined) return `${place}: `;
  }
  return "";
}

/** Bun's parser says it beside its message. */
function parserPlace(error: unknown): string | undefined {
  const { position } = error as { position?: { line?: unknown; column?: unknown } | null };
  return typeof position?.line === "number" ? `${position.line}:${String(position.column)}` : undefined;
}

function stackPlace(error: unknown, file: string): string | undefined {
  const { stack } = error as { stack?: unknown };
  if (typeof stack !== "string") return undefined;
  const at = stack.indexOf(`${file}:`);
  return at < 0 ? undefined : /^\d+:\d+/.exec(stack.slice(at + file.length + 1))?.[0];
}
