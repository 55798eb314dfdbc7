import { describe, expect, test } from "bun:test";
import { Failure } from "../../src/jobs/failure.ts";
import { type FaultyS3, startFaultyS3 } from "../support/faulty-s3.ts";
import { failFirst, isPut, MIB, never, PART, REF, storeOn, writeAll } from "../support/faulty-store.ts";
import type { S3Call } from "../support/memory-s3.ts";
import { pattern } from "../support/pattern.ts";
import { rejectionOf } from "../support/rejection.ts";

const isCreate = ({ method, query }: S3Call) => method === "POST" && query.has("uploads");
const isComplete = ({ method, query }: S3Call) => method === "POST" && query.has("uploadId");
const isAbort = ({ method, query }: S3Call) => method === "DELETE" && query.has("uploadId");
const isList = ({ method, query }: S3Call) => method === "GET" && query.has("uploads");
const denied = { kind: "answer", status: 403, body: "<Error><Code>AccessDenied</Code></Error>" } as const;
const failing = { kind: "answer", status: 503, body: "<Error><Code>SlowDown</Code></Error>" } as const;

/** A store that asks the server nothing before its uploads. */
const unprobed = (s3: FaultyS3) => storeOn(s3.endpoint, { checksum: "none" });

/** What the store said of one upload. */
class Told {
  readonly begun: boolean[] = [];
  readonly opened: string[] = [];
  readonly closed: string[] = [];
  readonly probes: boolean[] = [];
  readonly options = {
    contentType: "x/y",
    token: "the-token",
    onBegin: (mayStore: boolean) => void this.begun.push(mayStore),
    onProbe: (isOpen: boolean) => void this.probes.push(isOpen),
    onOpen: async ({ uploadId }: { uploadId: string }) => void this.opened.push(uploadId),
    onClosed: (uploadId: string) => void this.closed.push(uploadId),
  };
}

describe("whether a small PUT may have stored its object", () => {
  test.each([
    ["is so from its request on", {}, 0, [true]],
    ["is not so after a refusal", denied, 1, [true, false]],
    ["stays so where an answer is unclear", failing, 3, [true, true, true]],
    ["stays so where a connection is lost", { kind: "reset" }, 3, [true, true, true]],
  ] as const)("%s", async (_, fault, times, expected) => {
    await using s3 = await startFaultyS3();
    if ("kind" in fault) failFirst(s3, times, isPut, fault);
    const told = new Told();
    await storeOn(s3.endpoint)
      .put(REF, pattern(100), { ...told.options, signal: never })
      .catch(() => undefined);
    expect(told.begun).toEqual([...expected]);
  });

  test("stays so where a refusal follows an unclear answer", async () => {
    await using s3 = await startFaultyS3();
    let calls = 0;
    s3.faultFor = () => (++calls === 1 ? failing : denied);
    const told = new Told();
    await rejectionOf(storeOn(s3.endpoint).put(REF, pattern(100), { ...told.options, signal: never }));
    expect(told.begun).toEqual([true, true, true]);
  });

  test("is not so where it never began", async () => {
    await using s3 = await startFaultyS3();
    const told = new Told();
    const signal = AbortSignal.abort(new Error("cancelled"));
    await rejectionOf(storeOn(s3.endpoint).put(REF, pattern(100), { ...told.options, signal }));
    expect([told.begun.at(-1) ?? false, s3.calls.length]).toEqual([false, 0]);
  });
});

test.each([
  ["a small PUT", undefined, 100],
  ["a kept body", 100, 100],
  ["a streaming PUT", MIB, MIB],
  ["a multipart upload", undefined, PART + 1],
])("%s gives its object the token, by which alone it is removed", async (kind, size, bytes) => {
  await using s3 = await startFaultyS3();
  const store = storeOn(s3.endpoint);
  const told = new Told();
  if (kind === "a small PUT") await store.put(REF, pattern(bytes), { ...told.options, signal: never });
  else {
    const upload = await store.open(REF, { ...told.options, signal: never, ...(size !== undefined && { size }) });
    await writeAll(upload, pattern(bytes));
    expect(told.begun).toEqual([]); // until its commit nothing can become visible
    await upload.commit();
    expect(told.closed.toSorted()).toEqual([...new Set(told.opened)].toSorted());
  }
  expect(told.begun).toEqual([true]);
  expect(await store.removeUploaded(REF, new Set(["another", "the-toke"]), never)).toBe(false);
  expect(s3.objects.size).toBe(1);
  expect(await store.removeUploaded(REF, new Set(["another", "the-token"]), never)).toBe(true);
  expect(s3.objects.size).toBe(0);
  expect(await store.removeUploaded(REF, new Set(["the-token"]), never)).toBe(false);
});

