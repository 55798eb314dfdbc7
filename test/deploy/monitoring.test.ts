import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { unpackDebian } from "../support/debian.ts";
import { eventually } from "../support/eventually.ts";
import { startOrigin } from "../support/origin.ts";
import { freePort } from "../support/peers.ts";
import { type Prometheus, startPrometheus } from "../support/prometheus.ts";
import { type Service, startService } from "../support/service.ts";
import { alertRules, configurationFor, dashboard, read } from "./monitoring-files.ts";

/** The shipped configuration, rules and dashboard against the binary: only the address and the intervals differ. */

setDefaultTimeout(60_000);

const unpacked = unpackDebian("prometheus", ["prometheus"]);
if ("reason" in unpacked) console.warn(`the tests with Prometheus are left out: ${unpacked.reason}`);

const OPERATOR = "a-token-for-operators";
const READER = "a-token-for-prometheus";

/** A pool that no download uses: its counter exists all the same. */
const PROXIES = '[proxies.eu]\nendpoints = ["http://127.0.0.1:9"]\n';

function startMonitored(): Promise<Service> {
  return startService({
    env: { FETCHBOX__SERVER__AUTH__TOKENS: `operator:${OPERATOR},read:${READER}` },
    token: OPERATOR,
    toml: PROXIES,
    settings: { "queue.max_retries": 1 },
  });
}

/** Jobs that end in stored objects, retries and dead letters. */
async function work(service: Service): Promise<void> {
  await using origin = await startOrigin();
  const silent = await freePort();
  const urls = [origin.serve("/a", "a"), origin.serve("/b", "b"), `http://127.0.0.1:${silent}/`];
  const resources = urls.map((url, i) => ({ id: `${i}`, url }));
  await service.finished(await service.submit({ manifest_version: "v1", resources }));
}

/** Grafana's variables, as it fills them in. */
function filledIn(query: string): string {
  return query.replaceAll("$__rate_interval", "1m").replaceAll("$job", "fetchbox").replaceAll("$instance", ".+");
}

async function missing(prometheus: Prometheus): Promise<string[]> {
  const results = await Promise.all(
    dashboard().queries.map(async ({ title, expr }) => {
      const values = await prometheus.query(filledIn(expr));
      return values.some((value) => !Number.isNaN(value)) ? [] : [`${title}: ${expr}`];
    }),
  );
  return results.flat();
}

test("every metric that an alert or a panel names is served, before anything happens", async () => {
  await using service = await startMonitored();
  const served = new Set([...(await metricsOf(service)).matchAll(/^([a-z_]+)[{ ]/gm)].map(([, name]) => name));
  const { queries, templating, annotations } = dashboard();
  const used = [
    ...alertRules().map(({ expr }) => expr),
    ...queries.map(({ expr }) => expr),
    ...annotations.list.map(({ expr }) => expr),
    ...templating.list.map(({ definition = "" }) => definition),
  ].flatMap((text) => text.match(/\b(?:fetchbox|process)_[a-z_]+/g) ?? []);
  expect(new Set(used).size).toBeGreaterThan(30);
  expect(used.filter((name) => !served.has(name))).toEqual([]);
});

async function metricsOf(service: Service): Promise<string> {
  return (await service.fetch("/metrics")).text();
}

test("the dashboard has its rows and variables, and no two panels in one place", () => {
  const { panels, templating } = dashboard();
  const rows = panels.filter(({ type }) => type === "row").map(({ title }) => title);
  expect(rows).toEqual(["Now", "Flow", "Latency", "API", "Capacity"]);
  expect(templating.list.map(({ name }) => name)).toEqual(["datasource", "job", "instance"]);
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, i) => `${x + (i % w)} ${y + Math.floor(i / w)}`),
  );
  expect(new Set(cells).size).toBe(cells.length);
});

describe.if(!("reason" in unpacked))("Prometheus with the shipped configuration", () => {
  test("scrapes the service with a read token, evaluates every rule, and answers every panel's query", async () => {
    if ("reason" in unpacked) return;
    await using service = await startMonitored();
    await using prometheus = await startPrometheus(unpacked, {
      "prometheus.yml": configurationFor(new URL(service.url).host, "token"),
      "fetchbox.rules.yml": read("fetchbox.rules.yml"),
      token: READER,
    });
    await eventually("it has scraped twice", async () => {
      const [count = 0] = await prometheus.query('count_over_time(up{job="fetchbox"}[1m])');
      return count >= 2 || undefined;
    });
    expect(await prometheus.query('min_over_time(up{job="fetchbox"}[1m])')).toEqual([1]);
    await work(service);

    const rules = await eventually("every rule is evaluated", async () => {
      const found = await prometheus.get<RulesAnswer>("rules");
      const all = found?.groups.flatMap((group) => group.rules) ?? [];
      return all.length > 0 && all.every(({ health }) => health !== "unknown") ? all : undefined;
    });
    expect(rules.filter(({ health }) => health !== "ok")).toEqual([]);
    expect(rules.map(({ name }) => name)).toEqual(alertRules().map(({ alert }) => alert));

    let left: string[] = [];
    await eventually("every panel has data", async () => {
      left = await missing(prometheus);
      return left.length === 0 || undefined;
    }).catch((error: unknown) => {
      throw new Error(`panels without data: ${left.join("\n")}`, { cause: error });
    });
  });
});

interface RulesAnswer {
  readonly groups: readonly { readonly rules: readonly { readonly name: string; readonly health: string }[] }[];
}
