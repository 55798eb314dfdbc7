import { describe, expect, test } from "bun:test";
import type { IssuedCredentials } from "../../src/storage/s3/credentials/credential-source.ts";
import { RenewedCredentials } from "../../src/storage/s3/credentials/renewed-credentials.ts";
import { FakeClock, turn } from "../support/clock.ts";
import { failureOf, rejectionOf } from "../support/rejection.ts";

const MINUTE = 60_000;
const never = new AbortController().signal;

/** A source that is answered by hand, and what was heard of it. */
function createRig() {
  const clock = new FakeClock();
  const asked: PromiseWithResolvers<IssuedCredentials>[] = [];
  const changes: string[] = [];
  const problems: string[] = [];
  const credentials = new RenewedCredentials({
    clock,
    load() {
      const answer = Promise.withResolvers<IssuedCredentials>();
      asked.push(answer);
      return answer.promise;
    },
    onChange: ({ keys }) => changes.push(keys.accessKeyId),
    onProblem: ({ message }) => problems.push(message),
  });
  const issued = (id: string, lifetimeMs?: number): IssuedCredentials => ({
    keys: { accessKeyId: id, secretAccessKey: `secret of ${id}` },
    expiresAt: lifetimeMs === undefined ? undefined : clock.now() + lifetimeMs,
    origin: "a test",
  });
  const answer = async (id: string, lifetimeMs?: number) => {
    asked.at(-1)?.resolve(issued(id, lifetimeMs));
    await turn();
  };
  const fail = async (reason: string) => {
    asked.at(-1)?.reject(new Error(reason));
    await turn();
  };
  const idOf = async () => (await credentials.current(never)).accessKeyId;
  return { clock, credentials, asked, changes, problems, issued, answer, fail, idOf };
}

type Rig = ReturnType<typeof createRig>;

async function startedWith(id: string, lifetimeMs?: number): Promise<Rig> {
  const rig = createRig();
  const renewed = rig.credentials.renew();
  await rig.answer(id, lifetimeMs);
  await renewed;
  return rig;
}

describe("keys that expire", () => {
  test("are renewed five minutes before, by one question, and used meanwhile", async () => {
    const rig = await startedWith("first", 60 * MINUTE);
    await rig.clock.advance(54 * MINUTE);
    expect([await rig.idOf(), rig.asked.length]).toEqual(["first", 1]);
    await rig.clock.advance(1 * MINUTE);
    expect([await rig.idOf(), await rig.idOf(), rig.asked.length]).toEqual(["first", "first", 2]);
    await rig.answer("second", 60 * MINUTE);
    expect([await rig.idOf(), rig.asked.length, rig.changes]).toEqual(["second", 2, ["second"]]);
  });

  test("that live less than ten minutes are renewed after half of their time", async () => {
    const rig = await startedWith("first", 4 * MINUTE);
    await rig.clock.advance(2 * MINUTE - 1);
    expect([await rig.idOf(), rig.asked.length]).toEqual(["first", 1]);
    await rig.clock.advance(1);
    expect([await rig.idOf(), rig.asked.length]).toEqual(["first", 2]);
  });

  test("are used to their end where the source is away, which is told once and asked every five seconds", async () => {
    const rig = await startedWith("first", 60 * MINUTE);
    await rig.clock.advance(55 * MINUTE);
    for (let times = 2; times <= 4; times++) {
      expect(await rig.idOf()).toBe("first");
      expect(rig.asked).toHaveLength(times);
      await rig.fail("away");
      await rig.clock.advance(4999);
      expect([await rig.idOf(), rig.asked.length]).toEqual(["first", times]);
      await rig.clock.advance(1);
    }
    expect(rig.problems).toEqual(["away"]);
  });

  test("and have are a failure that lets tasks wait, until there are others", async () => {
    const rig = await startedWith("first", 60 * MINUTE);
    await rig.clock.advance(60 * MINUTE);
    const refused = failureOf(Promise.resolve(rig.credentials.current(never)));
    await turn();
    await rig.fail("the metadata service is away");
    const failure = await refused;
    expect(failure).toMatchObject({ code: "UPLOAD_UNAVAILABLE", class: "unavailable" });
    expect(failure.message).toContain("the metadata service is away");
    // At once, without another question.
    expect((await failureOf(Promise.resolve(rig.credentials.current(never)))).code).toBe("UPLOAD_UNAVAILABLE");
    expect(rig.asked).toHaveLength(2);
    await rig.clock.advance(5000);
    const found = rig.idOf();
    await turn();
    await rig.answer("second", 60 * MINUTE);
    expect(await found).toBe("second");
  });

  test("had already when they came are not taken", async () => {
    const rig = await startedWith("first");
    const reason = rejectionOf(rig.credentials.renew());
    await turn();
    await rig.answer("old", 0);
    expect(await reason).toMatchObject({ message: "the S3 credentials from a test have expired" });
    expect(await rig.idOf()).toBe("first");
  });
});

