import { expect, test } from "bun:test";
import { startRig } from "../support/download-rig.ts";
import { eventually } from "../support/eventually.ts";
import { startForwardProxy } from "../support/forward-proxy.ts";
import { proxyServer } from "../support/proxy-server.ts";

test("a download passes its stages: the name first, and the store last", async () => {
  const [address, put] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  await using rig = await startRig({
    addresses: async () => {
      await address.promise;
      return ["127.0.0.1"];
    },
    store: (store) => ({
      ...store,
      urlOf: (place) => store.urlOf(place),
      put: async (...given) => {
        await put.promise;
        return store.put(...given);
      },
    }),
  });
  const stage = () => rig.active.list()[0]?.trace.stage;
  const done = rig.run("/ok");
  expect(stage()).toBe("connecting");
  address.resolve();
  await eventually("the body is complete", () => stage() === "storing" || undefined);
  put.resolve();
  expect((await done).kind).toBe("stored");
  expect(stage()).toBeUndefined();
});

test("a request through a proxy is sent once the proxy has the connection", async () => {
  await using proxy = await startForwardProxy();
  await using rig = await startRig({ pools: { pool: { endpoints: [proxyServer(proxy.url)], fallbacks: [] } } });
  const stages = new Set<string>();
  const attempt = rig.attempt("/silent", { proxyPool: "pool" });
  const done = rig.service.call(attempt);
  await eventually("the request is sent", () => {
    stages.add(attempt.trace.stage);
    return attempt.trace.stage === "headers" || undefined;
  });
  expect([...stages]).toEqual(["connecting", "headers"]);
  attempt.abort(new Error("enough"));
  await done.catch(() => {});
});
