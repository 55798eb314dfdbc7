import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { ensureBinary, runBinary } from "../support/binary.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

setDefaultTimeout(60_000);

/** Titles, colours, a cursor that moves; each in C0 and in C1; text that runs the other way. */
const RAW = "\u001b]0;owned\u0007\u001b[31m\u009b2J\u0085\u202egpj.exe\u2066\u200f\u2028\u007f";
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
const JOB = "019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00";

const SNAPSHOT = {
  job_id: RAW,
  job_type: RAW,
  tenant: RAW,
  status: `failed${RAW}`,
  resource_total: 1,
  resource_completed: 0,
  resource_failed: 1,
  resource_cancelled: 0,
  bytes_stored: 0,
  manifest_key: RAW,
  created_at: RAW,
  updated_at: RAW,
  completed_at: RAW,
  log_count: 1,
  errors: [{ resource_id: RAW, code: RAW, message: RAW, attempts: 1, timestamp: RAW }],
  errors_truncated: false,
};
const LETTER = { task_id: 1, url: RAW, failure_code: RAW, failed_at: RAW, attempts: 1 };
const ROW = { offset: 0, timestamp: RAW, level: RAW, message: RAW, resource_id: RAW, fields: { [RAW]: RAW } };
const ANSWERS: readonly (readonly [args: readonly string[], path: string, body: unknown])[] = [
  [["jobs"], "/operators/jobs", { jobs: [SNAPSHOT], next_cursor: RAW }],
  [["status", JOB], `/operators/jobs/${JOB}`, SNAPSHOT],
  [["cancel", JOB], `/operators/jobs/${JOB}/cancel`, SNAPSHOT],
  [["logs", JOB], `/operators/jobs/${JOB}/logs`, { logs: [ROW], next_offset: 1 }],
  [["dlq", "list"], "/operators/dlq", { entries: [LETTER], next_cursor: RAW }],
  [["submit", "manifest.json"], "/jobs", { job_id: RAW, resource_count: RAW }],
  [
    ["health"],
    "/operators/health",
    { status: RAW, version: RAW, uptime_seconds: RAW, components: { [RAW]: { status: RAW, reason: RAW } } },
  ],
];

function answering(status: number, type: string, body: string, headers: Record<string, string> = {}) {
  return (request: IncomingMessage, response: ServerResponse) => {
    request.resume().on("end", () => response.writeHead(status, { "content-type": type, ...headers }).end(body));
  };
}

async function ask(origin: Origin, args: readonly string[], env: Record<string, string> = {}) {
  await ensureBinary();
  const cwd = makeTemporaryFolder("client");
  writeFileSync(join(cwd, "manifest.json"), '{"manifest_version":"v1","resources":[]}');
  return runBinary(args, { cwd, env: { FETCHBOX_SERVER: origin.url, FETCHBOX_TOKEN: "canary-token", ...env } });
}

for (const [args, path, body] of ANSWERS) {
  test(`${args.join(" ")} prints nothing raw of what a service answers`, async () => {
    await using origin = await startOrigin();
    origin.answer(path, answering(200, "application/json", JSON.stringify(body)));
    const shown = await ask(origin, args);
    expect(shown.stdout).not.toBe("");
    expect([shown.stdout, shown.stderr].map((text) => UNSEEN.exec(text)?.[0])).toEqual([undefined, undefined]);
    const json = await ask(origin, [...args, "--json"]);
    expect(UNSEEN.exec(json.stdout)?.[0]).toBeUndefined();
    // It says the same all the same.
    const told: unknown = JSON.parse(json.stdout.split("\n")[0] ?? "");
    expect(told).toEqual(args[0] === "logs" ? ROW : body);

    const details = [{ path: RAW, message: RAW }];
    for (const [type, error] of [
      ["application/json", JSON.stringify({ code: RAW, message: RAW, request_id: RAW, details })],
      ["text/html", RAW],
      ["application/json", '{"code":"X"}'],
      ["application/json", "null"],
    ] as const) {
      origin.answer(path, answering(500, type, error));
      const failed = await ask(origin, args);
      expect([failed.code, failed.stdout]).toEqual([1, ""]);
      expect(failed.stderr).toStartWith("fetchbox: ");
      expect(UNSEEN.exec(failed.stderr)?.[0]).toBeUndefined();
      expect(failed.stderr).not.toContain("    at ");
    }
  });

  test(`${args.join(" ")} follows no redirect, and says where it leads`, async () => {
    await using origin = await startOrigin();
    await using other = await startOrigin();
    for (const status of [301, 302, 303, 307, 308]) {
      const location = `${other.url}${path}?secret=canary`;
      origin.answer(path, answering(status, "text/plain", "", { location }));
      const { code, stdout, stderr } = await ask(origin, args);
      expect([status, code, stdout]).toEqual([status, 1, ""]);
      expect(stderr).toContain(`${origin.url} redirects to ${other.url}: commands do not follow redirects`);
      expect(stderr).not.toContain("canary");
    }
    expect(other.hits()).toBe(0);
  });

  test(`${args.join(" ")} asks nobody where no certificate would be checked`, async () => {
    await using origin = await startOrigin();
    const { code, stdout, stderr } = await ask(origin, args, { NODE_TLS_REJECT_UNAUTHORIZED: "0" });
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(
      "NODE_TLS_REJECT_UNAUTHORIZED: must not be 0, which turns off every check of certificates",
    );
    expect(origin.hits()).toBe(0);
  });
}

