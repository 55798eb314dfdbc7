import { expect, test } from "bun:test";
import { ApiError } from "../../src/api/http/errors.ts";
import { limitRequests } from "../../src/api/http/request-limit.ts";
import { parseAccessToken } from "../../src/config/values/access-token.ts";
import { FakeClock } from "../support/clock.ts";
import { startTestApi } from "./running-api.ts";

test("a client has a second's worth at once, and then its rate, each for itself", async () => {
  const clock = new FakeClock();
  const limit = limitRequests(5, clock);
  const taken = (client: string) => {
    for (let count = 0; ; count++) {
      try {
        limit(client);
      } catch (error) {
        expect(error).toBeInstanceOf(ApiError);
        expect(error).toMatchObject({ code: "RATE_LIMITED", status: 429 });
        return count;
      }
    }
  };
  expect([taken("a"), taken("b"), taken("a")]).toEqual([5, 5, 0]);
  await clock.advance(400);
  expect([taken("a"), taken("b")]).toEqual([2, 2]);
  await clock.advance(60_000);
  expect(taken("a")).toBe(5);
});

test("less than one per second is possible, and 0 is no limit", async () => {
  const clock = new FakeClock();
  const limit = limitRequests(0.1, clock);
  limit("a");
  await clock.advance(9999);
  expect(() => limit("a")).toThrow();
  await clock.advance(1);
  limit("a");
  const open = limitRequests(0, clock);
  for (let i = 0; i < 1000; i++) open("a");
});

test("over the limit the answer is 429 with Retry-After, by token and for wrong ones by address; health stays open", async () => {
  const auth = {
    mode: "token",
    tokens: ["operator:ONE-OF-THIS-TEST", "operator:TWO-OF-THIS-TEST"].map(parseAccessToken),
  } as const;
  await using api = await startTestApi({
    auth,
    limits: { maxPayloadBytes: 1000, maxBodiesBytes: 1000, requestsPerSecond: 3 },
  });
  const statuses = async (token: string, path = "/operators/jobs") => {
    const found: number[] = [];
    for (let i = 0; i < 5; i++) {
      const response = await api.fetch(path, { headers: { authorization: `Bearer ${token}` } });
      found.push(response.status);
      const { code } = (await response.json()) as { code?: string };
      if (response.status !== 429) continue;
      expect([code, response.headers.get("retry-after")]).toEqual(["RATE_LIMITED", "1"]);
    }
    return found;
  };
  expect(await statuses("ONE-OF-THIS-TEST")).toEqual([200, 200, 200, 429, 429]);
  expect(await statuses("TWO-OF-THIS-TEST")).toEqual([200, 200, 200, 429, 429]);
  expect(await statuses("WRONG")).toEqual([401, 401, 401, 429, 429]);
  expect(await statuses("ONE-OF-THIS-TEST", "/health/live")).toEqual([200, 200, 200, 200, 200]);
});
