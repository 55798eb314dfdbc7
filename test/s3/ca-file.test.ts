import { expect, test } from "bun:test";
import { systemClock } from "../../src/std/clock.ts";
import { fixedCredentials } from "../../src/storage/s3/credentials/credential-source.ts";
import { lookAtObjectStore } from "../../src/wiring/storage/open-object-store.ts";
import { createProject } from "../config/project.ts";
import { failureOf } from "../support/rejection.ts";
import { makeCertificates } from "../support/tls.ts";

const credentials = fixedCredentials({ accessKeyId: "a", secretAccessKey: "b" });
const never = new AbortController().signal;

test("storage.ca_file is trusted by S3, beside what is trusted anyhow", async () => {
  using certificates = makeCertificates("localhost");
  if (certificates === undefined) return; // makeCertificates says why
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: certificates.good,
    fetch: () => new Response(),
  });
  const check = (caFile: string) => {
    const endpoint = `https://localhost:${server.port}`;
    using project = createProject(`[storage]\nbackend = "s3"\nendpoint = "${endpoint}"\nca_file = "${caFile}"`);
    const config = project.load();
    return lookAtObjectStore(config, "", { clock: systemClock, credentials }).check("artifacts", never);
  };
  await check(certificates.authorityFile);
  const failure = await failureOf(check(""));
  expect(failure.code).toBe("UPLOAD_UNAVAILABLE");
  expect(failure.message).toContain("certificate");
});
