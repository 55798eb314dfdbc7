import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runBinary } from "../support/binary.ts";
import { eventually } from "../support/eventually.ts";
import { startOrigin } from "../support/origin.ts";
import { startService } from "../support/service.ts";

setDefaultTimeout(60_000);

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
const TURNED = "\u202egpj.exe\u2066";

test("what origins, clients and handlers say reaches no log, terminal or answer raw", async () => {
  await using origin = await startOrigin();
  const code = `export default {
    prepare(manifest) {
      console.log("C1 \\u009b2J, C0 \\u001b[2J, turned ${TURNED}");
      return manifest;
    },
    *buildTasks({ resources }) {
      for (const { id, url, content_type } of resources) yield { resourceId: id, url, contentType: content_type };
    },
  };`;
  await using service = await startService({
    toml: '[handlers.own]\nhandler = "own.ts"\n[log]\nlevel = "trace"\n',
    files: { "own.ts": code },
  });
  // Bytes of Latin-1: HTTP takes them in a field's value, and 0x9b begins a sequence of C1.
  const type = Buffer.from("text/\x9b31m\x85", "latin1").toString("latin1");
  origin.answer("/typed", (_request, response) => void response.writeHead(200, { "content-type": type }).end("abc"));
  const resources = [
    { id: `a-${TURNED}`, url: `${origin.url}/typed`, content_type: "image/png" },
    { id: `b-${TURNED}`, url: origin.serve("/b", "x") },
  ];
  const manifest = { manifest_version: "v1", resources };
  const job = await service.submit(manifest, { "x-fetchbox-job-type": "own" });
  expect(await service.finished(job)).toMatchObject({ status: "partial", resource_completed: 1 });
  await eventually("its end is logged", () => service.log.includes("job partial") || undefined);
  const outputs: [string, string][] = [["the log", service.log]];
  for (const path of ["", "/resources", "/logs"]) {
    outputs.push([path, await (await service.fetch(`/operators/jobs/${job}${path}`)).text()]);
  }
  for (const accept of ["text/event-stream", "application/x-ndjson"]) {
    const response = await service.fetch(`/operators/jobs/${job}/logs`, { headers: { accept } });
    outputs.push([accept, await response.text()]);
  }
  writeFileSync(join(service.folder, "manifest.json"), JSON.stringify(manifest));
  const env = { ...service.env, FETCHBOX_SERVER: service.url };
  for (const args of [
    ["run", "manifest.json", "--out", "out", "--job-type", "own"],
    ["handlers", "check", "own.ts", "manifest.json"],
    ["handlers", "check", "own.ts", "manifest.json", "--json"],
    ["status", job],
    ["status", job, "--json"],
    ["logs", job],
    ["logs", job, "--json"],
    ["dlq", "list"],
    ["dlq", "list", "--json"],
  ]) {
    const { stdout, stderr } = await runBinary(args, { cwd: service.folder, env });
    outputs.push([args.join(" "), stdout + stderr]);
  }
  for (const [what, text] of outputs) expect([what, UNSEEN.exec(text)?.[0]]).toEqual([what, undefined]);
  // They are told all the same, and read as they were.
  expect(service.log).toContain("\\u009b");
  expect((await service.resources(job)).map(({ resource_id }) => resource_id)).toEqual(resources.map(({ id }) => id));
});
