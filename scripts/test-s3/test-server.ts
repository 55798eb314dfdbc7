import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { $ } from "bun";

const SCRIPT = join(import.meta.dir, "ceph.sh");

export interface TestServer extends AsyncDisposable {
  /** What tests find the server by; empty where there is none. */
  readonly env: Readonly<Record<string, string>>;
  /** Why there is none. */
  readonly reason: string | undefined;
}

/** A real S3 server for tests (Ceph RGW from Debian's packages), unless the environment names one already. */
export async function testServer(): Promise<TestServer> {
  if (process.env["FETCHBOX_TEST_S3_ENDPOINT"] !== undefined) return without(undefined);
  if (Bun.which("apt-get") === null) return without("the server comes from Debian's packages, and there is no apt-get");
  const folder = await mkdtemp(join(tmpdir(), "fetchbox-s3-"));
  const stop = async () => {
    await $`bash ${SCRIPT} stop ${folder}`.quiet().nothrow();
    await rm(folder, { recursive: true, force: true });
  };
  const started = await $`bash ${SCRIPT} install && bash ${SCRIPT} start ${folder}`.quiet().nothrow();
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
