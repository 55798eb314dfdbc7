import { expect, test } from "bun:test";
import type { Socket } from "bun";
import type { DeadLetter } from "../support/answers.ts";
import { expectIdle, expectSoundStores, expectTrueBooks } from "../support/books.ts";
import { pattern } from "../support/pattern.ts";
import { startService } from "../support/service.ts";
import { LOCAL } from "../support/storage.ts";

const JOBS = 3;
const FILES_OF_JOB = 1000;
const SEED = 20_261_128;

test("a host that closes connections at random moments between its answers costs no attempt", async () => {
  const bodies = Array.from({ length: JOBS }, (_, job) => bodiesOf(job));
  using host = startClosingHost(new Map(bodies.flatMap((of) => [...of])), SEED);
  await using service = await startService({ settings: { ...LOCAL.settings, "queue.workers": 16 } });
  const jobs = await Promise.all(
    bodies.map((of) => {
      const resources = [...of.keys()].map((id) => ({ id, url: `${host.url}/${id}` }));
      return service.submit({ manifest_version: "v1", resources });
    }),
  );
  // All have ended before the first look at the storage, which sees the temporary files of every job.
  const ended = await Promise.all(jobs.map((jobId) => service.finished(jobId, 100_000)));
  for (const [i, job] of ended.entries()) {
    const jobId = job.job_id;
    expect([job.status, job.resource_completed, job.errors]).toEqual(["completed", FILES_OF_JOB, []]);
    const rows = await service.resources(jobId);
    const others = rows.filter(({ attempts, integrity }) => attempts !== 1 || integrity !== "verified");
    expect(others.map(({ resource_id }) => resource_id)).toEqual([]);
    await expectTrueBooks(service, LOCAL, jobId, bodies[i] ?? new Map());
  }
  expect(await service.pages<DeadLetter>("/operators/dlq?limit=1000", "entries")).toEqual([]);
  await expectIdle(service);
  expect(await service.stop()).toBe(0);
  expectSoundStores(service);

  // It did what it is here for, and connections were used again in spite of it.
  console.log(`seed ${SEED}: ${JSON.stringify(host.seen)}`);
  expect(
    Math.min(host.seen.endedBehind, host.seen.endedLater, host.seen.endedInstead, host.seen.resetInstead),
  ).toBeGreaterThan(50);
  expect(host.seen.answers).toBe(JOBS * FILES_OF_JOB);
  expect(host.seen.connections).toBeLessThan(JOBS * FILES_OF_JOB);
}, 120_000);

/** Small bodies by the names of their files, each unlike all others. */
function bodiesOf(job: number): Map<string, Uint8Array> {
  const numbers = Array.from({ length: FILES_OF_JOB }, (_, i) => job * FILES_OF_JOB + i + 1);
  return new Map(numbers.map((number) => [`r${number}`, pattern(4 + ((number * 37) % 2000), number)]));
}

interface Seen {
  connections: number;
  answers: number;
  /** Ended right behind an answer that did not say so. */
  endedBehind: number;
  /** Ended some turns later, when the next request may be on its way. */
  endedLater: number;
  /** Ended when the next request had come, instead of an answer. */
  endedInstead: number;
  /** The same, by a reset. */
  resetInstead: number;
}

interface Connection {
  text: string;
  /** What becomes of it at its next request; `nothing`: it has ended already. */
  next: "answer" | "end" | "reset" | "nothing";
}

/**
 * Serves bodies by their names. After each answer chance decides what becomes of the connection; the first request of
 * each is answered, and an answer that was begun comes whole, so that no request need fail.
 */
function startClosingHost(bodies: ReadonlyMap<string, Uint8Array>, seed: number) {
  const seen: Seen = { connections: 0, answers: 0, endedBehind: 0, endedLater: 0, endedInstead: 0, resetInstead: 0 };
  const chance = chances(seed);

  function answer(socket: Socket<Connection>, path: string): void {
    const body = bodies.get(path.slice(1)) ?? new Uint8Array(0);
    const length = body.length.toString(16);
    const bytes =
      chance(2) === 0
        ? [`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`, body]
        : [`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${length}\r\n`, body, "\r\n0\r\n\r\n"];
    socket.write(Buffer.concat(bytes.map((part) => Buffer.from(part))));
    seen.answers++;
    closeByChance(socket);
  }

  function closeByChance(socket: Socket<Connection>): void {
    const what = chance(12);
    if (what === 0) end(socket, "endedBehind");
    else if (what === 1) endLater(socket, chance(20));
    else if (what === 2) socket.data.next = "end";
    else if (what === 3) socket.data.next = "reset";
  }

  function endLater(socket: Socket<Connection>, turns: number): void {
    if (turns > 0) setImmediate(() => endLater(socket, turns - 1));
    else end(socket, "endedLater");
  }

  function end(socket: Socket<Connection>, how: "endedBehind" | "endedLater" | "endedInstead"): void {
    if (socket.data.next === "nothing") return;
    socket.data.next = "nothing";
    seen[how]++;
    socket.end();
  }

  const listener = Bun.listen<Connection>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        seen.connections++;
        socket.data = { text: "", next: "answer" };
      },
      data(socket, chunk) {
        socket.data.text += chunk.toString("latin1");
        if (!socket.data.text.endsWith("\r\n\r\n")) return;
        const [, path = ""] = socket.data.text.split(" ", 2);
        socket.data.text = "";
        if (socket.data.next === "answer") answer(socket, path);
        else if (socket.data.next === "end") end(socket, "endedInstead");
        else if (socket.data.next === "reset") {
          socket.data.next = "nothing";
          seen.resetInstead++;
          socket.terminate();
        }
      },
      error() {},
    },
  });
  return { url: `http://127.0.0.1:${listener.port}`, seen, [Symbol.dispose]: () => listener.stop(true) };
}

/** Numbers below a bound, always the same for a seed. */
function chances(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
