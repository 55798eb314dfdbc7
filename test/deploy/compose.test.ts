import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { YAML } from "bun";
import { ROOT } from "../documents/pages.ts";
import { runBinary } from "../support/binary.ts";
import { unpackDebian } from "../support/debian.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

setDefaultTimeout(60_000);

const FOLDER = join(ROOT, "deploy/compose");
const EXAMPLE = readFileSync(join(FOLDER, ".env.example"), "utf8");
const SECRETS = [...EXAMPLE.matchAll(/^([A-Z0-9_]+)=$/gm)].map(([, name = ""]) => name);
const ENV = Object.fromEntries(SECRETS.map((name) => [name, `a-secret-of-${name}`]));

const unpacked = unpackDebian("compose", ["docker-compose"]);
if ("reason" in unpacked) console.warn(`the tests with docker-compose are left out: ${unpacked.reason}`);

/** Runs Debian's docker-compose, without a daemon. */
function compose(env: Readonly<Record<string, string>>) {
  if ("reason" in unpacked) throw new Error(unpacked.reason);
  const { root } = unpacked;
  const [python, program] = [join(root, "usr/bin/python3.11"), join(root, "usr/bin/docker-compose")];
  const own = { PYTHONHOME: join(root, "usr"), PYTHONPATH: join(root, "usr/lib/python3/dist-packages") };
  // As a fresh copy: every secret is there, and empty. A developer's own .env does not count.
  const args = ["--file", join(FOLDER, "compose.yaml"), "--env-file", join(FOLDER, ".env.example"), "config"];
  const { exitCode, stdout, stderr } = Bun.spawnSync([python, program, ...args], {
    env: { PATH: process.env["PATH"] ?? "", ...unpacked.env, ...own, ...env },
  });
  return { code: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

interface ComposeService {
  readonly restart?: string;
  readonly healthcheck?: object;
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly profiles?: readonly string[];
  readonly networks: object;
  readonly read_only?: boolean;
  readonly tmpfs?: readonly string[];
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
}

describe.if(!("reason" in unpacked))("docker-compose", () => {
  const answer = "reason" in unpacked ? undefined : compose(ENV);
  const services = () => {
    if (answer?.code !== 0) throw new Error(answer?.stderr);
    return Object.entries((YAML.parse(answer.stdout) as { services: Record<string, ComposeService> }).services);
  };
  const service = (wanted: string) => services().find(([name]) => name === wanted)?.[1];

  test("reads the file; each service restarts and has a check of its health", () => {
    const monitoring = services().flatMap(([name, { profiles }]) => (profiles?.includes("monitoring") ? [name] : []));
    expect(monitoring).toEqual(["alertmanager", "grafana", "prometheus"]);
    expect(services().map(([name]) => name)).toEqual([...monitoring, "fetchbox", "storage"].toSorted());
    for (const [name, { restart, healthcheck }] of services()) {
      expect([name, restart, healthcheck === undefined]).toEqual([name, "unless-stopped", false]);
    }
  });

  test("publishes ports on 127.0.0.1 only, and keeps the storage away from the monitoring", () => {
    const ports = services().flatMap(([, each]) => each.ports ?? []);
    expect(ports.length).toBe(5);
    expect(ports.filter((port) => !/^127\.0\.0\.1:\d+:\d+/.test(port))).toEqual([]);
    expect(Object.keys(service("storage")?.networks ?? {})).toEqual(["storage"]);
    expect(Object.keys(service("prometheus")?.networks ?? {})).toEqual(["monitoring"]);
  });

  test("limits FetchBox as the command of the page on deployment does", () => {
    const { read_only, tmpfs, cap_drop, security_opt } = service("fetchbox") ?? {};
    expect({ read_only, tmpfs, cap_drop, security_opt }).toEqual({
      read_only: true,
      tmpfs: ["/tmp"],
      cap_drop: ["ALL"],
      security_opt: ["no-new-privileges"],
    });
    const page = readFileSync(join(ROOT, "docs/operate/deployment.md"), "utf8");
    expect(page).toContain(" --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges ");
  });

  test("mounts only files of the project and named volumes, and each file is there", () => {
    const sources = services().flatMap(([, { volumes }]) =>
      (volumes ?? []).map((volume) => volume.split(":")[0] ?? ""),
    );
    const files = sources.filter((source) => source.startsWith("/"));
    expect(files.filter((file) => !file.startsWith(join(ROOT, "deploy/monitoring/")) || !existsSync(file))).toEqual([]);
    expect(files.length).toBe(5);
  });

  test("gives FetchBox an environment that is a configuration, with a token that may read", async () => {
    const environment = { ...service("fetchbox")?.environment };
    const folder = makeTemporaryFolder("compose");
    const env = { ...environment, FETCHBOX__SERVER__BIND_ADDR: "0.0.0.0:8080", FETCHBOX__SERVER__AUTH__MODE: "token" };
    const checked = await runBinary(["config", "check"], { cwd: folder, env });
    expect([checked.code, checked.stderr]).toEqual([0, ""]);
    const token = service("prometheus")?.environment?.["FETCHBOX_READ_TOKEN"] ?? "";
    expect(environment["FETCHBOX__SERVER__AUTH__TOKENS"]?.split(",")).toContain(`read:${token}`);
    expect(service("storage")?.environment?.["S3_BUCKET"]).toBe(environment["FETCHBOX__STORAGE__BUCKET"] ?? "none");
  });

  test.each(SECRETS)("ends with a clear error without %s", (name) => {
    const { [name]: _, ...others } = ENV;
    const { code, stderr } = compose(others);
    expect(code).not.toBe(0);
    expect(stderr).toContain(`set ${name} in .env`);
  });
});

test("Prometheus reads the token from the file that its container writes", () => {
  const prometheus = readFileSync(join(ROOT, "deploy/monitoring/prometheus.yml"), "utf8");
  const [, file = "none"] = /credentials_file: (\S+)/.exec(prometheus) ?? [];
  expect(readFileSync(join(FOLDER, "compose.yaml"), "utf8")).toContain(`> ${file}`);
});