test("cancel by a filter counts neither jobs that have ended meanwhile nor those that are being cancelled already", async () => {
  await using origin = await startOrigin();
  const ids = Array.from({ length: 203 }, (_, at) => JOB.slice(0, -3) + String(at).padStart(3, "0"));
  const list = { jobs: ids.map((job_id) => ({ ...SNAPSHOT, job_id })), next_cursor: null };
  origin.answer("/operators/jobs", answering(200, "application/json", JSON.stringify(list)));
  const asked: string[][] = [];
  origin.answer("/operators/jobs/cancel", (request, response) => {
    void json(request).then((body) => {
      asked.push((body as { job_ids: string[] }).job_ids);
      const answer = asked.length % 2 === 1 ? { matched: 200, cancelled: 198 } : { matched: 2, cancelled: 2 };
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
    });
  });
  const { code, stdout, stderr } = await ask(origin, ["cancel", "--all", "--yes"]);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toEndWith("200 jobs cancelled; 1 job had already ended; 2 jobs were already being cancelled\n");
  expect(asked).toEqual([ids.slice(0, 200), ids.slice(200)]);
  const inJson = await ask(origin, ["cancel", "--all", "--yes", "--json"]);
  expect(inJson.stdout).toBe('{"matched":203,"cancelled":200}\n');
});

test("the token is hidden where a wrong server repeats it, also in escapes", async () => {
  await using origin = await startOrigin();
  const said = "Bearer canary-token";
  const error = { code: said, message: said, request_id: said, details: [{ path: said, message: said }] };
  const text = JSON.stringify(error);
  const answers: [string, string][] = [
    ["application/json", text],
    ["application/json", text.replaceAll("canary", "\\u0063anary")],
    ["text/html", said],
    ["text/html", "x".repeat(190) + said],
  ];
  const commands: [string, string[]][] = [
    ["/operators/jobs", ["jobs"]],
    ["/jobs", ["submit", "manifest.json"]],
    [`/operators/jobs/${JOB}/logs`, ["logs", JOB, "--follow"]],
  ];
  for (const [path, args] of commands) {
    for (const [type, body] of answers) {
      origin.answer(path, answering(403, type, body));
      const { code, stdout, stderr } = await ask(origin, args);
      expect([code, stdout, stderr]).toEqual([1, "", expect.stringMatching(/Bearer \**|x{190}/)]);
      expect(stderr).not.toContain("canary");
    }
    const location = "http://canary-token.example/";
    origin.answer(path, answering(302, "text/plain", "", { location }));
    const { stderr } = await ask(origin, args);
    expect(stderr).toContain("redirects to http://***.example: ");
  }
});

test("a password in the service's URL is refused, and repeated nowhere", async () => {
  await using origin = await startOrigin();
  for (const server of [origin.url.replace("://", "://me:canary@"), "me:canary@nowhere"]) {
    const { code, stderr } = await ask(origin, ["jobs"], { FETCHBOX_SERVER: server });
    expect([code, stderr]).toEqual([2, expect.stringContaining("--server")]);
    expect(stderr).not.toContain("canary");
  }
  expect(origin.hits()).toBe(0);
});
