import { stripVTControlCharacters } from "node:util";
import { errorText } from "../../std/error-text.ts";

const PROBLEMS_MAX = 5;

/**
 * The problems of a handler's file that cannot be loaded, as the text after a colon. Each has its file, line and column
 * if they are known; several stand on a line each. The file may be one that the handler imports.
 */
export function loadProblem(error: unknown, file: string): string {
  const errors: unknown[] = error instanceof AggregateError && error.errors.length > 0 ? error.errors : [error];
  const problems = errors.map((each) => `${errorLocation(each, file)}${messageOf(each)}`);
  if (problems.length === 1) return ` ${problems.join("")}`;
  const shown = problems.slice(0, PROBLEMS_MAX).map((problem) => `\n  ${problem}`);
  const more = problems.length - shown.length;
  return `${shown.join("")}${more > 0 ? `\n  and ${more} more` : ""}`;
}

function errorLocation(error: unknown, file: string): string {
  const place = parserPlace(error, file) ?? stackPlace(error, file);
  return place === undefined ? "" : `${place}: `;
}

/** The place in a property of an error of Bun's parser. */
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
  return stripVTControlCharacters(errorText(error));
}
