/**
 * Makes a fixture of the stores that one build writes, for the tests of later builds:
 * `FETCHBOX_TEST_BINARY=fetchbox-of-then bun scripts/make-store-fixture.ts test/fixtures/stores-NAME.tar.gz`
 *
 * The stores hold every state of a job and a task, and the process that wrote them was killed: jobs that completed,
 * failed in part and were cancelled, a dead letter that was replayed, one that was discarded, and tasks that wait.
 */
import { $ } from "bun";
import { startOrigin } from "../test/support/origin.ts";
import { startService } from "../test/support/service.ts";

/** The ledger holds the objects' URLs, so they lie at the same place when the fixture is used. */
const OBJECTS = "/tmp/fetchbox-fixture/objects";

const [out] = process.argv.slice(2);
if (out === undefined) throw new Error("usage: bun scripts/make-store-fixture.ts FILE.tar.gz");
await using origin = await startOrigin();
const service = await startService({
  settings: { "storage.backend": "local", "storage.path": OBJECTS, "queue.max_retries": 0 },
});
const resource = (id: string, url: string) => ({ id, url, headers: { "x-fixture": id } });
const submit = (name: string, resources: object[], headers = {}) =>
  service.submit({ manifest_version: "v1", metadata: { name }, resources }, headers);

const file = origin.serve("/file", "the content");
const jobs: Record<string, string> = {};
jobs["completed"] = await submit("completed", [resource("a", file), resource("b", file)], {
  "idempotency-key": "fixture-key",
});
await service.finished(jobs["completed"]);
jobs["partial"] = await submit("partial", [
  resource("good", file),
  ...["kept", "replayed", "discarded"].map((id) => resource(id, `${origin.url}/gone?${id}`)),
]);
await service.finished(jobs["partial"]);
const letters = await service.pages<{ task_id: number; resource_id: string }>("/operators/dlq?limit=10", "entries");
const idOf = (name: string) => letters.find(({ resource_id }) => resource_id === name)?.task_id;
const replay = await service.fetch("/operators/dlq/replay", {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ task_ids: [idOf("replayed")] }),
});
if (!replay.ok) throw new Error(await replay.text());
await service.finished(jobs["partial"]);
const discard = await service.fetch(`/operators/dlq/${idOf("discarded")}`, { method: "DELETE" });
if (!discard.ok) throw new Error(await discard.text());
await service.fetch("/operators/queue/pause", { method: "POST" });
jobs["cancelled"] = await submit("cancelled", [resource("a", file)]);
await service.fetch(`/operators/jobs/${jobs["cancelled"]}/cancel`, { method: "POST" });
await service.finished(jobs["cancelled"]);
// Nothing listens there when the fixture is used.
jobs["waiting"] = await submit(
  "waiting",
  [1, 2, 3].map((n) => resource(`${n}`, "http://127.0.0.1:9/never")),
);
await service.kill();
await Bun.write(`${service.folder}/data/jobs.json`, `${JSON.stringify(jobs)}\n`);
await $`tar -czf ${out} -C ${service.folder} data -C /tmp fetchbox-fixture`;
await $`rm -rf ${service.folder} /tmp/fetchbox-fixture`;
console.log(`${out}: ${Bun.file(out).size} bytes`);
process.exit(0);
