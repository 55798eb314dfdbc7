import { readFileSync } from "node:fs";
import { join } from "node:path";
import { YAML } from "bun";
import { ROOT } from "../documents/pages.ts";

/** The folder of the configurations of Prometheus, Alertmanager and Grafana. */
export const MONITORING = join(ROOT, "deploy/monitoring");

export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<string, string>>;
}

/** A unit test of the rules: what it expects of one alert at some times. */
interface AlertTest {
  readonly name: string;
  readonly promql_expr_test: readonly { readonly expr: string; readonly exp_samples: readonly unknown[] }[];
}

interface PrometheusConfig {
  readonly global: object;
  readonly scrape_configs: readonly {
    readonly job_name: string;
    readonly authorization: { readonly credentials_file: string };
    readonly static_configs: readonly { readonly targets: readonly string[] }[];
  }[];
}

interface Panel {
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string }[];
}

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}

export function read(name: string): string {
  return readFileSync(join(MONITORING, name), "utf8");
}

export function alertRules(): readonly AlertRule[] {
  const { groups } = YAML.parse(read("fetchbox.rules.yml")) as { groups: { rules: AlertRule[] }[] };
  return groups.flatMap(({ rules }) => rules);
}

export function alertTests(): readonly AlertTest[] {
  return (YAML.parse(read("fetchbox.rules.test.yml")) as { tests: AlertTest[] }).tests;
}

/** The dashboard, and the queries of its panels. */
export function dashboard() {
  const parsed = JSON.parse(read("grafana/dashboards/fetchbox.json")) as Dashboard;
  const queries = parsed.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })));
  return { ...parsed, queries };
}

/** The shipped configuration of Prometheus for another address, another file of the token, and every second. */
export function configurationFor(target: string, tokenFile: string): string {
  const config = YAML.parse(read("prometheus.yml")) as PrometheusConfig;
  const [scrape] = config.scrape_configs;
  return YAML.stringify({
    ...config,
    global: { scrape_interval: "1s", evaluation_interval: "1s" },
    alerting: {},
    scrape_configs: [
      {
        ...scrape,
        authorization: { ...scrape?.authorization, credentials_file: tokenFile },
        static_configs: [{ targets: [target] }],
      },
    ],
  });
}
