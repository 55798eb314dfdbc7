import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { connect } from "node:net";
import { eventually } from "../support/eventually.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { pattern } from "../support/pattern.ts";
import { type Service, startService } from "../support/service.ts";

setDefaultTimeout(90_000);

interface Health {
  readonly status: string;
  readonly components: Readonly<Record<string, { readonly status: string; readonly reason?: string }>>;
}

const health = (service: Service) => service.get<Health>("/operators/health");

/** Downloads that end when they are let go: until then each keeps a connection. */
function heldDownloads(origin: Origin) {
  const waiting: ServerResponse[] = [];
  let most = 0;
  const url = origin.answer("/held", (_request, response) => {
    waiting.push(response);
    most = Math.max(most, waiting.length);
  });
  return {
    url,
    count: () => waiting.length,
    /** How many there were at once. */
    most: () => most,
    letGo: () => {
      for (const response of waiting.splice(0)) response.end("body");
    },
  };
}

/** Lets downloads go as they come, and asks something of the API in between, until the job has ended. */
function finished(service: Service, job: string, held: ReturnType<typeof heldDownloads>) {
  return eventually("the job has ended", async () => {
    held.letGo();
    const snapshot = await service.job(job);
    return snapshot.completed_at === null ? undefined : snapshot;
  });
}

async function expectNoAttemptSpent(service: Service, job: string): Promise<void> {
  const resources = await service.resources(job);
  expect(resources.map(({ state, attempts, history }) => [state, attempts, history.length])).toEqual(
    resources.map(() => ["completed", 1, 0]),
  );
}

const manifest = (url: string, resources: number) => ({
  manifest_version: "v1",
  resources: Array.from({ length: resources }, (_, i) => ({ id: `r${i}`, url })),
});

test("a start with too few descriptors for its workers runs as many as there is room for, and says so", async () => {
  await using origin = await startOrigin();
  await using service = await startService({
    settings: { "queue.workers": 64 },
    through: ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"],
  });
  const held = heldDownloads(origin);
  const job = await service.submit(manifest(held.url, 200));
  await eventually("downloads are under way", () => (held.count() > 0 ? true : undefined));
  const { status, components } = await health(service);
  expect([status, components["workers"]]).toEqual([
    "degraded",
    {
      status: "degraded",
      reason: expect.stringContaining("of 64 workers run: the limit of open files is 64; raise it to"),
    },
  ]);
  expect((await finished(service, job, held)).status).toBe("completed");
  expect(held.most()).toBeLessThan(20);
  expect(service.log.match(/"level":"warn".*workers run/g)?.length).toBe(1);
  await expectNoAttemptSpent(service, job);
});

test("clients that keep idle connections do not keep others out, nor the work", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ through: ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"] });
  const port = Number(new URL(service.url).port);
  let answered = 0;
  const kept = Array.from({ length: 60 }, () => {
    const socket = connect(port, "127.0.0.1", () => socket.write("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"));
    socket.on("data", () => answered++).on("error", () => {});
    return socket;
  });
  await eventually("all were answered", () => (answered >= kept.length ? true : undefined));
  const body = pattern(1000);
  const job = await service.submit(manifest(origin.serve("/a", body), 20));
  expect((await service.finished(job)).status).toBe("completed");
  await eventually("all is well again", async () => ((await health(service)).status === "healthy" ? true : undefined));
  for (const socket of kept) socket.destroy();
});

const prlimit = Bun.which("prlimit");
if (prlimit === null) console.log("a limit that changes at work is left out: there is no prlimit (util-linux)");

test.skipIf(prlimit === null)(
  "without descriptors the work waits, at no attempt's cost, and goes on by itself",
  async () => {
    await using origin = await startOrigin();
    await using service = await startService({ settings: { "queue.workers": 32 } });
    const limit = (soft: number) => {
      const { exitCode, stderr } = Bun.spawnSync(["prlimit", "--pid", `${service.pid}`, `--nofile=${soft}:`]);
      if (exitCode !== 0) throw new Error(stderr.toString());
    };
    // With what it keeps back.
    const idle = readdirSync(`/proc/${service.pid}/fd`).length;
    const held = heldDownloads(origin);
    const job = await service.submit(manifest(held.url, 200));
    await eventually("all workers are at work", () => (held.count() === 32 ? true : undefined));
    // No room for a download, and some for the API once what is kept back is let go.
    limit(idle - 8);
    const short = await eventually("the want is told", async () => {
      const now = await health(service);
      return now.status === "degraded" ? now : undefined;
    });
    expect(short.components["workers"]?.reason).toContain("too few file descriptors");
    held.letGo();
    await eventually("what ran has ended", async () => {
      const { workers } = await service.get<{ workers: { busy: number } }>("/operators/queue");
      return workers.busy === 0 ? true : undefined;
    });
    expect(held.count()).toBe(0);
    expect((await service.fetch("/health/ready")).status).toBe(200);
    limit(4096);
    expect((await finished(service, job, held)).status).toBe("completed");
    await eventually("all is well again", async () =>
      (await health(service)).status === "healthy" ? true : undefined,
    );
    await expectNoAttemptSpent(service, job);
    expect(service.log.match(/too few file descriptors \(ulimit/g)?.length).toBe(1);
  },
);
