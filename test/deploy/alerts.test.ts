import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { YAML } from "bun";
import { anchorsOf, readPage } from "../documents/pages.ts";
import { unpackDebian } from "../support/debian.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { alertRules, alertTests, configurationFor, MONITORING, read } from "./monitoring-files.ts";

setDefaultTimeout(60_000);

const prometheus = unpackDebian("prometheus", ["prometheus"]);
if ("reason" in prometheus) console.warn(`the checks by promtool are left out: ${prometheus.reason}`);
const alertmanager = unpackDebian("alertmanager", ["prometheus-alertmanager"]);
if ("reason" in alertmanager) console.warn(`the check by amtool is left out: ${alertmanager.reason}`);

function run(program: string, ...args: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([program, ...args], { cwd: MONITORING });
  const output = stdout.toString() + stderr.toString();
  if (exitCode !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${exitCode}:\n${output}`);
  return output;
}

describe.if(!("reason" in prometheus))("promtool", () => {
  const promtool = (...args: string[]) => {
    if ("reason" in prometheus) throw new Error(prometheus.reason);
    return run(join(prometheus.root, "usr/bin/promtool"), ...args);
  };

  /** The output of a run that ends with an error. */
  const outputOf = (args: readonly string[]) => {
    try {
      promtool(...args);
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error("promtool found no difference");
  };

  test("accepts the configuration, whose only foreign file is the token's", () => {
    const folder = makeTemporaryFolder("prometheus");
    writeFileSync(join(folder, "token"), "a-token");
    const shipped = YAML.parse(read("prometheus.yml")) as { rule_files: string[]; alerting: object };
    const config = YAML.parse(configurationFor("fetchbox:8080", join(folder, "token"))) as object;
    const rule_files = shipped.rule_files.map((name) => join(MONITORING, name));
    writeFileSync(
      join(folder, "prometheus.yml"),
      YAML.stringify({ ...config, alerting: shipped.alerting, rule_files }),
    );
    expect(promtool("check", "config", join(folder, "prometheus.yml"))).toContain(`${alertRules().length} rules found`);
  });

  test("accepts the rules, and every unit test passes", () => {
    expect(promtool("check", "rules", "fetchbox.rules.yml")).toContain(`${alertRules().length} rules found`);
    expect(promtool("test", "rules", "fetchbox.rules.test.yml")).toContain("SUCCESS");
  });

  test("expands every text of an alert that fires", () => {
    const folder = makeTemporaryFolder("rules");
    writeFileSync(join(folder, "fetchbox.rules.yml"), read("fetchbox.rules.yml"));
    // An expectation of no alert makes promtool print the alerts that there are, with their texts.
    const tests = (YAML.parse(read("fetchbox.rules.test.yml")) as { tests: FullTest[] }).tests;
    const altered = tests.map(({ promql_expr_test: times, ...rest }) => ({
      ...rest,
      alert_rule_test: times
        .filter(({ exp_samples: samples }) => samples.length > 0)
        .map(({ eval_time }) => ({ eval_time, alertname: rest.name, exp_alerts: [] })),
    }));
    const file = { rule_files: ["fetchbox.rules.yml"], evaluation_interval: "1m", tests: altered };
    writeFileSync(join(folder, "texts.test.yml"), YAML.stringify(file));
    const printed = outputOf(["test", "rules", join(folder, "texts.test.yml")]);
    for (const { alert } of alertRules()) expect(printed).toContain(`alertname="${alert}"`);
    expect(printed).not.toContain("error expanding");
    expect(printed).not.toContain("<no value>");
  });
});

interface FullTest {
  readonly name: string;
  readonly promql_expr_test: readonly { readonly eval_time: string; readonly exp_samples: readonly unknown[] }[];
}

test.if(!("reason" in alertmanager))("amtool accepts the configuration of Alertmanager", () => {
  if ("reason" in alertmanager) return;
  const checked = run(join(alertmanager.root, "usr/bin/amtool"), "check-config", "alertmanager.yml");
  expect(checked).toContain("SUCCESS");
});

test("Alertmanager routes each severity, and silences only alerts that exist", () => {
  const { route, inhibit_rules: rules } = YAML.parse(read("alertmanager.yml")) as AlertmanagerConfig;
  const severities = new Set(alertRules().map(({ labels }) => labels.severity));
  expect([...severities].toSorted()).toEqual(["critical", "info", "warning"]);
  const routed = route.routes.flatMap(({ matchers }) => quoted(matchers.join()));
  expect(routed.filter((severity) => !severities.has(severity))).toEqual([]);
  const names = new Set(alertRules().map(({ alert }) => alert));
  const matchers = rules.flatMap(({ source_matchers: source, target_matchers: target }) => [...source, ...target]);
  const named = matchers.flatMap(quoted).flatMap((text) => text.split("|"));
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter((name) => !names.has(name))).toEqual([]);
});

interface AlertmanagerConfig {
  readonly route: { readonly routes: readonly { readonly matchers: readonly string[] }[] };
  readonly inhibit_rules: readonly {
    readonly source_matchers: readonly string[];
    readonly target_matchers: readonly string[];
  }[];
}

function quoted(text: string): string[] {
  return [...text.matchAll(/"([^"]*)"/g)].map(([, inner = ""]) => inner);
}

test("each alert has a unit test in which it fires, and a time at which it does not", () => {
  const rules = alertRules().map(({ alert }) => alert);
  const tests = alertTests();
  expect(tests.map(({ name }) => name)).toEqual(rules);
  for (const { name, promql_expr_test: times } of tests) {
    expect(times.every(({ expr }) => expr.includes(`alertname="${name}"`))).toBe(true);
    expect([name, times.some(({ exp_samples: samples }) => samples.length > 0)]).toEqual([name, true]);
    expect([name, times.some(({ exp_samples: samples }) => samples.length === 0)]).toEqual([name, true]);
  }
});

test("each alert has its texts, and links a section of the runbook that exists", () => {
  for (const { alert, annotations } of alertRules()) {
    expect([alert, Object.keys(annotations)]).toEqual([alert, ["summary", "description", "runbook_url"]]);
    const [page = "", anchor = ""] = annotations["runbook_url"]?.split("#") ?? [];
    expect([alert, anchorsOf(readPage(page)).has(anchor)]).toEqual([alert, true]);
  }
});
