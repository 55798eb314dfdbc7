import { type App, createApp } from "../../app.ts";
import { renderProblems } from "../../config/config-error.ts";
import { ConfigValues } from "../../config/config-values.ts";
import type { LoadedConfig } from "../../config/load-config.ts";
import type { Config } from "../../config/schema.ts";
import { formatBindAddress } from "../../config/values/bind-address.ts";
import { systemClock } from "../../std/clock.ts";
import { armFailpoint, FAILPOINTS, parseFailpoint, type Reach } from "../../std/failpoint.ts";
import { createLog, type Log } from "../../telemetry/log.ts";
import { VERSION } from "../../version.ts";
import type { CliContext, ConfigOptions } from "../context.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { hearEarly, ignoreOtherSignals } from "../service-signals.ts";
import { stopSignal } from "../stop-signal.ts";
import { hasColours } from "../terminal/terminal-line.ts";
import { printable } from "../terminal/terminal-text.ts";
import { loadedOf } from "./config-command.ts";
import { placesText } from "./config-places.ts";
import { reload } from "./reload.ts";
import { s3Access } from "./s3-access.ts";

const LISTEN_PROBLEMS: Readonly<Record<string, string>> = {
  EADDRINUSE: "another process listens there; stop it (ss -ltnp names it), or set another address or port",
  EACCES: "this user has no permission; ports below 1024 need root or CAP_NET_BIND_SERVICE",
  EADDRNOTAVAIL: "this machine has no such address; ip address lists its addresses",
};

/** Runs the service until a signal stops it. */
export async function serve(options: ConfigOptions, context: CliContext): Promise<ExitCode> {
  const hangups = context.hangups ?? hearEarly();
  // A copy from before the SDK's variables are set, so that they do not hide a later change of .env.
  const env = { ...context.env };
  const loaded = loadedOf(options, context);
  const { config } = loaded;
  const log = createLog({ ...config.log, hasColours: hasColours(context.env) });
  for (const warning of loaded.warnings) log.warn({ source: warning.source }, renderProblems([warning]));
  ignoreOtherSignals(log);
  const reach = armedFailpoint(context.env["FETCHBOX_FAILPOINT"], log);
  const credentials = await s3Access(config.storage, options, context, log);
  const app = await createApp(config, {
    log,
    clock: systemClock,
    version: VERSION,
    credentials,
    ...(reach !== undefined && { reach }),
    isUnsafe: isUnsafe(context.env["FETCHBOX_UNSAFE_SYNCHRONOUS"], log),
  });
  const values = new ConfigValues(loaded);
  const closed = Promise.withResolvers<void>();
  const stop = stopSignal(() => {
    log.warn("second stop signal; the next start returns unfinished tasks to the queue");
    app.abandon();
  }, closed.promise);
  const reloadDeps = {
    started: config,
    read: () => loadedOf(options, { ...context, env }),
    values,
    reloadables: app.reloadables(credentials),
    log,
  };
  hangups.begin(async () => (hangups.isTerminalGone() ? closed.resolve() : reload(reloadDeps)));
  const url = await start(app, config, values);
  announceStart(url, loaded, log, context);
  const stopped = stop.then((signal) => {
    log.info({ signal, grace_ms: config.server.shutdown_grace_ms }, "stopping; a second signal stops at once");
    return app.stop();
  });
  const broken = await Promise.race([app.broken, stopped]);
  if (broken === undefined) {
    log.info("stopped");
    return EXIT.done;
  }
  log.fatal({ store: broken.path, reason: broken.message }, "a store is damaged or missing; the process ends");
  await app.answerAll();
  throw broken;
}

/** Announces the URL and the places of the service: as a line of the log, or on a terminal as plain text. */
function announceStart(url: string, loaded: LoadedConfig, log: Log, { out, cwd }: CliContext): void {
  const line = printable(`FetchBox ${VERSION} · ${url} · ${placesText(loaded, cwd)}`);
  const isForEyes = process.stdout.isTTY && loaded.config.log.format !== "json";
  if (isForEyes && log.isLevelEnabled("info")) out(`${line}\n`);
  else log.info({ url, version: VERSION, pid: process.pid }, line);
}

/** Listens first, so that a taken address fails the start before any work. The service is ready after the start. */
async function start(app: App, config: Config, values: ConfigValues): Promise<string> {
  try {
    const url = app.listen(() => values.list());
    await app.start();
    return url;
  } catch (error) {
    await app.stop();
    throw listenError(error, config);
  }
}

/** The failpoint at which the process kills itself, for crash tests only. */
function armedFailpoint(text: string | undefined, log: Log): Reach | undefined {
  if (text === undefined || text === "") return undefined;
  const failpoint = parseFailpoint(text);
  if (failpoint === undefined) {
    throw new UsageError(
      `FETCHBOX_FAILPOINT must be one of the following, with :n for the n-th time:\n  ${FAILPOINTS.join("\n  ")}`,
    );
  }
  log.warn({ failpoint: text }, "a failpoint is armed: this process will kill itself");
  return armFailpoint(failpoint, () => process.kill(process.pid, "SIGKILL"));
}

/** Whether the stores run without fsync, for crash tests only. A loss of power can then lose accepted jobs. */
function isUnsafe(text: string | undefined, log: Log): boolean {
  if (text !== "OFF") return false;
  log.warn("FETCHBOX_UNSAFE_SYNCHRONOUS=OFF: a loss of power can lose accepted jobs");
  return true;
}

/** An error with the reason why the service cannot listen, and the remedy; any other error unchanged. */
function listenError(error: unknown, { server }: Config): unknown {
  const { code } = error as { code?: unknown };
  const reason = typeof code === "string" ? LISTEN_PROBLEMS[code] : undefined;
  if (reason === undefined) return error;
  const address = formatBindAddress(server.bind_addr);
  return new UsageError(`cannot listen on server.bind_addr = "${address}": ${reason} (${String(code)})`, {
    cause: error,
  });
}
