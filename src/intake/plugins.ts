import { createDefaultHandler } from "./default-handler.ts";
import type { JobHandler } from "./handler.ts";

/** A handler's file cannot be used; the message names the file and what is missing. */
export class HandlerLoadError extends Error {
  override readonly name = "HandlerLoadError";
}

/**
 * The handler that a `[handlers.NAME]` names: `default`, or the default export of a .ts or .js file, which is a
 * JobHandler or a function from the handler's options to one.
 * @throws HandlerLoadError
 */
export async function loadHandler(
  name: string,
  handler: string,
  options: Readonly<Record<string, unknown>>,
): Promise<JobHandler> {
  if (handler === "default") return createDefaultHandler();
  const fail = (problem: string, cause?: unknown) =>
    new HandlerLoadError(`[handlers.${name}] handler = "${handler}": ${problem}`, { cause });
  let exported: unknown;
  try {
    exported = ((await import(handler)) as { default?: unknown }).default;
    if (typeof exported === "function") exported = await exported(options);
  } catch (error) {
    throw fail(`cannot be loaded: ${(error as Error).message}`, error);
  }
  if (typeof exported !== "object" || exported === null) throw fail("has no default export that is a JobHandler");
  for (const method of ["prepare", "buildTasks"]) {
    if (typeof (exported as Record<string, unknown>)[method] !== "function") throw fail(`lacks the method ${method}`);
  }
  return exported as JobHandler;
}
