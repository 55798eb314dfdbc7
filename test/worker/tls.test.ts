import { afterAll, describe, expect, test } from "bun:test";
import { startRig } from "../support/download-rig.ts";
import { startFaultOrigin } from "../support/fault-origin.ts";
import { BODY, MISBEHAVIOURS } from "../support/misbehaviours.ts";
import { type Certificate, makeCertificates } from "../support/tls.ts";

const certificates = makeCertificates("origin.test");
afterAll(() => certificates?.[Symbol.dispose]());

/** The output of a process that fetches and trusts the test's authority. */
async function fetchTrusting(authorityFile: string, url: string): Promise<string> {
  const run = Bun.spawn([process.execPath, `${import.meta.dir}/fetch-once.ts`, url, "127.0.0.1"], {
    env: { NODE_EXTRA_CA_CERTS: authorityFile },
    stderr: "inherit",
  });
  return (await new Response(run.stdout).text()).trim();
}

if (certificates !== undefined) {
  const { authorityFile, good, expired, selfSigned } = certificates;

  describe("a certificate", () => {
    test("is checked against the name, though the address is connected to", async () => {
      using origin = startFaultOrigin(MISBEHAVIOURS, { tls: good });
      expect(await fetchTrusting(authorityFile, `https://origin.test:${origin.port}/ok`)).toBe(`200 ${BODY}`);
      expect(origin.requests[0]?.header("host")).toBe(`origin.test:${origin.port}`);
    });

    test.each<[string, string, Certificate]>([
      ["of another name", "other.test", good],
      ["of a name, for an address", "127.0.0.1", good],
      ["that has expired", "origin.test", expired],
      ["signed by itself", "origin.test", selfSigned],
    ])("%s is refused", async (_, name, tls) => {
      using origin = startFaultOrigin(MISBEHAVIOURS, { tls });
      expect(await fetchTrusting(authorityFile, `https://${name}:${origin.port}/ok`)).toBe("DOWNLOAD_TLS_INVALID");
      expect(origin.requests.length).toBe(0);
    });

    test("signed by an unknown authority ends the task for good", async () => {
      using origin = startFaultOrigin(MISBEHAVIOURS, { tls: good });
      await using rig = await startRig();
      const { failure, attempt } = await rig.failed(`https://origin.test:${origin.port}/ok`);
      expect(failure).toMatchObject({ code: "DOWNLOAD_TLS_INVALID", class: "permanent" });
      expect(failure.message).toContain("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
      expect(attempt).toMatchObject({ address: "127.0.0.1", bytes: 0 });
      expect(attempt.httpStatus).toBeUndefined();
      expect(origin.requests.length).toBe(0);
    });
  });
}

test("an origin that speaks no TLS is no host of https:", async () => {
  using origin = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket) {
        socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
      },
    },
  });
  await using rig = await startRig();
  const { failure } = await rig.failed(`https://origin.test:${origin.port}/ok`);
  expect(failure).toMatchObject({ code: "DOWNLOAD_PROTOCOL_ERROR", class: "transient" });
});

test("a handshake that never ends is left", async () => {
  const connected = Promise.withResolvers<void>();
  using origin = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => connected.resolve() } });
  await using rig = await startRig();
  const run = rig.failed(`https://origin.test:${origin.port}/ok`);
  await connected.promise;
  await rig.clock.advance(40_000);
  expect((await run).failure.code).toBe("DOWNLOAD_TIMEOUT");
});
