/** Run by tls.test.ts with an environment of its own: prints `ok` or the error's code, for both kinds of socket. */
import { createConnector } from "../../src/http/connect.ts";
import { HttpError } from "../../src/http/http-error.ts";
import { systemClock } from "../../src/std/clock.ts";

const { PORT, CA } = process.env;
const connector = createConnector({ clock: systemClock });
for (const by of ["connect", "connectByNode"] as const) {
  try {
    const transport = await connector[by]({
      addresses: ["127.0.0.1"],
      port: Number(PORT),
      tls: { serverName: "x.test", ca: CA ? [await Bun.file(CA).text()] : undefined },
      connectTimeoutMs: 10_000,
      tlsTimeoutMs: 10_000,
      signal: new AbortController().signal,
    });
    transport.destroy();
    console.log("ok");
  } catch (error) {
    console.log(error instanceof HttpError ? error.code : error);
  }
}
