import { isLoopbackCaller } from "../api/accepted-host.ts";
import { createApi, type RunningServer, startServer } from "../api/server.ts";
import { isLoopback } from "../config/bind-address.ts";
import type { Config } from "../config/schema.ts";
import type { Submit } from "../intake/submission.ts";
import type { HealthReport } from "../telemetry/health.ts";
import type { Foundation } from "./foundation.ts";

/** A connection that is silent for so long is closed. */
const IDLE_SECONDS = 120;

/** Opens the API. @throws if the address is taken or not ours */
export function openHttp(
  config: Pick<Config, "server" | "api">,
  { log, clock, version, metrics, stores }: Foundation,
  submit: Submit,
  health: () => HealthReport,
): RunningServer {
  const { auth, bind_addr: address } = config.server;
  const isOpen = auth.mode === "none" || auth.tokens.length === 0;
  const api = createApi({
    submit,
    queue: stores.queue,
    ledger: stores.ledger,
    deadLetters: stores.deadLetters,
    health,
    metrics,
    log,
    limits: { maxPayloadBytes: config.api.max_payload_bytes },
    auth,
    // Without tokens a page in somebody's browser must not get in by a name that it made point here.
    ...(isOpen && isLoopback(address) && { isAcceptedHost: isLoopbackCaller }),
    version,
    now: clock.now,
    newRequestId: () => Bun.randomUUIDv7(),
    fillRandom: (bytes) => crypto.getRandomValues(bytes),
  });
  return startServer(api, { hostname: address.host, port: address.port, idleTimeoutSeconds: IDLE_SECONDS });
}
