import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { runBinary } from "../support/binary.ts";
import { eventually } from "../support/eventually.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { prepareService, type Service, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const SECRET = "canary-of-the-configuration";
const hostOf = (origin: Origin) => new URL(origin.url).host;
const sent = (origin: Origin, path: string) => origin.headers(path).join("|");

function bytesUnder(folder: string): string {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"))
    .join("\n");
}

async function run(service: Service, urls: readonly string[], jobType = "keyed") {
  const resources = urls.map((url, i) => ({ id: `${i}`, url }));
  return service.finished(
    await service.submit({ manifest_version: "v1", resources }, { "x-fetchbox-job-type": jobType }),
  );
}

test("a handler's secret goes to the hosts that it names, and to none that a submitter or a redirect names", async () => {
  await using known = await startOrigin();
  await using other = await startOrigin();
  const toml = `[handlers.keyed]
handler = "default"
default_headers = { Authorization = "Bearer \${SECRET}", X-Client = "plain" }
default_headers_for = ["${hostOf(known)}"]
[handlers.unkeyed]
handler = "default"
`;
  await using service = await startService({ toml, env: { SECRET } });
  known.answer("/away", (_request, response) => void response.writeHead(302, { location: `${other.url}/came` }).end());
  other.answer("/back", (_request, response) => void response.writeHead(302, { location: `${known.url}/came` }).end());
  known.serve("/came", "x");
  other.serve("/came", "x");
  const urls = [
    known.serve("/a", "x"),
    other.serve("/a", "x"),
    `${known.url}/away`,
    `${other.url}/back`,
    `${known.url}/gone`,
  ];
  expect(await run(service, urls)).toMatchObject({ status: "partial", resource_failed: 1 });
  for (const path of ["/a", "/away", "/gone", "/came"]) expect(sent(known, path)).toContain(`Bearer ${SECRET}`);
  for (const path of ["/a", "/back", "/came"]) expect(sent(other, path)).not.toContain(SECRET);
  // What refers to no variable goes to every host, as before.
  expect(sent(other, "/a")).toContain("X-Client|plain");

  // A replay adds it anew: neither the task nor its dead letter holds it.
  known.serve("/gone", "x");
  const replay = { filter: {} };
  await service.fetch("/operators/dlq/replay", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(replay),
  });
  await eventually("the replay is done", () => (known.hits("/gone") > 1 ? true : undefined));
  expect(sent(known, "/gone")).toContain(`Bearer ${SECRET}`);

  expect((await run(service, [known.serve("/b", "x")], "unkeyed")).status).toBe("completed");
  expect(sent(known, "/b")).not.toContain(SECRET);
  expect((await runBinary(["backup", "copy"], { cwd: service.folder, env: service.env })).code).toBe(0);
  await service.stop();
  expect(bytesUnder(service.folder)).not.toContain(SECRET);
  expect(service.log).not.toContain(SECRET);
});

test("a handler's file sees no secret header, and its downloads get it all the same", async () => {
  await using known = await startOrigin();
  await using other = await startOrigin();
  const toml = `[handlers.keyed]
handler = "own.ts"
default_headers = { X-Api-Key = "\${SECRET}", X-Client = "plain" }
default_headers_for = ["${hostOf(known)}"]
`;
  const code = `export default (options) => ({
    prepare(manifest, context) {
      console.log("sees", JSON.stringify([options, context]));
      return manifest;
    },
    *buildTasks({ resources }, { handler }) {
      for (const { id, url } of resources) yield { resourceId: id, url, headers: handler.defaultHeaders };
    },
  });`;
  await using service = await startService({ toml, files: { "own.ts": code }, env: { SECRET } });
  expect((await run(service, [known.serve("/a", "x"), other.serve("/a", "x")])).status).toBe("completed");
  expect(sent(known, "/a")).toContain(`X-Api-Key|${SECRET}`);
  expect(sent(other, "/a")).toContain("X-Client|plain");
  expect(sent(other, "/a")).not.toContain(SECRET);
  await eventually("it has said what it sees", () => service.log.includes("sees ") || undefined);
  expect(service.log).toContain("X-Client");
  expect(service.log).not.toContain(SECRET);
  writeFileSync(
    join(service.folder, "manifest.json"),
    JSON.stringify({ manifest_version: "v1", resources: [{ id: "a", url: `${known.url}/a` }] }),
  );
  for (const args of [[], ["--json"]]) {
    const checked = await runBinary(["handlers", "check", "own.ts", "manifest.json", ...args], at(service));
    expect([checked.code, checked.stdout + checked.stderr]).toEqual([0, expect.stringContaining("X-Client")]);
    expect(checked.stdout + checked.stderr).not.toContain(SECRET);
  }
});

function at(service: Service) {
  return { cwd: service.folder, env: service.env };
}

