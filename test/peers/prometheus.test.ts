import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { unpackDebian } from "../support/debian.ts";
import { eventually } from "../support/eventually.ts";
import { startOrigin } from "../support/origin.ts";
import { startPrometheus } from "../support/prometheus.ts";
import { type Service, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const unpacked = unpackDebian("prometheus", ["prometheus"]);
if ("reason" in unpacked) console.warn(`the tests with Prometheus are left out: ${unpacked.reason}`);

const TOKEN = "a-token-for-prometheus";

/** The configuration that scrapes a service every second. */
function configFor(service: Service): string {
  return `global: { scrape_interval: 1s }
scrape_configs:
  - job_name: fetchbox
    authorization: { credentials: ${TOKEN} }
    static_configs: [{ targets: ["${new URL(service.url).host}"] }]
`;
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

    await using prometheus = await startPrometheus(unpacked, { "prometheus.yml": configFor(service) });
    await eventually("it has scraped", async () => {
      const up = await prometheus.query('up{job="fetchbox"}');
      return up[0] === 1 || undefined;
    });
    expect(await prometheus.query("fetchbox_tasks_completed_total")).toEqual([2]);
    expect(await prometheus.query('fetchbox_tasks_failed_total{code="DOWNLOAD_HTTP_404"}')).toEqual([1]);
    expect(await prometheus.query("fetchbox_dlq_size")).toEqual([1]);
    expect(await prometheus.query("sum(fetchbox_queue_depth)")).toEqual([0]);
    expect(
      await prometheus.query("histogram_quantile(0.5, sum by (le) (fetchbox_download_duration_seconds_bucket)) > 0"),
    ).toHaveLength(1);
  });
});
