import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runBinary } from "../support/binary.ts";
import { startForwardProxy } from "../support/forward-proxy.ts";
import { startOrigin } from "../support/origin.ts";
import { type Service, startService } from "../support/service.ts";
import { LOCAL } from "../support/storage.ts";

setDefaultTimeout(60_000);

/** The worked example of the documentation, in the compiled binary. */
const FILE = "config/handlers/gallery.ts";
const GALLERY = readFileSync(join(import.meta.dir, "../..", FILE), "utf8");

function galleryService(proxy: string): Promise<Service> {
  return startService({
    toml: `[proxies.pictures]
endpoints = ["${proxy}"]
[handlers.gallery]
handler = "./${FILE}"
default_headers = { X-Client = "gallery" }
options = { image_pool = "pictures" }
`,
    files: { [FILE]: GALLERY },
  });
}

test("the gallery's media are sorted by kind, asked for by their page, and pictures by their proxies", async () => {
  await using origin = await startOrigin();
  await using proxy = await startForwardProxy();
  await using service = await galleryService(proxy.url);
  const manifest = {
    manifest_version: "v1",
    metadata: { gallery: "autumn-2026", page: "https://example.com/g/17" },
    resources: [
      { id: "cover.jpg", url: origin.serve("/cover.JPG", "picture", { type: "image/jpeg" }) },
      { id: "walk.mp4", url: origin.serve("/walk.mp4", "film", { type: "video/mp4" }) },
      { id: "notes.txt", url: origin.serve("/notes.txt", "notes", { type: "text/plain" }) },
      {
        id: "login.png",
        url: origin.serve("/login.png", "<!doctype html><title>Log in</title>", { type: "image/png" }),
      },
    ],
  };
  const job = await service.submit(manifest, { "x-fetchbox-job-type": "gallery" });
  await service.finished(job);
  const rows = await service.resources(job);
  expect(rows.map(({ resource_id, state, error }) => [resource_id, error?.code ?? state])).toEqual([
    ["cover.jpg", "completed"],
    ["walk.mp4", "completed"],
    ["notes.txt", "completed"],
    ["login.png", "DOWNLOAD_CONTENT_TYPE_MISMATCH"],
  ]);
  expect(await LOCAL.keys(service, ["galleries/autumn-2026/"])).toEqual(
    ["images/cover.jpg", "other/notes.txt", "videos/walk.mp4"].map((key) => `galleries/autumn-2026/${key}`),
  );
  expect(origin.headers("/walk.mp4").join(" ")).toContain("https://example.com/g/17");
  expect(proxy.asked.map((line) => line.replace(/^.*\//, "")).toSorted((a, b) => a.localeCompare(b))).toEqual([
    "cover.JPG",
    "login.png",
  ]);

  const refused = await service.post(
    { ...manifest, metadata: { gallery: "../etc" } },
    { "x-fetchbox-job-type": "gallery" },
  );
  expect([refused.status, ((await refused.json()) as { details: unknown }).details]).toEqual([
    400,
    [{ path: "/metadata/gallery", message: "must name the gallery by 1 to 64 of a-z, 0-9 and '-'" }],
  ]);
});

test("handlers check shows what a handler makes, and where it throws, and touches nothing", async () => {
  await using origin = await startOrigin();
  await using proxy = await startForwardProxy();
  await using service = await galleryService(proxy.url);
  const url = origin.serve("/a.png", "a");
  const write = (name: string, text: string) => Bun.write(join(service.folder, name), text);
  const manifest = { manifest_version: "v1", metadata: { gallery: "g" }, resources: [{ id: "a.png", url }] };
  await write("manifest.json", JSON.stringify(manifest));
  await write("bad.json", JSON.stringify({ ...manifest, metadata: {} }));
  await write("throws.ts", "export default { prepare: (m) => m, *buildTasks() { throw new Error('of mine'); } };");
  const check = (...args: string[]) =>
    runBinary(["handlers", "check", ...args], { cwd: service.folder, env: service.env });
  const shown = await check(FILE, "manifest.json");
  expect([shown.code, shown.stderr]).toEqual([0, ""]);
  expect(shown.stdout).toMatch(
    /^a\.png +http:\/\/\S+\/a\.png +fetchbox-artifacts\/galleries\/g\/images\/a\.png +X-Client +pictures$/m,
  );
  expect(shown.stdout).toEndWith("1 task with the settings of [handlers.gallery]; nothing was downloaded\n");
  expect(JSON.parse((await check(FILE, "manifest.json", "--json")).stdout)).toMatchObject({
    contentType: "image/*",
    rejectHtml: true,
  });
  expect((await check("default", "manifest.json")).stdout).toContain("with the settings of [handlers.default]");
  const bad = await check(FILE, "bad.json");
  expect([bad.code, bad.stderr]).toEqual([2, expect.stringContaining("  /metadata/gallery: must name the gallery")]);
  const thrown = await check("throws.ts", "manifest.json");
  expect([thrown.code, thrown.stderr]).toEqual([
    2,
    expect.stringMatching(/HANDLER_ERROR: .*\nError: of mine\n +at .*throws\.ts/),
  ]);
  expect((await check("nowhere.ts", "manifest.json")).code).toBe(2);
  expect(origin.hits()).toBe(0);
});
