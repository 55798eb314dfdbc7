/** Run by tests: opens a stream, waits for data, and lets the process end although the stream is open. */
import { createConnector } from "../../src/http/connect.ts";
import { openRoute } from "../../src/http/route.ts";
import type { Transport } from "../../src/http/transport/transport.ts";
import { systemClock } from "../../src/std/clock.ts";
import { Recorder } from "./recorder.ts";

const { KIND, PORT, PROXY_PORT, CA } = process.env;
const tls = CA ? { serverName: "x.test", ca: [await Bun.file(CA).text()] } : undefined;
const signal = new AbortController().signal;
const limits = { connectTimeoutMs: 10_000, tlsTimeoutMs: 10_000, tunnelTimeoutMs: 10_000 };
const target = { addresses: ["127.0.0.1"], port: Number(PORT), tls };
const connector = createConnector({ clock: systemClock });

function open(): Promise<Transport> {
  if (KIND === "connect" || KIND === "connectByNode") return connector[KIND]({ ...target, ...limits, signal });
  const route = { kind: "http-proxy", addresses: ["127.0.0.1"], port: Number(PROXY_PORT), tls } as const;
  return openRoute(connector, { route, target, limits, signal });
}

const transport = await open();
const got = new Recorder(transport);
await got.hasData;
transport.setKeepsAlive(false);
transport.setKeepsAlive(true);
transport.setKeepsAlive(false);
console.log("idle");
