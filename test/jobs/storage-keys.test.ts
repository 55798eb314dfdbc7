import { describe, expect, test } from "bun:test";
import { newJobId } from "../../src/jobs/job.ts";
import { keyProblem } from "../../src/jobs/object-key.ts";
import {
  chosenKeyProblem,
  DEFAULT_FOLDERS,
  hasDefaultFolder,
  jobIdIn,
  keyOf,
  ownerOf,
  reservedProblem,
  storageKeysOf,
} from "../../src/jobs/storage-keys.ts";

const job = { jobType: "gallery", jobId: newJobId(7) };
const own = storageKeysOf(job);

describe("the default keys of a job", () => {
  test("lie below the reserved folders, by type and job", () => {
    expect(own).toEqual({
      resourceKeyPrefix: `resources/gallery/${job.jobId}/`,
      manifestKey: `manifests/gallery/${job.jobId}/metadata.json`,
    });
    expect(storageKeysOf(job, { manifestFile: "m.json" }).manifestKey).toBe(`manifests/gallery/${job.jobId}/m.json`);
    expect(keyProblem(keyOf(own, "a/b c.jpg"))).toBeUndefined();
  });

  test("belong to their job and resource", () => {
    expect(ownerOf(own.manifestKey)).toEqual({ jobId: job.jobId, resourceId: undefined });
    for (const resourceId of ["a", "a/b c.jpg", "a\nb", "manifests/x"]) {
      expect(ownerOf(keyOf(own, resourceId))).toEqual({ jobId: job.jobId, resourceId });
    }
  });

  test("are shown by a listing of the default folders", () => {
    for (const key of [own.manifestKey, keyOf(own, "a")]) expect(hasDefaultFolder(key)).toBe(true);
    expect(hasDefaultFolder("2026/11/23/a")).toBe(false);
  });
});

describe("the keys that a manifest chooses", () => {
  const chosen = storageKeysOf(job, { prefix: "2026/11/" });

  test("lie below its prefix, the manifest too", () => {
    expect(chosen).toEqual({ resourceKeyPrefix: "2026/11/", manifestKey: "2026/11/metadata.json" });
    expect(keyOf(chosen, "a")).toBe("2026/11/a");
  });

  test("belong to no job by their shape, unless they name one", () => {
    expect(ownerOf(keyOf(chosen, "a"))).toBeUndefined();
    expect(jobIdIn(keyOf(chosen, "a"))).toBeUndefined();
    expect(jobIdIn(`by-job/${job.jobId}.jpg`)).toBe(job.jobId);
  });
});

test("a key that only looks like a default one belongs to no job", () => {
  const others = [
    "resources/gallery/1/a",
    `resources/gallery/${job.jobId}/`,
    `resources/${job.jobId}/a`,
    `manifests/gallery/${job.jobId}/a/b`,
    `x/resources/gallery/${job.jobId}/a`,
    `resources/gallery/${job.jobId.toUpperCase()}/a`,
  ];
  for (const key of others) expect([key, ownerOf(key)]).toEqual([key, undefined]);
});

test("the default folders are reserved, but for the job that they belong to", () => {
  for (const folder of DEFAULT_FOLDERS) {
    const problem = `must not begin with '${folder}', which is reserved for the default keys`;
    for (const path of [folder, folder.slice(0, -1), `${folder}a/b`]) {
      expect(reservedProblem(path)).toBe(problem);
      expect(chosenKeyProblem(path, own)).toBe(problem);
    }
  }
  for (const path of ["a", "resources2/a", "a/resources/b", "Manifests/a"])
    expect(reservedProblem(path)).toBeUndefined();
  expect(chosenKeyProblem(keyOf(own, "a"), own)).toBeUndefined();
});