test("headers of a host go to that host, whatever the job, and SIGHUP takes others", async () => {
  await using known = await startOrigin();
  await using other = await startOrigin();
  const toml = (name: string) =>
    `[download.hosts."${hostOf(known)}"]\nheaders = { Authorization = "Bearer \${${name}}", Accept = "image/*" }\n`;
  await using service = await startService({
    toml: toml("SECRET"),
    files: { "config/.env": `SECRET=${SECRET}\nNEXT=${SECRET}-next\n` },
  });
  expect((await run(service, [known.serve("/a", "x"), other.serve("/a", "x")], "default")).status).toBe("completed");
  expect(sent(known, "/a")).toMatch(new RegExp(`Bearer ${SECRET}(\\||$)`));
  expect(sent(known, "/a")).toContain("Accept|image/*");
  expect(sent(other, "/a")).not.toContain(SECRET);
  expect(sent(other, "/a")).toContain("Accept|*/*");
  writeFileSync(join(service.folder, "config/fetchbox.toml"), toml("NEXT"));
  service.signal("SIGHUP");
  await eventually("it is reloaded", () => service.log.includes('"msg":"reloaded"') || undefined);
  expect((await run(service, [known.serve("/b", "x")], "default")).status).toBe("completed");
  expect(sent(known, "/b")).toContain(`Bearer ${SECRET}-next`);
  await service.stop();
  expect(bytesUnder(join(service.folder, "data"))).not.toContain(SECRET);
  expect(service.log).not.toContain(SECRET);
});

test("a host that answers with the secrets that it was sent finds them in no store, no log and no answer", async () => {
  await using mirror = await startOrigin();
  const toml = `[download.hosts."${hostOf(mirror)}"]
headers = { Authorization = "Bearer \${SECRET}" }
[handlers.keyed]
handler = "default"
default_headers = { X-Own = "\${OWN}" }
default_headers_for = ["${hostOf(mirror)}"]
`;
  await using service = await startService({
    toml,
    env: { SECRET, OWN: `${SECRET}-own`, FETCHBOX__LOG__LEVEL: "trace" },
  });
  const words = ({ headers }: IncomingMessage) => `${headers.authorization?.split(" ")[1]}/${String(headers["x-own"])}`;
  mirror.answer("/type", (request, response) => {
    response.writeHead(200, { "content-type": `text/${words(request)}` }).end("x");
  });
  mirror.answer("/echo", (request, response) => {
    response.writeHead(200, { "content-type": "text/plain" }).end(request.rawHeaders.join("\n"));
  });
  mirror.answer("/moved", (request, response) => {
    response.writeHead(302, { location: `/typed?to=${encodeURIComponent(words(request))}` }).end();
  });
  mirror.answer("/typed", (request, response) => {
    const type = `text/${words(request)}`;
    response.writeHead(200, { "content-type": type, etag: `"${words(request)}"` }).end("x");
  });
  const resources = [
    { id: "type", url: `${mirror.url}/type`, content_type: "image/*" },
    { id: "body", url: `${mirror.url}/echo`, checksum: `sha256:${"0".repeat(64)}` },
    { id: "moved", url: `${mirror.url}/moved` },
  ];
  const job = await service.submit({ manifest_version: "v1", resources }, { "x-fetchbox-job-type": "keyed" });
  expect(await service.finished(job)).toMatchObject({ resource_completed: 1, resource_failed: 2 });
  const rows = await (await service.fetch(`/operators/jobs/${job}/resources`)).text();
  expect(rows).toContain("the answer is text/***/***, the manifest requires image/*");
  expect(rows).toContain(`${mirror.url}/typed?to=***`);
  expect(rows).toContain('"content_type":"text/***/***"');
  expect(rows).toContain(Buffer.from("Authorization\n***\n").toString("hex"));
  const answers = [
    "/operators/dlq",
    "/operators/dlq/analysis",
    `/operators/jobs/${job}/logs`,
    `/operators/jobs/${job}`,
  ];
  const texts = [rows, ...(await Promise.all(answers.map(async (path) => (await service.fetch(path)).text())))];
  expect((await runBinary(["backup", "copy"], at(service))).code).toBe(0);
  await service.stop();
  texts.push(
    service.log,
    ...["queue", "ledger", "dlq"].map((store) => bytesUnder(join(service.folder, "data", store))),
  );
  texts.push(bytesUnder(join(service.folder, "copy")));
  for (const text of texts) {
    for (const shown of [SECRET, Buffer.from(SECRET).toString("hex")]) expect(text).not.toContain(shown);
  }
});

test("a secret header without hosts is refused before anything is opened, and the message says what to write", async () => {
  const toml = '[handlers.keyed]\nhandler = "default"\ndefault_headers = { Authorization = "Bearer ${SECRET}" }\n';
  await using service = await prepareService({ toml, env: { SECRET } });
  for (const args of [["serve"], ["config", "check"]]) {
    const { code, stdout, stderr } = await runBinary(args, { cwd: service.folder, env: service.env });
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/config\/fetchbox\.toml:3: handlers\.keyed\.default_headers\.Authorization: refers to/);
    expect(stderr).toContain('write default_headers_for = ["api.example.com"]');
    expect(stderr).not.toContain(SECRET);
  }
  expect(readdirSync(service.folder)).toEqual(["config"]);
});
