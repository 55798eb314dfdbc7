import type { Log } from "../telemetry/log.ts";

/** A part of the service that can read its settings anew while it works. */
export interface Reloadable {
  /** For the log. */
  readonly name: string;
  /** Resolves to what the log says of it. If it rejects, the part works on with what it had. */
  readonly reload: () => Promise<string>;
}

/**
 * Reloads on each SIGHUP what stands in the list by then, in its order, and logs one line. The signal never ends the
 * process. Signals that come during a reload lead to one more.
 */
export function reloadOnHangup(reloadables: readonly Reloadable[], log: Log): void {
  let running = false;
  let again = false;

  async function reload(): Promise<void> {
    running = true;
    do {
      again = false;
      await reloadAll(reloadables, log);
    } while (again);
    running = false;
  }

  process.on("SIGHUP", () => {
    again = true;
    if (!running) void reload();
  });
}

async function reloadAll(reloadables: readonly Reloadable[], log: Log): Promise<void> {
  const reloaded: Record<string, string> = {};
  const failed: Record<string, string> = {};
  for (const { name, reload } of reloadables) {
    try {
      reloaded[name] = await reload();
    } catch (error) {
      failed[name] = error instanceof Error ? error.message : String(error);
    }
  }
  if (Object.keys(failed).length > 0) log.error({ reloaded, failed }, "reload failed; what failed stays as it was");
  else if (reloadables.length > 0) log.info({ reloaded }, "reloaded");
  else log.info("SIGHUP: there is nothing to reload");
}
