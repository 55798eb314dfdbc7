import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { appendFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Ended, runBinary } from "../support/binary.ts";
import { startFaultyS3 } from "../support/faulty-s3.ts";
import { startOrigin } from "../support/origin.ts";
import { pattern } from "../support/pattern.ts";
import { type Service, startService } from "../support/service.ts";
import { LOCAL, storagesFor } from "../support/storage.ts";

setDefaultTimeout(60_000);

const MIB = 2 ** 20;
const STORES = { queue: "data/queue/queue.db", ledger: "data/ledger/ledger.db", dlq: "data/dlq/dlq.db" } as const;

function verify(service: Service, ...args: string[]): Promise<Ended> {
  return runBinary(["verify", ...args], { cwd: service.folder, env: service.env });
}

/** A service with a job of twelve resources, of which four fail, one of them replayed and one discarded. */
async function usedService(
  settings: Readonly<Record<string, string | number | boolean>>,
  env = {},
): Promise<[Service, string]> {
  await using origin = await startOrigin();
  const service = await startService({ settings, env });
  const resources = Array.from({ length: 12 }, (_, i) => {
    const url = i % 3 === 0 ? `${origin.url}/gone/${i}` : origin.serve(`/${i}`, pattern(1000 + i, i + 1));
    return { id: `r${i}`, url };
  });
  const job = await service.submit({ manifest_version: "v1", resources });
  await service.finished(job);
  origin.serve("/gone/0", pattern(1000, 1));
  const replay = await service.fetch("/operators/dlq/replay", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ task_ids: [1] }),
  });
  expect(await replay.json()).toEqual({ matched: 1, replayed: 1 });
  await service.finished(job);
  expect((await service.fetch("/operators/dlq/4", { method: "DELETE" })).status).toBe(204);
  return [service, job];
}

for (const storage of storagesFor("the checker")) {
  test(`a service has no inconsistencies, at work, killed and stopped, on ${storage.name}`, async () => {
    const [service, job] = await usedService({ ...storage.settings, "queue.workers": 4 }, storage.env);
    await using origin = await startOrigin();
    await using _ = service;
    const idle = await verify(service, "--deep");
    expect([idle.code, idle.stdout, idle.stderr]).toEqual([
      0,
      expect.stringMatching(
        /^(note: .*\n)?1 job, 12 tasks, 2 dead letters, 10 objects, 9\.\d kB read: no inconsistencies\n$/,
      ),
      "",
    ]);
    const held = origin.hold("/held", pattern(9 * MIB, 3), { bytes: 5 * MIB, chunked: true });
    const busy = await service.submit({
      manifest_version: "v1",
      resources: [
        { id: "held", url: held.url },
        ...Array.from({ length: 60 }, (_, i) => ({ id: `${i}`, url: origin.serve(`/b/${i}`, "b") })),
      ],
    });
    await held.reached;
    for (let i = 0; i < 3; i++) expect((await verify(service)).stdout).toContain(": no inconsistencies\n");
    await service.kill();
    const killed = await verify(service);
    expect([killed.code, killed.stdout]).toEqual([0, expect.stringContaining("unfinished: ")]);
    held.release();
    await service.start();
    expect((await service.finished(busy)).status).toBe("completed");
    expect((await service.job(job)).resource_completed).toBe(9);
    expect(await service.stop()).toBe(0);
    const stopped = await verify(service, "--deep");
    expect([stopped.code, stopped.stdout]).toEqual([0, expect.stringContaining(": no inconsistencies\n")]);
    expect(stopped.stdout).not.toContain("unfinished");
  });
}

test("objects of fetchbox run beside a service are distinguished from orphans and other installations", async () => {
  const [service, job] = await usedService(LOCAL.settings);
  await using _ = service;
  await using origin = await startOrigin();
  const resources = ["a", "b/c"].map((id) => ({ id, url: origin.serve(`/${id}`, pattern(500)) }));
  const manifest = join(service.folder, "manifest.json");
  writeFileSync(manifest, JSON.stringify({ manifest_version: "v1", metadata: { fetchbox: {} }, resources }));
  const ran = await runBinary(["run", manifest], { cwd: service.folder, env: service.env });
  expect([ran.code, ran.stderr]).toEqual([0, ""]);
  const clean = await verify(service, "--deep");
  expect([clean.code, clean.stdout]).toEqual([
    0,
    expect.stringMatching(
      /^note: 2 objects are of fetchbox run, which keeps no records of its jobs\n1 job, .*no inconsistencies\n$/,
    ),
  ]);

  const run = /job ([0-9a-f-]{36}) completed/.exec(ran.stdout)?.[1] ?? "";
  const objects = join(service.folder, LOCAL.settings["storage.path"] as string, LOCAL.bucket);
  const copyOf = Bun.randomUUIDv7();
  const orphans: [string, string | Uint8Array][] = [
    [
      `manifests/default/${copyOf}/metadata.json`,
      readFileSync(join(objects, `manifests/default/${run}/metadata.json`)),
    ],
    [`resources/default/${copyOf}/a`, "beside the manifest of a run that has another id"],
    [`resources/default/${Bun.randomUUIDv7()}/a`, "another installation's"],
    [`resources/default/${job}/r6`, "of a task that failed"],
  ];
  for (const [key, body] of orphans) {
    mkdirSync(dirname(join(objects, key)), { recursive: true });
    writeFileSync(join(objects, key), body);
  }
  const found = await verify(service);
  expect(found.code).toBe(1);
  expect(found.stdout).toContain(
    `inconsistency: a task that did not complete has no object: ${LOCAL.bucket}/resources/`,
  );
  expect(found.stdout).toContain("note: 2 objects are of fetchbox run,");
  expect(found.stdout).toContain("note: 2 objects are of jobs that are not known here");
});

