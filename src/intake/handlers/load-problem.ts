import { stripVTControlCharacters } from "node:util";

const PROBLEMS_MAX = 5;

/**
 * Why a handler's file cannot be loaded: each problem with its file, line and column where they can be told, one a line
 * if there are several; to stand behind a colon. A file that it imports may be the one to blame.
 */
export function loadProblem(error: unknown, file: string): string {
  const errors: unknown[] = error instanceof AggregateError && error.errors.length > 0 ? error.errors : [error];
  const problems = errors.map((each) => `${placeOf(each, file)}${messageOf(each)}`);
  if (problems.length === 1) return ` ${problems.join("")}`;
  const shown = problems.slice(0, PROBLEMS_MAX).map((problem) => `\n  ${problem}`);
  const more = problems.length - shown.length;
  return `${shown.join("")}${more > 0 ? `\n  and ${more} more` : ""}`;
}

function placeOf(error: unknown, file: string): string {
  const place = parserPlace(error, file) ?? stackPlace(error, file);
  return place === undefined ? "" : `${place}: `;
}

/** Bun's parser says it beside its message. */
function parserPlace(error: unknown, file: string): string | undefined {
  const { position } = error as { position?: { file?: unknown; line?: unknown; column?: unknown } | null };
  if (typeof position?.line !== "number") return undefined;
  const where = typeof position.file === "string" && position.file !== "" ? position.file : file;
  return `${where}:${position.line}:${String(position.column)}`;
}

function stackPlace(error: unknown, file: string): string | undefined {
  const { stack } = error as { stack?: unknown };
  if (typeof stack !== "string") return undefined;
  const at = stack.indexOf(`${file}:`);
  const place = at < 0 ? undefined : /^\d+:\d+/.exec(stack.slice(at + file.length + 1))?.[0];
  return place === undefined ? undefined : `${file}:${place}`;
}

function messageOf(error: unknown): string {
  return stripVTControlCharacters(error instanceof Error ? error.message : String(error));
}
