import type { HealthAnswer } from "../../api/openapi/service-schemas.ts";
import { roughDuration } from "../../std/duration-text.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { table } from "../terminal/table.ts";
import { answer, type Remote, type RemoteFlags } from "./remote-context.ts";

const UNHEALTHY_STATUS = 503;

const COLUMNS = [{ title: "COMPONENT" }, { title: "STATUS" }, { title: "REASON" }] as const;

export interface HealthFlags extends RemoteFlags {
  readonly live?: true;
  readonly ready?: true;
}

/**
 * Asks one of the open probes, as a health check of a container does: it has no token, and wants one line.
 *
 * @throws UsageError if both are asked for; else the errors of the client
 */
export async function checkProbe({ live, ready, ...flags }: HealthFlags, remote: Remote): Promise<void> {
  if (live === true && ready === true) throw new UsageError("--live and --ready exclude each other");
  const probe = await remote.client.get<{ status?: unknown }>(live === true ? "/health/live" : "/health/ready");
  if (typeof probe?.status !== "string") throw remote.client.stranger();
  answer(remote, flags, probe, ({ status }) => `${String(status)}\n`);
}

/** Prints the health of the service and its components. Returns 1 if the service is unhealthy. */
export async function showHealth(flags: RemoteFlags, remote: Remote): Promise<ExitCode> {
  // An unhealthy service answers 503 with the same document.
  const health = await remote.client.getEvenIf<HealthAnswer>(UNHEALTHY_STATUS, "/operators/health");
  if (!("components" in health)) throw remote.client.stranger();
  answer(remote, flags, health, (shown) => healthText(shown, remote.width));
  return health.status === "unhealthy" ? EXIT.failed : EXIT.done;
}

function healthText({ status, version, uptime_seconds: uptime, components }: HealthAnswer, width?: number): string {
  const head = `${status} · FetchBox ${version} · up for ${roughDuration(uptime * 1000)}\n`;
  const rows = Object.entries(components).map(([name, part]) => [name, part.status, part.reason ?? ""]);
  return head + table(COLUMNS, rows, width);
}
