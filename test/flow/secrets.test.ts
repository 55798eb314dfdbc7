import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Ended, runBinary } from "../support/binary.ts";
import { eventually } from "../support/eventually.ts";
import { startForwardProxy } from "../support/forward-proxy.ts";
import { startOrigin } from "../support/origin.ts";
import { type Service, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

/** One for each way in; none of them is to come out, but at the place that it was meant for. */
const CANARIES = {
  operator: "canary-operator-token",
  submit: "canary-submit-token",
  proxy: "canary-proxy-password",
  handlerHeader: "canary-handler-header",
  handlerOption: "canary-handler-option",
  hostHeader: "canary-host-header",
  authorization: "canary-authorization",
  cookie: "canary-cookie",
  apiKey: "canary-api-key",
  userinfo: "canary-userinfo",
  redirect: "canary-redirect-userinfo",
  wrongToken: "canary-wrong-token",
  override: "canary-override-header",
} as const;
const ANY = /canary-/;

function toml(proxy: string): string {
  return `
[proxies.main]
endpoints = ["${proxy.replace("://", "://user:${PROXY_PASSWORD}@")}"]
[download.hosts."127.0.0.1"]
headers = { Authorization = "Basic \${HOST_HEADER}", X-Host-Key = "\${HOST_HEADER}" }
[handlers.proxied]
handler = "default"
proxy.primary = "main"
default_headers = { X-Handler-Key = "\${HANDLER_HEADER}", Referer = "https://example.com/" }
default_headers_for = ["127.0.0.1"]
options = { key = "\${HANDLER_OPTION}" }
`;
}

const ENV = {
  FETCHBOX__SERVER__AUTH__TOKENS: `operator:${CANARIES.operator},submit:${CANARIES.submit}`,
  PROXY_PASSWORD: CANARIES.proxy,
  HANDLER_HEADER: CANARIES.handlerHeader,
  HANDLER_OPTION: CANARIES.handlerOption,
  HOST_HEADER: CANARIES.hostHeader,
  FETCHBOX__LOG__LEVEL: "trace",
};

/** Everything that a client can read of a job and of the service. */
async function answersOf(service: Service, job: string): Promise<string> {
  const paths = [
    `/operators/jobs/${job}`,
    `/operators/jobs/${job}/resources`,
    `/operators/jobs/${job}/logs`,
    "/operators/jobs",
    "/operators/dlq",
    "/operators/dlq/analysis?by=host",
    "/operators/queue",
    "/operators/health",
    "/metrics",
    "/swagger/json",
    "/operators/jobs?status=canary-operator-token-not",
  ];
  const { entries } = await service.get<{ entries: { task_id: number }[] }>("/operators/dlq");
  const letters = entries.map(({ task_id }) => `/operators/dlq/${task_id}`);
  const texts = await Promise.all([...paths, ...letters].map(async (path) => (await service.fetch(path)).text()));
  const stream = await service.fetch(`/operators/jobs/${job}/logs`, { headers: { accept: "text/event-stream" } });
  return [...texts, await stream.text()].join("\n").replaceAll("canary-operator-token-not", "");
}

function bytesUnder(folder: string): string {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"))
    .join("\n");
}

test("no secret comes out anywhere but where it was meant for", async () => {
  await using origin = await startOrigin();
  await using proxy = await startForwardProxy({ credentials: `user:${CANARIES.proxy}` });
  await using service = await startService({ toml: toml(proxy.url), env: ENV, token: CANARIES.operator });
  const headers = {
    Authorization: `Bearer ${CANARIES.authorization}`,
    Cookie: `session=${CANARIES.cookie}`,
    "X-Api-Key": CANARIES.apiKey,
  };
  const withUserinfo = (url: string, secret: string) => url.replace("://", `://joe:${secret}@`);
  origin.answer("/moved", (_request, response) => {
    const location = withUserinfo(`${origin.url}/there`, CANARIES.redirect);
    response.writeHead(302, { location }).end();
  });
  origin.serve("/there", "there");
  const resources = [
    { id: "good", url: origin.serve("/good", "good"), headers },
    { id: "userinfo", url: withUserinfo(origin.serve("/userinfo", "x"), CANARIES.userinfo) },
    { id: "moved", url: `${origin.url}/moved`, headers },
    { id: "gone", url: withUserinfo(`${origin.url}/gone`, CANARIES.userinfo), headers },
    { id: "mismatch", url: origin.serve("/wrong", "wrong"), headers, checksum: `sha256:${"0".repeat(64)}` },
    { id: "no-host", url: withUserinfo("http://127.0.0.1:9/", CANARIES.userinfo), headers },
  ];
  const job = await service.submit({ manifest_version: "v1", resources }, { "x-fetchbox-job-type": "proxied" });
  expect((await service.finished(job)).status).toBe("partial");
  // They arrive where they were meant for.
  expect(origin.headers("/good").join(" ")).toContain(CANARIES.authorization);
  expect(origin.headers("/good").join(" ")).toContain(CANARIES.apiKey);
  expect(origin.headers("/good").join(" ")).toContain(CANARIES.handlerHeader);
  expect(origin.headers("/good").join(" ")).toContain(CANARIES.hostHeader);
  expect(proxy.authorizations[0]).toBe(`Basic ${btoa(`user:${CANARIES.proxy}`)}`);

  const outputs: [string, string][] = [["the answers", await answersOf(service, job)]];
  const wrong = await service.fetch("/operators/jobs", { headers: { authorization: `Bearer ${CANARIES.wrongToken}` } });
  expect(wrong.status).toBe(401);
  outputs.push(["a 401", await wrong.text()]);
  const refused = await service.post({
    manifest_version: "v1",
    resources: [{ id: "/", url: "x", headers: { Authorization: `${CANARIES.authorization}\n` } }],
  });
  expect(refused.status).toBe(400);
  outputs.push(["a 400", await refused.text()]);
  const replay = await service.fetch("/operators/dlq/replay", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      filter: { code: "DOWNLOAD_HTTP_404" },
      overrides: { headers: { Cookie: CANARIES.override } },
    }),
  });
  outputs.push(["a replay", await replay.text()]);
  await service.finished(job);
  outputs.push(["the answers after a replay", await answersOf(service, job)]);
  const command = async (...args: string[]): Promise<Ended> =>
    runBinary(args, { cwd: service.folder, env: service.env });
  for (const args of [["config", "print"], ["config", "check"], ["verify"]]) {
    const { stdout, stderr } = await command(...args);
    outputs.push([args.join(" "), stdout + stderr]);
  }
  outputs.push(["the manifest object and the others", bytesUnder(join(service.folder, "data/objects"))]);
  await eventually("the log is written", () => service.log.includes(job) || undefined);
  outputs.push(["the log", service.log]);
  for (const [what, text] of outputs) {
    expect([what, ANY.exec(text)?.[0], text.slice(Math.max(0, text.search(ANY) - 100), text.search(ANY) + 60)]).toEqual(
      [what, undefined, expect.anything()],
    );
    expect([what, text.includes(btoa(`user:${CANARIES.proxy}`))]).toEqual([what, false]);
  }

  // What the tasks need lies in queue.db while they need it, and in their dead letters; the files are their owner's.
  expect(await service.stop()).toBe(0);
  const data = join(service.folder, "data");
  expect(ANY.test(bytesUnder(join(data, "dlq")))).toBe(true);
  // Those of the configuration lie nowhere: they are added as a request is made.
  expect((await command("backup", "copy")).code).toBe(0);
  for (const text of [bytesUnder(data), bytesUnder(join(service.folder, "copy"))]) {
    for (const canary of [CANARIES.handlerHeader, CANARIES.hostHeader]) expect(text).not.toContain(canary);
  }
  for (const store of ["queue/queue.db", "ledger/ledger.db", "dlq/dlq.db"]) {
    expect([store, statSync(join(data, store)).mode & 0o777]).toEqual([store, 0o600]);
  }
  expect(bytesUnder(join(data, "ledger"))).not.toMatch(ANY);
});
