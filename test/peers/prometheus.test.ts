import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { unpackDebian } from "../support/debian.ts";
import { eventually } from "../support/eventually.ts";
import { startOrigin } from "../support/origin.ts";
import { freePort, makeFolder, type Peer, startPeer } from "../support/peers.ts";
import { type Service, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const unpacked = unpackDebian("prometheus", ["prometheus"]);
if ("reason" in unpacked) console.warn(`the tests with Prometheus are left out: ${unpacked.reason}`);

const TOKEN = "a-token-for-prometheus";

async function startPrometheus(service: Service): Promise<Peer> {
  if ("reason" in unpacked) throw new Error(unpacked.reason);
  const [folder, port] = [makeFolder(), await freePort()];
  await writeFile(
    join(folder, "prometheus.yml"),
    `global: { scrape_interval: 1s }
scrape_configs:
  - job_name: fetchbox
    authorization: { credentials: ${TOKEN} }
    static_configs: [{ targets: ["${new URL(service.url).host}"] }]
`,
  );
  const args = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", `--web.listen-address=127.0.0.1:${port}`];
  return startPeer(unpacked, "usr/bin/prometheus", args, { folder, port });
}

async function query(prometheus: Peer, expression: string): Promise<string[]> {
  const url = `http://127.0.0.1:${prometheus.port}/api/v1/query?query=${encodeURIComponent(expression)}`;
  const response = await fetch(url);
  if (!response.ok) return []; // not ready
  const answer = (await response.json()) as { data: { result: { value: [number, string] }[] } };
  return answer.data.result.map(({ value }) => value[1]);
}

describe.if(!("reason" in unpacked))("the metrics", () => {
  test("are as promtool wants them, and are scraped by a Prometheus with a token", async () => {
    if ("reason" in unpacked) return;
    await using origin = await startOrigin();
    await using service = await startService({
      env: { FETCHBOX__SERVER__AUTH__TOKENS: `operator:${TOKEN}` },
      token: TOKEN,
    });
    const resources = [1, 2, 3].map((i) => ({
      id: `${i}`,
      url: i === 3 ? `${origin.url}/no` : origin.serve(`/${i}`, "x"),
    }));
    const job = await service.submit({ manifest_version: "v1", resources });
    await service.finished(job);
    const promtool = Bun.spawnSync([join(unpacked.root, "usr/bin/promtool"), "check", "metrics"], {
      stdin: await (await service.fetch("/metrics")).bytes(),
    });
    // The names are a promise that is older than the rule.
    expect(promtool.stderr.toString().trim().split("\n")).toEqual([
      'fetchbox_worker_busy_count non-histogram and non-summary metrics should not have "_count" suffix',
      'fetchbox_worker_count non-histogram and non-summary metrics should not have "_count" suffix',
    ]);

    await using prometheus = await startPrometheus(service);
    await eventually("it has scraped", async () => {
      const up = await query(prometheus, 'up{job="fetchbox"}');
      return up[0] === "1" || undefined;
    });
    expect(await query(prometheus, "fetchbox_tasks_completed_total")).toEqual(["2"]);
    expect(await query(prometheus, 'fetchbox_tasks_failed_total{code="DOWNLOAD_HTTP_404"}')).toEqual(["1"]);
    expect(await query(prometheus, "fetchbox_dlq_size")).toEqual(["1"]);
    expect(await query(prometheus, "sum(fetchbox_queue_depth)")).toEqual(["0"]);
    expect(
      await query(prometheus, "histogram_quantile(0.5, sum by (le) (fetchbox_download_duration_seconds_bucket)) > 0"),
    ).toHaveLength(1);
  });
});
