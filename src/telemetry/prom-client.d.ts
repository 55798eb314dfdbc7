/** Types for parts of the package, which declares types only for the whole. */
declare module "prom-client/lib/counter.js" {
  export { Counter as default } from "prom-client";
}
declare module "prom-client/lib/gauge.js" {
  export { Gauge as default } from "prom-client";
}
declare module "prom-client/lib/histogram.js" {
  export { Histogram as default } from "prom-client";
}
declare module "prom-client/lib/registry.js" {
  export { Registry as default } from "prom-client";
}
declare module "prom-client/lib/metrics/*" {
  import type { Registry } from "prom-client";

  const addMetrics: (registry: Registry) => void;
  export default addMetrics;
}
