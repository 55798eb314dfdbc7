/** A program for tests: makes one request to a URL at an address, in an environment of its own, and prints the answer. */
import { systemClock } from "../../src/jobs/clock.ts";
import { Failure } from "../../src/jobs/failure.ts";
import { request } from "../../src/worker/request.ts";
import { ClosingHosts } from "../../src/worker/until-close.ts";

const [url = "", address = ""] = process.argv.slice(2);
const trace = { address: "", proxy: "", httpStatus: 0, bytes: 0 };
try {
  const response = await request(new URL(url), {}, "straight", trace, new AbortController(), {
    addresses: () => Promise.resolve([address]),
    connectTimeoutMs: 5000,
    idleTimeoutMs: 5000,
    headerBytesMax: 65_536,
    closingHosts: new ClosingHosts(),
    clock: systemClock,
  });
  console.log(response.status, await response.text());
} catch (error) {
  console.log(error instanceof Failure ? error.code : error);
}
