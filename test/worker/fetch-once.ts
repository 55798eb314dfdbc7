/**
 * A program for tests: makes one request to a URL at an address, in an environment of its own, and prints the answer.
 */
import { Failure } from "../../src/jobs/failure.ts";
import { Attempt } from "../../src/worker/attempt.ts";
import { request } from "../../src/worker/download/request.ts";
import { claimedTask } from "../support/claimed.ts";
import { noNames, testClient } from "../support/http.ts";

const [url = "", address = ""] = process.argv.slice(2);
try {
  const hop = { url: new URL(url), headers: {}, attempt: new Attempt(claimedTask(), 1) };
  const response = await request(hop, undefined, {
    http: testClient(),
    addresses: () => Promise.resolve([address]),
    resolve: noNames,
    ca: undefined,
    connectTimeoutMs: 5000,
    headTimeoutMs: 5000,
  });
  const body = await response.body.read();
  console.log(response.status, new TextDecoder().decode(body));
} catch (error) {
  console.log(error instanceof Failure ? error.code : error);
}
process.exit(0);