describe("keys that S3 refused", () => {
  test("are replaced before the next request", async () => {
    const rig = await startedWith("first");
    await rig.clock.advance(5000);
    rig.credentials.refused(await rig.credentials.current(never));
    const [one, other] = [rig.idOf(), rig.idOf()];
    await turn();
    expect(rig.asked).toHaveLength(2);
    await rig.answer("second");
    expect([await one, await other]).toEqual(["second", "second"]);
  });

  test("are used again where there are no others, and the source is asked less and less", async () => {
    const rig = await startedWith("first");
    let pauseMs = 5000;
    for (let times = 1; times <= 6; times++) {
      rig.credentials.refused(await rig.credentials.current(never));
      await rig.clock.advance(pauseMs - 1);
      expect([await rig.idOf(), rig.asked.length]).toEqual(["first", times]);
      await rig.clock.advance(1);
      const found = rig.idOf();
      await turn();
      expect(rig.asked).toHaveLength(times + 1);
      await rig.answer("first");
      expect(await found).toBe("first");
      pauseMs = Math.min(pauseMs * 2, 60_000);
    }
    expect(rig.changes).toEqual([]);
    // Other keys, and the pause is short again.
    rig.credentials.refused(await rig.credentials.current(never));
    await rig.clock.advance(60_000);
    void rig.idOf();
    await turn();
    await rig.answer("second");
    rig.credentials.refused(await rig.credentials.current(never));
    await rig.clock.advance(5000);
    void rig.idOf();
    await turn();
    expect([rig.asked.length, rig.changes]).toEqual([9, ["second"]]);
  });

  test("and are not those in use any more change nothing", async () => {
    const rig = await startedWith("first");
    const first = await rig.credentials.current(never);
    const renewed = rig.credentials.renew();
    await turn();
    await rig.answer("second");
    await renewed;
    await rig.clock.advance(5000);
    rig.credentials.refused(first);
    expect([await rig.idOf(), rig.asked.length]).toEqual(["second", 2]);
  });
});

describe("a renewal that is asked for", () => {
  test("waits for the one under way, whose answer it replaces", async () => {
    const rig = await startedWith("first", 60 * MINUTE);
    await rig.clock.advance(55 * MINUTE);
    expect(await rig.idOf()).toBe("first");
    const renewed = rig.credentials.renew();
    await rig.answer("from before", 60 * MINUTE);
    expect(rig.asked).toHaveLength(3);
    await rig.answer("from after", 60 * MINUTE);
    expect((await renewed).keys.accessKeyId).toBe("from after");
    expect(await rig.idOf()).toBe("from after");
  });

  test("and fails leaves the keys as they are", async () => {
    const rig = await startedWith("first");
    const reason = rejectionOf(rig.credentials.renew());
    await turn();
    await rig.fail("no such profile");
    expect(await reason).toMatchObject({ message: "no such profile" });
    expect([await rig.idOf(), rig.problems]).toEqual(["first", []]);
  });

  test("of a source that does not answer ends after thirty seconds", async () => {
    const rig = createRig();
    const reason = rejectionOf(rig.credentials.renew());
    await rig.clock.advance(30_000);
    expect(await reason).toMatchObject({ message: "the source of the S3 credentials gave no answer within 30000 ms" });
    // An answer that comes later is nobody's.
    await rig.answer("late");
    expect((await failureOf(Promise.resolve(rig.credentials.current(never)))).code).toBe("UPLOAD_UNAVAILABLE");
    expect(rig.clock.pending).toBe(0);
  });
});

test("who waits for keys ends with the reason of its signal, and the others go on waiting", async () => {
  const rig = createRig();
  const abort = new AbortController();
  const aborted = rejectionOf(Promise.resolve(rig.credentials.current(abort.signal)));
  const waiting = rig.idOf();
  await turn();
  abort.abort(new Error("the task was cancelled"));
  expect(await aborted).toMatchObject({ message: "the task was cancelled" });
  await rig.answer("first");
  expect(await waiting).toBe("first");
});
