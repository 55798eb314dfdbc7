import { expect, setDefaultTimeout, test } from "bun:test";
import { startOrigin } from "../support/origin.ts";
import { startService } from "../support/service.ts";

setDefaultTimeout(60_000);

test("no prefix and no key of a handler leads to where the default keys of others lie", async () => {
  await using origin = await startOrigin();
  const code = `export default {
    prepare: (manifest) => manifest,
    *buildTasks({ resources, metadata }, { storage }) {
      const key = metadata.key === "own" ? storage.resourceKeyPrefix + "sub/a" : metadata.key;
      yield { resourceId: "a", url: resources[0].url, key };
    },
  };`;
  await using service = await startService({
    toml: '[handlers.own]\nhandler = "own.ts"\n',
    files: { "own.ts": code },
  });
  const resources = [{ id: "a", url: origin.serve("/a", "abc") }];
  const victim = await service.submit({ manifest_version: "v1", resources });
  expect((await service.finished(victim)).status).toBe("completed");
  for (const prefix of [`resources/default/${victim}/`, `manifests/default/${victim}/`, "resources/", "manifests/x/"]) {
    const refused = await service.post({
      manifest_version: "v1",
      storage: { resource_key_prefix: prefix },
      resources: [{ ...resources[0], id: "metadata.json2" }],
    });
    expect([prefix, refused.status, await refused.json()]).toEqual([
      prefix,
      400,
      expect.objectContaining({
        details: [{ path: "/storage/resource_key_prefix", message: expect.stringContaining("reserved") }],
      }),
    ]);
  }
  const ofType = { "x-fetchbox-job-type": "own" };
  for (const key of [`resources/default/${victim}/a`, `manifests/default/${victim}/metadata.json`, "resources"]) {
    const refused = await service.post({ manifest_version: "v1", metadata: { key }, resources }, ofType);
    const { code: error, message } = (await refused.json()) as { code: string; message: string };
    expect([key, refused.status, error]).toEqual([key, 500, "HANDLER_ERROR"]);
    expect(message).toContain("reserved");
  }
  for (const key of ["own", "resources-of-mine/a", "x/resources/a"]) {
    const job = await service.submit({ manifest_version: "v1", metadata: { key }, resources }, ofType);
    expect([key, (await service.finished(job)).status]).toEqual([key, "completed"]);
  }
});
