import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { DeadLetter } from "../support/answers.ts";
import { runBinary } from "../support/binary.ts";
import { eventually } from "../support/eventually.ts";
import { faketimeEnv, findFaketime, setClock } from "../support/faketime.ts";
import { startOrigin } from "../support/origin.ts";
import { prepareService, type Service } from "../support/service.ts";

setDefaultTimeout(60_000);

const faketime = findFaketime();
if ("reason" in faketime) console.warn(`the tests of the clock are left out: ${faketime.reason}`);

const DAY_S = 86_400;
const TO_2038_S = Math.round((Date.UTC(2038, 0, 20) - Date.now()) / 1000);
const STEPS: readonly (readonly [string, number])[] = [
  ["two hours back", -7200],
  ["five days on", 5 * DAY_S],
  ["to the year 2038", TO_2038_S],
];

async function clockedService(
  settings: Readonly<Record<string, string | number>>,
): Promise<[Service, (s: number) => void]> {
  const service = await prepareService({ settings });
  const file = join(service.folder, "clock");
  setClock(file, 0);
  const library = "library" in faketime ? faketime.library : "";
  Object.assign(service, { env: { ...service.env, ...faketimeEnv(library, file) } });
  await service.start();
  return [service, (seconds) => setClock(file, seconds)];
}

const SETTINGS = {
  "queue.max_retries": 5,
  "queue.retry_backoff_ms": 1500,
  "queue.retry_backoff_max_ms": 1500,
  "queue.max_throttle_ms": 3_600_000,
};

/** Two resources that fail, wait, and succeed once their origin does: one in backoff, one throttled. */
async function waitingJob(service: Service, origin: Awaited<ReturnType<typeof startOrigin>>) {
  let isWell = false;
  const url = (path: string, status: number, headers = {}) =>
    origin.answer(path, (_request, response) => {
      response.writeHead(isWell ? 200 : status, isWell ? {} : headers).end(isWell ? "well" : "");
    });
  const resources = [
    { id: "fails", url: url("/fails", 500) },
    { id: "throttled", url: url("/throttled", 429, { "retry-after": "1" }) },
  ];
  const job = await service.submit({ manifest_version: "v1", resources }, { "idempotency-key": "k" });
  await eventually("both wait", async () => {
    const rows = await service.resources(job);
    return rows.every(({ state, error }) => state === "retrying" && error !== null) ? true : undefined;
  });
  return { job, resources, recover: () => void (isWell = true) };
}

describe.if("library" in faketime)("the clock is set", () => {
  test("far ahead while a download runs: verify finds nothing wrong", async () => {
    await using origin = await startOrigin();
    const [service, set] = await clockedService(SETTINGS);
    await using _ = service;
    const held = origin.hold("/held", Buffer.from("held"), { bytes: 1 });
    const job = await service.submit({ manifest_version: "v1", resources: [{ id: "held", url: held.url }] });
    await held.reached;
    set(5 * DAY_S);
    const { code, stdout, stderr } = await runBinary(["verify"], { cwd: service.folder, env: service.env });
    expect([code, stdout, stderr]).toEqual([0, expect.stringContaining(": no inconsistencies\n"), ""]);
    held.release();
    expect((await service.finished(job)).status).toBe("completed");
  });

  for (const [step, seconds] of STEPS) {
    test(`${step} under a service: nothing waits for it, and nothing expires`, async () => {
      await using origin = await startOrigin();
      const [service, set] = await clockedService(SETTINGS);
      await using _ = service;
      const { job, resources, recover } = await waitingJob(service, origin);
      set(seconds);
      const hits = origin.hits("/throttled");
      await eventually("it is tried again", () => origin.hits("/throttled") > hits + 1 || undefined);
      recover();
      expect(await service.finished(job, 15_000)).toMatchObject({ status: "completed" });
      expect(await service.pages<DeadLetter>("/operators/dlq?limit=10", "entries")).toEqual([]);
      const again = await service.post({ manifest_version: "v1", resources }, { "idempotency-key": "k" });
      expect([again.status, again.headers.get("idempotent-replayed")]).toEqual([202, "true"]);
      const { uptime_seconds } = await service.get<{ uptime_seconds: number }>("/operators/health");
      expect([uptime_seconds >= 0, uptime_seconds < 60]).toEqual([true, true]);
      const next = await service.submit({ manifest_version: "v1", resources });
      expect((await service.finished(next, 15_000)).status).toBe("completed");
      const newYear = new Date(Date.now() + seconds * 1000).getUTCFullYear();
      expect(new Date((await service.job(next)).created_at).getUTCFullYear()).toBe(newYear);
    });

    test(`${step} between two processes: what waits goes on waiting no longer than it was to`, async () => {
      await using origin = await startOrigin();
      const [service, set] = await clockedService(SETTINGS);
      await using _ = service;
      const { job, resources, recover } = await waitingJob(service, origin);
      await service.kill();
      set(seconds);
      await service.start();
      const hits = origin.hits("/throttled");
      await eventually("it is tried again", () => origin.hits("/throttled") > hits || undefined);
      expect(await service.pages<DeadLetter>("/operators/dlq?limit=10", "entries")).toEqual([]);
      recover();
      expect(await service.finished(job, 15_000)).toMatchObject({ status: "completed" });
      const again = await service.post({ manifest_version: "v1", resources }, { "idempotency-key": "k" });
      expect([again.status, again.headers.get("idempotent-replayed")]).toEqual([202, "true"]);
    });
  }
});
