import { createApp } from "../app.ts";
import { systemClock } from "../jobs/clock.ts";
import { createLog } from "../telemetry/log.ts";
import { VERSION } from "../version.ts";
import { configOf } from "./config.ts";
import { EXIT, type ExitCode, UsageError } from "./exit-code.ts";
import type { CliContext, ConfigOptions } from "./program.ts";
import { ensureRequestLimit } from "./request-limit.ts";
import { stopSignal } from "./stop-signal.ts";

/** Runs the service until it is told to stop. */
export async function serve(options: ConfigOptions, context: CliContext): Promise<ExitCode> {
  const config = configOf(options, context);
  ensureRequestLimit(config.queue.workers, context.env);
  const log = createLog(config.log);
  const app = await createApp(config, { log, clock: systemClock, version: VERSION });
  const stop = stopSignal(() => {
    log.warn("told again to stop; what is under way is put back by the next start");
    app.abandon();
  });
  let url: string;
  try {
    // First, so that an address that is taken stops the start before any work begins; not ready until then.
    url = app.listen();
    await app.start();
  } catch (error) {
    await app.stop();
    throw listenError(error);
  }
  log.info({ url, version: VERSION, pid: process.pid }, `FetchBox answers on ${url}, Swagger UI on ${url}/swagger`);
  const signal = await stop;
  log.info({ signal, grace_ms: config.server.shutdown_grace_ms }, "stopping; a second signal ends at once");
  await app.stop();
  log.info("stopped");
  return EXIT.done;
}

function listenError(error: unknown): unknown {
  const code = (error as { code?: unknown }).code;
  if (code !== "EADDRINUSE" && code !== "EACCES" && code !== "EADDRNOTAVAIL") return error;
  return new UsageError(`server.bind_addr cannot be used (${code}): ${(error as Error).message}`, { cause: error });
}
