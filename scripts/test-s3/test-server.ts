import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { $ } from "bun";

/** Each from Debian's packages, by the script of its name. Ceph keeps objects in memory, Swift in files. */
const FOLDERS = {
  ceph: tmpdir(),
  // Swift needs extended attributes, which a /tmp in memory may lack.
  swift: process.env["TMPDIR"] ?? "/var/tmp",
} as const;

export interface TestServer extends AsyncDisposable {
  /** What tests find the server by; empty where there is none. */
  readonly env: Readonly<Record<string, string>>;
  /** Why there is none. */
  readonly reason: string | undefined;
}

/** A real S3 server for tests, unless the environment names one already. */
export async function testServer(name: keyof typeof FOLDERS = "ceph"): Promise<TestServer> {
  if (process.env["FETCHBOX_TEST_S3_ENDPOINT"] !== undefined) return without(undefined);
  if (Bun.which("apt-get") === null) return without("the server comes from Debian's packages, and there is no apt-get");
  const script = join(import.meta.dir, `${name}.sh`);
  const folder = await mkdtemp(join(FOLDERS[name], "fetchbox-s3-"));
  const stop = async () => {
    await $`bash ${script} stop ${folder}`.quiet().nothrow();
    await rm(folder, { recursive: true, force: true });
  };
  const started = await $`bash ${script} install && bash ${script} start ${folder}`.quiet().nothrow();
  if (started.exitCode !== 0) {
    await stop();
    return without(`it could not be started: ${started.stderr.toString().trim().slice(-500)}`);
  }
  return {
    env: variables(await readFile(join(folder, "s3.env"), "utf8")),
    reason: undefined,
    [Symbol.asyncDispose]: stop,
  };
}

/** `S3_ENDPOINT=…` becomes `FETCHBOX_TEST_S3_ENDPOINT`, and so on. */
function variables(file: string): Record<string, string> {
  return Object.fromEntries(
    [...file.matchAll(/^(S3_\w+)=(.*)$/gm)].map(([, name = "", value = ""]) => [`FETCHBOX_TEST_${name}`, value]),
  );
}

function without(reason: string | undefined): TestServer {
  return { env: {}, reason, [Symbol.asyncDispose]: () => Promise.resolve() };
}
