import { expect, test } from "bun:test";
import { CONSOLE_POLICY } from "../../src/api/console/page-policy.ts";
import { startTestApi } from "./running-api.ts";

const BYTES_MAX = 80 * 1024;

/** The addresses of the files that a page loads, as a browser resolves them. */
async function filesOf(page: Response, url: string): Promise<string[]> {
  const text = await page.text();
  return [...text.matchAll(/(?:src|href)="(?!data:)([^"]+)"/g)].map(
    ([, address = ""]) => new URL(address, url).pathname,
  );
}

test("each path of the console has the same page, which needs no token", async () => {
  await using api = await startTestApi({ auth: { mode: "token", tokens: [] } });
  for (const path of ["/console", "/console/", "/console/jobs", "/console/dead-letters/7?tab=x", "/console/a/b/c/d"]) {
    const response = await api.fetch(path);
    expect([path, response.status, response.headers.get("content-type")]).toEqual([
      path,
      200,
      "text/html; charset=utf-8",
    ]);
    expect(response.headers.get("content-security-policy")).toBe(CONSOLE_POLICY);
    expect(response.headers.get("cache-control")).toBe("no-cache");
    const files = await filesOf(response, api.url + path);
    expect(files).toHaveLength(2);
    for (const file of files)
      expect([path, file]).toEqual([path, expect.stringMatching(/^\/console\/assets\/console-\w+\.(js|css)$/)]);
  }
});

test("the files of the console are compressed, and browsers keep them", async () => {
  await using api = await startTestApi();
  const files = await filesOf(await api.fetch("/console"), `${api.url}/console`);
  let sum = 0;
  for (const file of files) {
    const response = await fetch(api.url + file, { headers: { "accept-encoding": "gzip" }, decompress: false });
    expect(response.headers.get("content-encoding")).toBe("gzip");
    expect(response.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    const compressed = await response.arrayBuffer();
    sum += compressed.byteLength;
    const plain = await api.fetch(file, { headers: { "accept-encoding": "identity" } });
    expect(plain.headers.get("content-encoding")).toBeNull();
    for (const refusing of ["gzip;q=0", "br, gzip; q=0.0"]) {
      const other = await fetch(api.url + file, { headers: { "accept-encoding": refusing }, decompress: false });
      expect([refusing, other.headers.get("content-encoding")]).toEqual([refusing, null]);
    }
    expect(Bun.hash(await plain.bytes())).toBe(Bun.hash(Bun.gunzipSync(compressed)));
  }
  expect(sum).toBeLessThan(BYTES_MAX);
});

test("an unknown file is not found, and the console takes no other method", async () => {
  await using api = await startTestApi();
  await api.error("/console/assets/console-0.js", 404);
  await api.error("/console/jobs", 405, { method: "POST" });
});
