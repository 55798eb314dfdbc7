import { expect, test } from "bun:test";
import { METRICS_PAGE, metricsTables, withTables } from "../../scripts/metrics-reference.ts";

const PAGE = await Bun.file(METRICS_PAGE).text();

test("docs/reference/metrics.md lists the metrics of the code; else run bun scripts/metrics-reference.ts", async () => {
  expect(PAGE).toBe(withTables(PAGE, await metricsTables()));
});

test("the tables have types, every value of a closed label, and the bounds of histograms", async () => {
  const rows = (await metricsTables()).split("\n");
  const rowOf = (name: string, table: number) => rows.filter((row) => row.startsWith(`| \`${name}\``))[table];
  expect(rowOf("fetchbox_queue_depth", 0)).toContain("| gauge | `state`: `pending`, `running`, `retrying` |");
  expect(rowOf("fetchbox_auth_failures_total", 0)).toContain("| counter | `reason`: `missing`, `unknown` |");
  expect(rowOf("fetchbox_commit_duration_seconds", 0)).toContain("| histogram |  |");
  expect(rowOf("fetchbox_commit_duration_seconds", 1)).toContain("| 0.0005, 0.001, ");
});

test("a page without the marks is an error", () => {
  expect(() => withTables("# Metrics\n", "")).toThrow("the page has no lines");
});
