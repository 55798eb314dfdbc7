import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startOrigin } from "../support/origin.ts";
import { pattern } from "../support/pattern.ts";
import { refusal } from "../support/refusal.ts";
import { prepareService } from "../support/service.ts";
import { LOCAL } from "../support/storage.ts";

setDefaultTimeout(60_000);

describe("a full disk is answered with 507", () => {
  for (const [what, place] of [
    ["the storage's", "data/objects"],
    ["the queue's", "data/queue"],
  ] as const) {
    test(`where it is ${what}, and nothing of the job remains; with room again, jobs are taken`, async () => {
      await using origin = await startOrigin();
      await using service = await prepareService();
      await using disk = mountSmall(join(service.folder, place));
      if (disk.reason !== undefined) {
        console.warn(`the test of a full disk is left out: ${disk.reason}`);
        return;
      }
      await service.start();
      const ballast = join(disk.path, "ballast");
      fill(disk.path, ballast);
      const url = origin.serve("/a", "abc");
      // Larger than what is left of the pages in use.
      const metadata = { text: Buffer.from(pattern(48 * 1024)).toString("base64") };
      const resources = Array.from({ length: 300 }, (_, i) => ({ id: `${i}`, url, tags: { t: "x".repeat(200) } }));
      const manifest = { manifest_version: "v1", metadata, resources };
      const response = await service.post(manifest);
      expect(await refusal(response)).toEqual([507, "DISK_FULL"]);
      expect(await service.get("/operators/jobs")).toEqual({ jobs: [], next_cursor: null });
      expect(await LOCAL.keys(service, ["manifests/", "resources/"])).toEqual([]);
      rmSync(ballast);
      const jobId = await service.submit(manifest);
      expect((await service.finished(jobId)).status).toBe("completed");
      expect(await service.stop()).toBe(0);
    });
  }
});

/** A file system of 16 MiB, if this process may mount one. */
function mountSmall(path: string): AsyncDisposable & { readonly path: string; readonly reason: string | undefined } {
  mkdirSync(path, { recursive: true });
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", path]);
  const reason =
    mounted.exitCode === 0 ? undefined : `no file system can be mounted: ${mounted.stderr.toString().trim()}`;
  return {
    path,
    reason,
    async [Symbol.asyncDispose]() {
      if (reason === undefined) Bun.spawnSync(["umount", "-l", path]);
    },
  };
}

function fill(path: string, file: string): void {
  const { bavail, bsize } = statfsSync(path);
  writeFileSync(file, new Uint8Array(Number(bavail) * Number(bsize)));
}
