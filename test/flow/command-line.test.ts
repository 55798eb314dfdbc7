import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Ended, ensureBinary, runBinary, spawnBinary, VERSION_LINE } from "../support/binary.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { pattern } from "../support/pattern.ts";
import { settingsEnv, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

/** A working directory, with a folder for temporary files beside it that shows what is left there. */
interface Desk extends AsyncDisposable {
  readonly cwd: string;
  readonly env: Record<string, string>;
  run(args: readonly string[], env?: Record<string, string>): Promise<Ended>;
  write(name: string, content: string): Promise<void>;
  temporaries(): string[];
}

const SETTINGS = {
  "egress.allow_private": "127.0.0.0/8",
  "queue.retry_backoff_ms": 10,
  "queue.retry_backoff_max_ms": 20,
  "queue.max_retries": 1,
  "queue.rate_limit_per_worker": 0,
};

async function desk(): Promise<Desk> {
  await ensureBinary();
  const folder = await mkdtemp(join(tmpdir(), "fetchbox-desk-"));
  const [cwd, temporary] = [join(folder, "cwd"), join(folder, "tmp")];
  await mkdir(cwd);
  await mkdir(temporary);
  const env = { TMPDIR: temporary };
  return {
    cwd,
    env,
    run: (args, more = {}) => runBinary(args, { cwd, env: { ...env, ...more } }),
    write: (name, content) => writeFile(join(cwd, name), content),
    temporaries: () => readdirSync(temporary),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

describe("the command line", () => {
  test("has a help and a version", async () => {
    await using at = await desk();
    for (const args of [["--help"], ["help"], ["-h"]]) {
      const { code, stdout, stderr } = await at.run(args);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      for (const command of ["serve", "run", "config", "version"])
        expect(stdout).toMatch(new RegExp(`^ +${command} `, "m"));
    }
    for (const command of ["serve", "run", "config"]) {
      expect(await at.run([command, "--help"])).toMatchObject({ code: 0, stderr: "" });
    }
    const number = expect.stringMatching(/^\d+\.\d+\.\d+\n$/);
    expect(await at.run(["--version"])).toEqual({ code: 0, stdout: number, stderr: "" });
    const facts = expect.stringMatching(VERSION_LINE);
    expect(await at.run(["version"])).toEqual({ code: 0, stdout: facts, stderr: "" });
    expect(readdirSync(at.cwd)).toEqual([]);
  });

  test("refuses what it does not know with 2, and says where help is", async () => {
    await using at = await desk();
    const usages = [
      ["nonsense"],
      ["serve", "--nonsense"],
      ["serve", "extra"],
      ["run"],
      ["run", "a", "b"],
      ["config", "nonsense"],
    ];
    for (const args of [...usages, ["--nonsense"], ["serve", "--config"]]) {
      const { code, stdout, stderr } = await at.run(args);
      expect([args, code, stdout]).toEqual([args, 2, ""]);
      expect(stderr).toContain("--help");
    }
    expect(readdirSync(at.cwd)).toEqual([]);
  });
});

describe("the configuration", () => {
  const BAD = `[queue]
workers = 0
wrokers = 3
[storage]
backend = "tape"
[handlers.x]
handler = "./nope.ts"
proxy.primary = "nopool"
[proxies.a]
endpoints = ["http://proxy:1"]
fallbacks = ["a"]
`;

  test("that is bad is refused with 2 and every problem, each with its place, before anything is opened", async () => {
    await using at = await desk();
    await at.write("bad.toml", BAD);
    for (const args of [["serve"], ["config", "check"], ["config", "print"], ["run", "m.json"]]) {
      await at.write("m.json", "{}");
      const { code, stdout, stderr } = await at.run([...args, "--config", "bad.toml"], {
        FETCHBOX__LEDGER__PATH: "",
        FETCHBOX__NONE__SUCH: "1",
      });
      expect([args, code, stdout]).toEqual([args, 2, ""]);
      for (const problem of [
        "bad.toml:2: queue.workers",
        "bad.toml:3: queue.wrokers",
        "bad.toml:5: storage.backend",
        "bad.toml:7: handlers.x.handler",
        "bad.toml:8: handlers.x.proxy.primary",
        "proxies.a",
        "FETCHBOX__NONE__SUCH",
      ]) {
        expect(stderr).toContain(problem);
      }
    }
    expect(readdirSync(at.cwd).toSorted()).toEqual(["bad.toml", "m.json"]);
  });

  test("that is no TOML is refused with its line, and so is a file that is not there", async () => {
    await using at = await desk();
    await at.write("broken.toml", "[server]\nbind_addr = \n");
    const broken = await at.run(["config", "check", "--config", "broken.toml"]);
    expect(broken.code).toBe(2);
    expect(broken.stderr).toContain("broken.toml:2");
    const absent = await at.run(["serve", "--config", "absent.toml"]);
    expect([absent.code, absent.stdout]).toEqual([2, ""]);
    expect(absent.stderr).toContain("absent.toml");
  });

  test("is checked and printed as its layers add up to, and what is printed is a configuration again", async () => {
    await using at = await desk();
    await at.write(
      "own.toml",
      '[queue]\nworkers = 3\n[proxies.p]\nendpoints = ["http://me:${PROXY_SECRET}@proxy:8080"]\n',
    );
    const secrets = {
      PROXY_SECRET: "s3cretproxy",
      S3_ACCESS_KEY_ID: "s3cretid",
      S3_SECRET_ACCESS_KEY: "s3cretkey",
      FETCHBOX__SERVER__AUTH__TOKENS: "operator:s3crettoken-0123456789abcdef",
    };
    const env = { ...secrets, FETCHBOX__QUEUE__MAX_RETRIES: "7" };
    expect(await at.run(["config", "check", "--config", "own.toml"], env)).toMatchObject({ code: 0, stderr: "" });
    const printed = await at.run(["config", "print", "--config", "own.toml"], env);
    expect([printed.code, printed.stderr]).toEqual([0, ""]);
    expect(printed.stdout).not.toContain("s3cret");
    expect(printed.stdout).toContain("***");
    expect(printed.stdout).toContain("workers = 3  # own.toml:2\n");
    expect(printed.stdout).toContain("max_retries = 7  # environment FETCHBOX__QUEUE__MAX_RETRIES\n");
    expect(printed.stdout).toContain("channel_size = 16  # default\n");
    expect(Bun.TOML.parse(printed.stdout)).toMatchObject({ queue: { workers: 3, max_retries: 7 } });
    expect(readdirSync(at.cwd)).toEqual(["own.toml"]);
  });
});

describe("where a configuration comes from", () => {
  const TOML = '[server]\nbind_addr = "127.0.0.1:0"\n[queue]\nworkers = 3\n[proxies.p]\nendpoints = ["http://p:1"]\n';

  test("is told by the check: its file, the data and the storage, for people and for programs", async () => {
    await using at = await desk();
    const defaults = "configuration: built-in defaults · data: ./data · storage: local ./data/objects\n";
    expect(await at.run(["config", "check"])).toEqual({
      code: 0,
      stdout: `the configuration is valid\n${defaults}`,
      stderr: "",
    });
    await at.write("own.toml", `${TOML}[storage]\nbackend = "s3"\nbucket = "pictures"\n[ledger]\npath = "/srv/l"\n`);
    const args = ["config", "check", "--config", "own.toml"];
    expect((await at.run(args)).stdout).toContain(
      "\nconfiguration: own.toml · data: queue ./data/queue, ledger /srv/l, dlq ./data/dlq · " +
        "storage: s3 AWS us-east-1 bucket pictures\n",
    );
    const json = await at.run([...args, "--json"], { FETCHBOX_QUEUE_WORKERS: "1" });
    expect([json.code, json.stderr]).toEqual([0, ""]);
    expect(JSON.parse(json.stdout)).toEqual({
      ok: true,
      configuration: "own.toml",
      data: "queue ./data/queue, ledger /srv/l, dlq ./data/dlq",
      storage: "s3 AWS us-east-1 bucket pictures",
      asks_aws_chain: true,
      warnings: [expect.objectContaining({ source: "environment FETCHBOX_QUEUE_WORKERS" })],
    });
    const bad = await at.run([...args, "--json"], { FETCHBOX__QUEUE__WORKERS: "0" });
    expect([bad.code, JSON.parse(bad.stdout)]).toMatchObject([2, { ok: false, problems: [{ key: "queue.workers" }] }]);
  });

  test.each([
    ["FETCHBOX_QUEUE_WORKERS", "; did you mean FETCHBOX__QUEUE__WORKERS?"],
    ["FETCHBOX_PROXIES_P_ENDPOINTS", "; did you mean FETCHBOX__PROXIES__P__ENDPOINTS?"],
    ["FETCHBOX_SEVER", "; did you mean FETCHBOX_SERVER?"],
    ["FETCHBOX_SOMETHING_ELSE", "; a key is set as in FETCHBOX__QUEUE__WORKERS"],
  ])("a warning names the unknown variable %s and the variable that was meant", async (name, hint) => {
    await using at = await desk();
    await at.write("own.toml", TOML);
    const args = ["--config", "own.toml"];
    const known = { FETCHBOX_SERVER: "http://a.test", FETCHBOX_TOKEN: "t", FETCHBOX_CONFIG: "own.toml" };
    for (const command of ["check", "print"]) {
      const { code, stderr } = await at.run(["config", command, ...args], { ...known, [name]: "hidden-value" });
      expect([code, stderr]).toEqual([0, `fetchbox: warning: environment ${name}: unknown variable${hint}\n`]);
    }
    await at.write(".env", `${name}=hidden-value\n`);
    expect((await at.run(["config", "check", ...args], known)).stderr).toBe(
      `fetchbox: warning: .env:1: ${name}: unknown variable${hint}\n`,
    );
  });

  test("commands for a running service warn of an unknown variable too", async () => {
    await using at = await desk();
    const server = ["--server", "http://127.0.0.1:9"];
    for (const command of [["pause"], ["queue"], ["dlq", "list"]]) {
      const { code, stderr } = await at.run([...command, ...server], { FETCHBOX_SERVR: "http://a.test" });
      expect([code, stderr]).toEqual([
        1,
        expect.stringMatching(
          /^fetchbox: warning: environment FETCHBOX_SERVR: unknown variable; did you mean FETCHBOX_SERVER\?\nfetchbox: no FetchBox/,
        ),
      ]);
    }
  });

  test("is told by the start, with the address; an unknown variable is in the log", async () => {
    const config = { files: { "own.toml": TOML }, env: { FETCHBOX_CONFIG: "own.toml", FETCHBOX_QUEUE_WORKERS: "1" } };
    await using service = await startService({ ...config, settings: { "storage.path": "files" } });
    const lines = service.log.split("\n").filter((line) => line !== "");
    const messages = lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
    const places = "configuration: own\\.toml · data: \\./data · storage: local \\./files";
    expect(messages).toContainEqual(
      expect.stringMatching(new RegExp(`^FetchBox \\d+\\.\\d+\\.\\d+ · ${service.url} · ${places}$`)),
    );
    expect(messages[0]).toStartWith("environment FETCHBOX_QUEUE_WORKERS: unknown variable; did you mean");
  });

  test("is told of each value by print, for people and for programs", async () => {
    await using at = await desk();
    await at.write("own.toml", TOML);
    await at.write(".env", "FETCHBOX__QUEUE__MAX_RETRIES=7\nFETCHBOX__PROXIES__P__FALLBACKS=\n");
    const args = ["config", "print", "--config", "own.toml"];
    const env = { FETCHBOX__STORAGE__BACKEND: "s3", AWS_REGION: "eu-west-1" };
    const { stdout } = await at.run(args, env);
    for (const line of [
      "# configuration: own.toml",
      "workers = 3  # own.toml:4",
      "max_retries = 7  # .env:1",
      "channel_size = 16  # default",
      'endpoints = [ "http://p:1" ]  # own.toml:6',
      "fallbacks = []  # .env:2",
      'backend = "s3"  # environment FETCHBOX__STORAGE__BACKEND',
      'region = "eu-west-1"  # environment AWS_REGION',
    ]) {
      expect(stdout.split("\n")).toContain(line);
    }
    const document = JSON.parse((await at.run([...args, "--json"], env)).stdout) as {
      configuration: string;
      values: { key: string; value: unknown; layer: string; source: string; secret: boolean }[];
    };
    expect(document.configuration).toBe("own.toml");
    const shown = new Map(document.values.map(({ key, ...value }) => [key, value]));
    expect(shown.get("queue.workers")).toEqual({ value: 3, layer: "file", source: "own.toml:4", secret: false });
    expect(shown.get("queue.max_retries")).toEqual({ value: 7, layer: ".env", source: ".env:1", secret: false });
    expect(shown.get("queue.channel_size")).toEqual({
      value: 16,
      layer: "default",
      source: "default",
      secret: false,
    });
    expect(shown.get("storage.region")).toMatchObject({ layer: "environment", source: "environment AWS_REGION" });
  });
});

describe("what the file gets from variables", () => {
  const TOML = `[queue]
path = "\${S_FOLDER}/queue"
[storage]
backend = "s3"
endpoint = "http://127.0.0.1:9/\${S_TENANT}"
bucket = "\${S_BUCKET}"
allowed_buckets = ["plain-bucket", "\${S_BUCKET}-two"]
[tracing]
otlp_endpoint = "http://127.0.0.1:9/\${S_TENANT}"
[proxies.p]
endpoints = ["http://me:\${S_PASSWORD}@\${S_PROXY}:8080"]
`;
  const env = {
    S_FOLDER: "/srv/s3cret-folder",
    S_TENANT: "s3cret-tenant",
    S_BUCKET: "s3cret-bucket",
    S_PASSWORD: "s3cret-password",
    S_PROXY: "s3cret-proxy",
  };

  test("is printed as it is written, for people and for programs", async () => {
    await using at = await desk();
    await at.write("own.toml", TOML);
    const args = ["config", "print", "--config", "own.toml"];
    const [text, json] = [await at.run(args, env), await at.run([...args, "--json"], env)];
    for (const { code, stdout, stderr } of [text, json]) {
      expect([code, stderr]).toEqual([0, ""]);
      expect(stdout).not.toContain("s3cret");
      for (const written of [
        "${S_FOLDER}/queue",
        "http://127.0.0.1:9/${S_TENANT}",
        "http://me:${S_PASSWORD}@${S_PROXY}:8080",
      ]) {
        expect(stdout).toContain(`"${written}`);
      }
    }
    expect(text.stdout).toContain('allowed_buckets = [ "plain-bucket", "${S_BUCKET}-two" ]  # own.toml:7\n');
    const { values } = JSON.parse(json.stdout) as { values: { key: string; secret: boolean }[] };
    const marked = values.filter(({ secret }) => secret).map(({ key }) => key);
    expect(marked).toContain("proxies.p.endpoints");
    expect(marked).not.toContain("storage.bucket");
    expect(Bun.TOML.parse(text.stdout)).toMatchObject({ storage: { bucket: "${S_BUCKET}" } });
    const above = { ...env, FETCHBOX__STORAGE__BUCKET: "of-the-environment" };
    expect((await at.run(args, above)).stdout).toContain('bucket = "of-the-environment"  # environment FETCHBOX__');
    // A literal one stays one for whoever reads the print as a configuration.
    await at.write("own.toml", '[download]\nuser_agent = "a $${S_TENANT}"\n');
    expect((await at.run(args, env)).stdout).toContain('user_agent = "a $${S_TENANT}"');
  });

  test("is in no line of the check and in no message", async () => {
    await using at = await desk();
    await at.write("own.toml", TOML);
    const args = ["config", "check", "--config", "own.toml"];
    for (const { code, stdout } of [await at.run(args, env), await at.run([...args, "--json"], env)]) {
      expect(code).toBe(0);
      expect(stdout).not.toContain("s3cret");
      expect(stdout).toContain("queue ${S_FOLDER}/queue, ledger ./data/ledger, dlq ./data/dlq");
      expect(stdout).toContain("s3 http://127.0.0.1:9/${S_TENANT} bucket ${S_BUCKET}");
    }
    await at.write("own.toml", '[tls]\nca_file = "${S_FOLDER}/ca.pem"\n[handlers.x]\nhandler = "${S_FOLDER}/h.ts"\n');
    const { code, stderr } = await at.run(args, env);
    expect([code, stderr]).toEqual([2, expect.stringContaining("names the file ${S_FOLDER}/h.ts, which does not")]);
    expect(stderr).toContain("names the file ${S_FOLDER}/ca.pem, which FetchBox cannot use");
    expect(stderr).not.toContain("s3cret");
  });
});

describe("run", () => {
  async function manifest(at: Desk, origin: Origin, more: readonly object[] = []): Promise<void> {
    origin.serve("/a", "abc");
    const resources = [{ id: "a.txt", url: `${origin.url}/a` }, { id: "sub/b.txt", url: `${origin.url}/a` }, ...more];
    await at.write("manifest.json", JSON.stringify({ manifest_version: "v1", resources }));
  }

  test("stores what a manifest lists, tells it in plain lines, and leaves nothing else behind", async () => {
    await using at = await desk();
    await using origin = await startOrigin();
    await manifest(at, origin);
    const { code, stdout, stderr } = await at.run(["run", "manifest.json", "--out", "out"], settingsEnv(SETTINGS));
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("a.txt");
    expect(stdout).toContain("sub/b.txt");
    // No escape sequences where nobody looks.
    expect(stdout).toMatch(/^[\x20-\x7e\n]+$/);
    const jobId = /[0-9a-f]{8}-[0-9a-f-]{27}/.exec(stdout)?.[0] ?? "";
    const out = join(at.cwd, "out/fetchbox-artifacts");
    expect(await Bun.file(join(out, `resources/default/${jobId}/sub/b.txt`)).text()).toBe("abc");
    expect(existsSync(join(out, `manifests/default/${jobId}/metadata.json`))).toBe(true);
    expect(readdirSync(at.cwd).toSorted()).toEqual(["manifest.json", "out"]);
    expect(at.temporaries()).toEqual([]);
  });

  test("ends with 1 where something could not be had, and names it", async () => {
    await using at = await desk();
    await using origin = await startOrigin();
    await manifest(at, origin, [{ id: "gone.txt", url: `${origin.url}/gone` }]);
    const { code, stdout, stderr } = await at.run(["run", "manifest.json", "--out", "out"], settingsEnv(SETTINGS));
    expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
    expect(stdout).toMatch(/gone\.txt.*DOWNLOAD_HTTP_404/);
    expect(at.temporaries()).toEqual([]);
  });

  test("ends with 2 on a bad manifest, and says what is bad", async () => {
    await using at = await desk();
    for (const [content, problem] of [
      ["{", "JSON"],
      ['{"manifest_version":"v2","resources":[]}', "/manifest_version"],
      ['{"manifest_version":"v1","resources":[{"id":"../a","url":"ftp://x"}]}', "/resources/0/url"],
    ] as const) {
      await at.write("manifest.json", content);
      const { code, stdout, stderr } = await at.run(["run", "manifest.json", "--out", "out"]);
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toContain(problem);
      expect(stderr).not.toContain("    at ");
    }
    const absent = await at.run(["run", "absent.json"]);
    expect(absent.code).toBe(2);
    expect(absent.stderr).toContain("absent.json");
    expect(at.temporaries()).toEqual([]);
  });

  test("that is killed stands in the way of nothing: the next one does the whole", async () => {
    await using at = await desk();
    await using origin = await startOrigin();
    const held = origin.hold("/held", pattern(5 * 2 ** 20), { bytes: 3 * 2 ** 20 });
    await manifest(at, origin, [{ id: "held.bin", url: held.url }]);
    const env = { ...at.env, ...settingsEnv(SETTINGS) };
    await using killed = spawnBinary(["run", "manifest.json", "--out", "out"], { cwd: at.cwd, env });
    await held.reached;
    killed.kill("SIGKILL");
    await killed.exited;
    held.release();
    const { code, stderr } = await at.run(["run", "manifest.json", "--out", "out"], settingsEnv(SETTINGS));
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(halfStored(join(at.cwd, "out"))).toEqual([]);
  });

  test("that is told to stop ends soon with 1, says what is not done, and leaves nothing half done", async () => {
    await using at = await desk();
    await using origin = await startOrigin();
    const held = origin.hold("/held", pattern(5 * 2 ** 20), { bytes: 3 * 2 ** 20 });
    await manifest(at, origin, [{ id: "held.bin", url: held.url }]);
    const env = { ...at.env, ...settingsEnv(SETTINGS) };
    await using told = spawnBinary(["run", "manifest.json", "--out", "out"], { cwd: at.cwd, env });
    await held.reached;
    told.kill("SIGINT");
    const [stdout, stderr] = await Promise.all([told.stdout.text(), told.stderr.text(), told.exited]);
    expect({ code: told.exitCode, stderr }).toEqual({ code: 1, stderr: "" });
    expect(stdout).toMatch(/^interrupted by Ctrl-C after \ds: \d of 3 stored, [1-3] not done, /m);
    expect(stdout).toContain("the same command starts from the beginning; a service continues after a stop: ");
    expect(at.temporaries()).toEqual([]);
    expect(halfStored(join(at.cwd, "out"))).toEqual([]);
  });

  test("takes a list of URLs, as submit does, and names the lines that are wrong", async () => {
    await using at = await desk();
    await using origin = await startOrigin();
    const urls = Array.from({ length: 1200 }, (_, i) => origin.serve(`/${i}/photo-${i % 7}.jpg`, "x"));
    await at.write("urls.txt", `\uFEFF# pictures\r\n\r\n${urls.join("\r\n")}\r\n`);
    const env = settingsEnv({ ...SETTINGS, "download.host.max_concurrency": 64, "queue.workers": 64 });
    const { code, stdout, stderr } = await at.run(["run", "urls.txt", "--out", "out"], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/ completed: 1,200 of 1,200 stored, 1\.2 kB in /);
    const jobId = /[0-9a-f]{8}-[0-9a-f-]{27}/.exec(stdout)?.[0] ?? "";
    expect(existsSync(join(at.cwd, `out/fetchbox-artifacts/resources/default/${jobId}/0012-photo-4.jpg`))).toBe(true);
    await at.write("bad.txt", `${urls[0]}\nftp://example.com/\n`);
    const bad = await at.run(["run", "bad.txt", "--out", "out"], env);
    expect([bad.code, bad.stderr]).toEqual([2, expect.stringContaining("no download was started\n  line 2: must be")]);
    await at.write("closed.txt", `# first\n${urls[0]}\nhttp://10.0.0.1/\n`);
    const closed = await at.run(["run", "closed.txt", "--out", "out"], env);
    expect([closed.code, closed.stderr]).toEqual([
      2,
      expect.stringMatching(/\n  line 3: .*\(private use, which egress\.allow_private can open\)\n$/),
    ]);
    expect(at.temporaries()).toEqual([]);
  });

  test.each(["SIGTERM", "SIGHUP"] as const)(
    "that gets %s is interrupted, and leaves no folder behind",
    async (signal) => {
      await using at = await desk();
      await using origin = await startOrigin();
      const held = origin.hold("/held", pattern(5 * 2 ** 20), { bytes: 3 * 2 ** 20 });
      await manifest(at, origin, [{ id: "held.bin", url: held.url }]);
      const env = { ...at.env, ...settingsEnv(SETTINGS) };
      await using told = spawnBinary(["run", "manifest.json", "--out", "out"], { cwd: at.cwd, env });
      await held.reached;
      told.kill(signal);
      const [stdout] = await Promise.all([told.stdout.text(), told.exited]);
      expect([told.exitCode, stdout]).toEqual([1, expect.stringContaining(`interrupted by ${signal}`)]);
      expect(at.temporaries()).toEqual([]);
      expect(halfStored(join(at.cwd, "out"))).toEqual([]);
    },
  );

  test("that cannot make its folder says so", async () => {
    await using at = await desk();
    await at.write("manifest.json", "{}");
    const { code, stderr } = await at.run(["run", "manifest.json"], { TMPDIR: "/nowhere" });
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/^fetchbox: cannot make a folder for temporary files: ENOENT.*; set TMPDIR\n$/),
    ]);
  });

  test("beside a service, into the same storage, takes nothing of the service's away", async () => {
    await using at = await desk();
    await using origin = await startOrigin();
    await using service = await startService({ settings: { "queue.max_retries": 0 } });
    const large = pattern(5 * 2 ** 20, 8);
    const held = origin.hold("/held", large, { bytes: 3 * 2 ** 20 });
    const jobId = await service.submit({ manifest_version: "v1", resources: [{ id: "held.bin", url: held.url }] });
    await held.reached;
    await manifest(at, origin);
    const out = join(service.folder, "data/objects");
    expect((await at.run(["run", "manifest.json", "--out", out], settingsEnv(SETTINGS))).code).toBe(0);
    held.release();
    expect((await service.finished(jobId)).status).toBe("completed");
    // It was not fetched a second time because the first one's half had gone.
    expect(origin.hits("/held")).toBe(1);
  });
});

/** Files of a storage that are no objects of its bucket. */
function halfStored(folder: string): string[] {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true });
  return files
    .filter((file) => file.isFile() && !file.parentPath.startsWith(`${folder}/fetchbox-artifacts/`))
    .map(({ name }) => name);
}