describe("a multipart upload that is given up", () => {
  async function given(s3: FaultyS3, alone?: () => Promise<unknown>): Promise<Told> {
    const told = new Told();
    const upload = await unprobed(s3).open(REF, { ...told.options, alone, signal: never });
    await writeAll(upload, pattern(PART + MIB)).catch(() => undefined);
    await upload.abort();
    return told;
  }

  test("is closed where its abort succeeds", async () => {
    await using s3 = await startFaultyS3();
    const told = await given(s3);
    expect(told.opened).toEqual(["", "upload-1"]);
    expect(told.closed).toEqual(["upload-1", ""]);
    expect(told.begun).toEqual([]);
  });

  test.each([
    ["refused", denied],
    ["not answered for certain", failing],
    ["not answered at all", { kind: "reset" } as const],
  ])("stays open where its abort is %s", async (_, fault) => {
    await using s3 = await startFaultyS3();
    s3.faultFor = (call) => (isAbort(call) ? fault : undefined);
    const told = await given(s3);
    expect(told.closed).toEqual([""]);
    expect(s3.uploads.size).toBe(1);
  });

  test.each([
    ["nobody else uploads there", undefined, ["upload-2"], []],
    ["another attempt uploads there", () => Promise.resolve(false), ["upload-2"], ["upload-1"]],
  ])(
    "keeps its record by the key where a creation was lost, and aborts all only if %s",
    async (_, alone, closed, open) => {
      await using s3 = await startFaultyS3();
      let creations = 0;
      s3.faultFor = (call) => (isCreate(call) && ++creations === 1 ? { kind: "reset", done: true } : undefined);
      const told = await given(s3, alone);
      expect([told.opened, told.closed, [...s3.uploads.keys()]]).toEqual([["", "upload-2"], closed, open]);
    },
  );

  test("keeps its record by the key where what is open cannot be listed", async () => {
    await using s3 = await startFaultyS3();
    let creations = 0;
    s3.faultFor = (call) => {
      if (isCreate(call) && ++creations === 1) return { kind: "reset", done: true };
      return isList(call) ? failing : undefined;
    };
    const told = await given(s3);
    expect([told.closed, [...s3.uploads.keys()]]).toEqual([["upload-2"], ["upload-1"]]);
  });

  test.each([true, false])(
    "whose id could not be recorded is closed only where its abort succeeds: %p",
    async (isAborted) => {
      await using s3 = await startFaultyS3();
      s3.faultFor = (call) => (isAbort(call) && !isAborted ? failing : undefined);
      const told = new Told();
      const onOpen = ({ uploadId }: { uploadId: string }) =>
        uploadId === "" ? Promise.resolve() : Promise.reject(new Error("queue.db is full"));
      const upload = await unprobed(s3).open(REF, { ...told.options, onOpen, signal: never });
      await rejectionOf(writeAll(upload, pattern(PART + MIB)));
      await upload.abort();
      expect(told.closed).toEqual(isAborted ? ["upload-1", ""] : []);
      expect(s3.uploads.size).toBe(isAborted ? 0 : 1);
    },
  );

  test("leaves nothing where its creation was refused", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = (call) => (isCreate(call) ? denied : undefined);
    expect((await given(s3)).closed).toEqual([""]);
    expect(s3.calls.filter(isList)).toEqual([]);
  });

  test("may have stored its object once its completion began, unless that was refused", async () => {
    for (const [fault, mayStore] of [
      [denied, false],
      [failing, true],
      [{ kind: "answer", status: 200, body: "<Error><Code>InternalError</Code></Error>" }, true],
    ] as const) {
      await using s3 = await startFaultyS3();
      s3.faultFor = (call) => (isComplete(call) ? fault : undefined);
      const told = new Told();
      const upload = await storeOn(s3.endpoint).open(REF, { ...told.options, signal: never });
      await writeAll(upload, pattern(PART + MIB));
      expect(await rejectionOf(upload.commit())).toBeInstanceOf(Failure);
      expect(told.begun.at(-1)).toBe(mayStore);
    }
  });
});

describe("an upload that finds out what the server can do", () => {
  test.each<[string, (call: S3Call) => ReturnType<FaultyS3["faultFor"]>, boolean]>([
    ["is gone where its abort succeeds", () => undefined, false],
    ["may be open where its abort fails", (call) => (isAbort(call) ? failing : undefined), true],
    ["may be open where its creation has no clear answer", (call) => (isCreate(call) ? failing : undefined), true],
    ["was never open where its creation is refused", (call) => (isCreate(call) ? denied : undefined), false],
  ])("%s", async (_, faultFor, isOpen) => {
    await using s3 = await startFaultyS3();
    s3.faultFor = faultFor;
    const told = new Told();
    const upload = await storeOn(s3.endpoint).open(REF, { ...told.options, signal: never });
    await writeAll(upload, pattern(PART + MIB)).catch(() => undefined);
    s3.faultFor = () => undefined;
    await upload.abort();
    expect([told.probes[0], told.probes.at(-1)]).toEqual([true, isOpen]);
  });
});
