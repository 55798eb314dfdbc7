import { expect, test } from "bun:test";
import { headerNameProblem, headerValueProblem, mayBeSecret } from "../../src/net/request-header.ts";

test("every header that passes is one that fetch sends as it is", async () => {
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => Response.json(request.headers.get("x-test")),
  });
  for (let code = 0; code <= 0x17f; code++) {
    const value = `a${String.fromCharCode(code)}b`;
    if (headerValueProblem(value) !== undefined) continue;
    const answer = await fetch(server.url, { headers: { "X-Test": value } });
    expect(await answer.json()).toBe(value);
  }
});

test("a name that passes is one that Headers takes", () => {
  for (let code = 0; code <= 0x17f; code++) {
    const name = `x${String.fromCharCode(code)}`;
    if (headerNameProblem(name) === undefined) expect(() => new Headers({ [name]: "v" })).not.toThrow();
    else expect(() => new Headers({ [name]: "v" })).toThrow();
  }
});

test("secrets are known by name, whatever the letter case", () => {
  for (const name of [
    "Authorization",
    "COOKIE",
    "x-api-key",
    "X-Auth-Token",
    "Private-Token",
    "X-Secret",
    "PASSWORD",
  ]) {
    expect([name, mayBeSecret(name)]).toEqual([name, true]);
  }
  for (const name of ["Accept", "User-Agent", "Referer", "X-Client", "Cache-Control", "Origin"]) {
    expect([name, mayBeSecret(name)]).toEqual([name, false]);
  }
});