const s3 = storagesFor("verify beside a proxy").find(({ name }) => name === "S3");
if (s3 !== undefined) {
  test("verify of S3 does not go through a proxy of the environment", async () => {
    const [service] = await usedService(s3.settings, s3.env);
    await using _ = service;
    await using proxy = await startFaultyS3();
    const variables = ["HTTP_PROXY", "http_proxy", "ALL_PROXY"].map((name) => [name, proxy.endpoint] as const);
    const env = { ...service.env, ...Object.fromEntries(variables) };
    const found = await runBinary(["verify", "--deep"], { cwd: service.folder, env });
    expect([found.code, found.stdout, found.stderr]).toEqual([0, expect.stringContaining("no inconsistencies"), ""]);
    expect(proxy.calls).toEqual([]);
  });
}

describe("an inconsistency is found and named", () => {
  let service: Service;
  let job: string;
  let copy: string;

  beforeAll(async () => {
    [service, job] = await usedService(LOCAL.settings);
    expect(await service.stop()).toBe(0);
    copy = `${service.folder}-copy`;
    cpSync(service.folder, copy, { recursive: true });
  });

  afterAll(async () => {
    rmSync(copy, { recursive: true });
    await service[Symbol.asyncDispose]();
  });

  /** The folder as it was, but for what `change` does to it. */
  async function changed(change: () => void, ...args: string[]): Promise<Ended> {
    change();
    const ended = await verify(service, ...args);
    rmSync(service.folder, { recursive: true });
    cpSync(copy, service.folder, { recursive: true });
    return ended;
  }

  function tamper(store: keyof typeof STORES, sql: string): () => void {
    return () => {
      const db = new Database(join(service.folder, STORES[store]));
      db.run("PRAGMA ignore_check_constraints = ON");
      db.run(sql);
      db.close();
    };
  }

  const object = (key: string) => join(service.folder, "data/objects/fetchbox-artifacts", key);
  const resource = (id: string) => object(`resources/default/${job}/${id}`);
  const put = (path: string, body: string) => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, body);
  };

  test.each<[string, keyof typeof STORES, string, boolean]>([
    ["job counters are recounts", "queue", "UPDATE jobs SET completed = completed - 1", true],
    ["job counters are recounts", "queue", "UPDATE jobs SET letters = letters + 1", true],
    ["a job's status follows its counters", "queue", "UPDATE jobs SET status = 'completed'", true],
    ["a task has its job", "queue", "UPDATE tasks SET job = 77 WHERE id = 12", false],
    ["a task's id is in its job's range", "queue", "UPDATE jobs SET last_task = 11", false],
    [
      "lanes are recounts",
      "queue",
      "INSERT INTO lanes (job, host, bucket, waiting, next_due) VALUES (1, 'a.test', 'b', 3, 0)",
      true,
    ],
    [
      "a waiting task has its lane",
      "queue",
      "UPDATE tasks SET state = 'pending', available_at = 1, letter = 0, payload = x'00', lane = 9 WHERE id = 7",
      false,
    ],
    ["the number of waiting tasks of a host is a recount", "queue", "INSERT INTO waits VALUES ('a.test', 3)", true],
    ["the depth is a recount", "queue", "UPDATE depth SET tasks = 5 WHERE state = 'retrying'", true],
    ["the depth is a recount", "queue", "DELETE FROM depth WHERE state = 'retrying'", true],
    [
      "a live task has its payload",
      "queue",
      "UPDATE tasks SET state = 'pending', available_at = 1, letter = 0 WHERE id = 7",
      false,
    ],
    ["a job is in the ledger as it is in the queue", "ledger", "UPDATE jobs SET completed = 8", true],
    ["a job is in the ledger", "ledger", "DELETE FROM jobs", false],
    ["a job has all its tasks", "queue", "DELETE FROM tasks WHERE id = 2", false],
    ["a job at work is in the queue", "ledger", "UPDATE jobs SET seq = 9, status = 'queued'", false],
    ["a task that ended has its result", "ledger", "DELETE FROM results WHERE task = 2", false],
    ["a task that ended has its result", "ledger", "UPDATE results SET state = 'cancelled' WHERE task = 2", false],
    ["a result has its task", "queue", "DELETE FROM tasks WHERE id = 2", false],
    ["the ledger's counters are recounts", "ledger", "UPDATE jobs SET bytes = bytes + 1", true],
    ["a job's log has no gap", "ledger", "DELETE FROM logs WHERE offset = 3", false],
    ["a job's log has no gap", "ledger", "UPDATE jobs SET log_count = log_count + 1", false],
    ["a task that failed for good has its dead letter", "dlq", "DELETE FROM dead_letters WHERE task = 7", false],
    ["a dead letter has its task", "dlq", "UPDATE dead_letters SET task = 20 WHERE task = 7", false],
    [
      "a dead letter is of a task that failed for good",
      "dlq",
      `INSERT INTO dead_letters SELECT 2, job, job_id, job_type, tenant, resource_id, url, host, code, message, attempts,
         failed_at, letter FROM dead_letters WHERE task = 7`,
      true,
    ],
    [
      "the counts of jobs by status are recounts",
      "ledger",
      "UPDATE job_counts SET jobs = 9 WHERE status = 'completed'",
      true,
    ],
    ["the counts of jobs by status are recounts", "ledger", "DELETE FROM job_counts WHERE status = 'queued'", true],
    ["the number of dead letters is a recount", "dlq", "UPDATE size SET letters = 9", true],
    ["the groups of dead letters are recounts", "dlq", "UPDATE groups SET letters = 9 WHERE grouping = 'code'", true],
    ["the groups of dead letters are recounts", "dlq", "DELETE FROM groups WHERE grouping = 'host'", true],
    ["the groups of dead letters are recounts", "dlq", "INSERT INTO groups VALUES ('day', '2020-01-01', 1)", true],
    ["a job outlives its dead letters", "dlq", "UPDATE dead_letters SET job = 8", false],
    ["an object is in this storage", "ledger", "UPDATE results SET storage_url = 'file:///x/y' WHERE task = 2", false],
    [
      "an object is in this storage: the manifest of job",
      "ledger",
      "UPDATE jobs SET manifest_url = 'file:///x/y' WHERE seq = 1",
      false,
    ],
  ])("%s (%s: %s)", async (rule, store, sql, isRepairable) => {
    const found = await changed(tamper(store, sql));
    expect([found.code, found.stdout]).toEqual([1, expect.stringContaining(`inconsistency: ${rule}`)]);
    if (!isRepairable) return;
    const repaired = await changed(tamper(store, sql), "--repair");
    expect([repaired.code, repaired.stdout]).toEqual([0, expect.stringMatching(/^repaired: .*: 1 row\n/)]);
  });

  test.each<[string, () => void, string[]]>([
    ["a completed task has its object: task 2 ", () => rmSync(resource("r1")), []],
    ["an object has its size: task 2 ", () => appendFileSync(resource("r1"), "x"), []],
    ["an object has its size: task 2 ", () => writeFileSync(resource("r1"), ""), []],
    [
      "an object has its contents: task 2 ",
      () => writeFileSync(resource("r1"), readFileSync(resource("r1")).fill(0, 500, 501)),
      ["--deep"],
    ],
    ["a task that did not complete has no object: ", () => put(resource("r6"), "half"), []],
    ["a task that did not complete has no object: ", () => put(resource("other"), "foreign"), []],
    ["a job has its manifest: ", () => rmSync(object(`manifests/default/${job}/metadata.json`)), []],
  ])("%s", async (rule, change, args) => {
    const found = await changed(change, ...args);
    expect([found.code, found.stdout]).toEqual([1, expect.stringContaining(`inconsistency: ${rule}`)]);
    expect(found.stdout).toEndWith(": 1 inconsistency\n");
  });

  test("what is not ours, and manifests of jobs that were never accepted, are no inconsistencies", async () => {
    const found = await changed(() => {
      put(object(`resources/default/${Bun.randomUUIDv7().slice(0, -2)}01/a`), "another instance's");
      put(object(`resources/default/018bcfe5-6800-7000-8000-000000000000/a`), "of a job that is past its retention");
      put(object(`manifests/default/${Bun.randomUUIDv7()}/metadata.json`), "{}");
      put(object("elsewhere/a"), "somebody else's");
    });
    expect([found.code, found.stdout]).toEqual([0, expect.stringContaining("no inconsistencies")]);
    expect(found.stdout).toContain("note: 2 objects are of jobs that are not known here");
  });

  test("a damaged page", async () => {
    const found = await changed(() => {
      const path = join(service.folder, STORES.ledger);
      const bytes = readFileSync(path);
      writeFileSync(path, bytes.fill(0xa5, bytes.length - 4096, bytes.length - 2048));
    });
    expect([1, 3]).toContain(found.code ?? -1);
    expect(found.stdout + found.stderr).toContain("ledger.db");
  });

  test.each(Object.values(STORES))("a missing %s ends with 3", async (store) => {
    const found = await changed(() => rmSync(join(service.folder, store)));
    expect([found.code, found.stderr]).toEqual([3, expect.stringContaining(`${store}: is missing`)]);
  });

  test("a storage that cannot be read, beside what the stores say", async () => {
    const env = {
      ...service.env,
      FETCHBOX__STORAGE__BACKEND: "s3",
      FETCHBOX__STORAGE__ENDPOINT: "http://127.0.0.1:9",
      S3_ACCESS_KEY_ID: "key",
      S3_SECRET_ACCESS_KEY: "SECRET",
    };
    const found = await runBinary(["verify"], { cwd: service.folder, env });
    expect(found.code).toBe(1);
    expect(found.stdout).toMatch(
      /^inconsistency: the storage can be read: bucket \S+: S3 at 127.0.0.1:9 gave no answer/m,
    );
    expect(found.stdout).toContain("1 job, 12 tasks, 2 dead letters");
    expect(found.stdout + found.stderr).not.toContain("SECRET");
  });

  test("--json has the same in one line", async () => {
    const found = await changed(() => rmSync(resource("r1")), "--json");
    expect(found.code).toBe(1);
    expect(JSON.parse(found.stdout)).toMatchObject({
      jobs: 1,
      tasks: 12,
      dead_letters: 2,
      objects: 9,
      breach_count: 1,
      breaches: [{ rule: "a completed task has its object" }],
    });
  });

  test("where a row is lost no counter is made to fit what is left", async () => {
    const repaired = await changed(tamper("queue", "DELETE FROM tasks WHERE id = 2"), "--repair");
    expect(repaired.code).toBe(1);
    expect(repaired.stdout).toContain("inconsistency: a job has all its tasks: ");
    expect(repaired.stdout).toContain("inconsistency: job counters are recounts: ");
    expect(repaired.stdout).toContain("note: rows are lost (a job has all its tasks, ");
    expect(repaired.stdout).not.toContain("repaired: ");
  });

  test("a job of which retention has taken a part is no inconsistencies", async () => {
    const found = await changed(() => {
      tamper("queue", "DELETE FROM tasks; DELETE FROM jobs")();
      tamper("dlq", "DELETE FROM dead_letters; DELETE FROM groups; UPDATE size SET letters = 0")();
      tamper("ledger", "UPDATE jobs SET pruning = 1; DELETE FROM results WHERE task < 6")();
    });
    expect([found.code, found.stdout]).toEqual([0, expect.stringContaining("no inconsistencies")]);
  });

  test("objects of which the ledger has yet to hear are no inconsistencies", async () => {
    const found = await changed(() => {
      // As if the ledger had missed the last batches of a service that was killed.
      tamper(
        "queue",
        `INSERT INTO outbox SELECT m.value + n.value, x'' FROM meta m, json_each('[1, 2, 3]') n
         WHERE m.name = 'outbox_trimmed'`,
      )();
      tamper("ledger", "DELETE FROM results WHERE task > 9; UPDATE jobs SET completed = completed - 2")();
    });
    expect([found.code, found.stdout]).toEqual([0, expect.stringContaining("no inconsistencies")]);
    expect(found.stdout).toContain("unfinished: batches that are not in ledger.db or dlq.db yet: 3;");
  });

  test("no repair runs while a service uses the stores", async () => {
    tamper("dlq", "UPDATE size SET letters = 9")();
    await service.start();
    const found = await verify(service, "--repair");
    expect(await service.stop()).toBe(0);
    rmSync(service.folder, { recursive: true });
    cpSync(copy, service.folder, { recursive: true });
    expect(found.code).toBe(4);
  });
});

test("a claim that is older than any attempt can be is found under a running service", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "queue.max_throttle_ms": 1000 } });
  const held = origin.hold("/held", pattern(2, 1), { bytes: 1 });
  const job = await service.submit({ manifest_version: "v1", resources: [{ id: "held", url: held.url }] });
  await held.reached;
  using db = new Database(join(service.folder, STORES.queue), { readwrite: true });
  db.run("PRAGMA busy_timeout = 5000");
  db.run("UPDATE tasks SET claimed_at = claimed_at - 7200000 WHERE claim_id IS NOT NULL");
  const found = await verify(service);
  expect([found.code, found.stdout]).toEqual([1, expect.stringContaining("no claim is older than its limit: task 1 ")]);
  held.release();
  expect((await service.finished(job)).status).toBe("completed");
});
