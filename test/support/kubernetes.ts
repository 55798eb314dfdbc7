import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { StatefulSet } from "kubernetes-models/apps/v1";
import { NetworkPolicy } from "kubernetes-models/networking.k8s.io/v1";
import { PodDisruptionBudget } from "kubernetes-models/policy/v1";
import { Namespace, Service } from "kubernetes-models/v1";

export const KUBERNETES = join(import.meta.dir, "../../deploy/kubernetes");

/** A class whose objects check themselves by a schema of the Kubernetes API, or of the Prometheus operator. */
interface Model {
  readonly prototype: { validate(): void };
}

const MODELS: Readonly<Record<string, Model>> = {
  "apps/v1 StatefulSet": StatefulSet,
  "v1 Service": Service,
  "v1 Namespace": Namespace,
  "networking.k8s.io/v1 NetworkPolicy": NetworkPolicy,
  "policy/v1 PodDisruptionBudget": PodDisruptionBudget,
  "monitoring.coreos.com/v1 ServiceMonitor": ServiceMonitor,
};

const Kustomization = Type.Object({
  resources: Type.Optional(Type.Array(Type.String())),
  patches: Type.Optional(Type.Array(Type.Object({ path: Type.String() }))),
  images: Type.Optional(Type.Array(Type.Object({ name: Type.String(), newTag: Type.String() }))),
  configMapGenerator: Type.Optional(Type.Array(Type.Object({ name: Type.String(), files: Type.Array(Type.String()) }))),
  secretGenerator: Type.Optional(Type.Array(Type.Object({ name: Type.String(), files: Type.Array(Type.String()) }))),
});

export function readYaml(file: string): unknown {
  return Bun.YAML.parse(readFileSync(join(KUBERNETES, file), "utf8"));
}

export function readKustomization(folder: string) {
  const document = readYaml(`${folder}/kustomization.yaml`);
  Value.Assert(Kustomization, document);
  return document;
}

/** The manifests of deploy/kubernetes, by their paths there. Kustomizations are not manifests. */
export function manifestFiles(): string[] {
  const files = readdirSync(KUBERNETES, { recursive: true }).map(String);
  return files.filter((file) => file.endsWith(".yaml") && !file.endsWith("kustomization.yaml")).toSorted();
}

/** The mistakes of a manifest: violations of its schema, and fields that the schema does not have. */
export function mistakesOf(manifest: object): string[] {
  const { apiVersion, kind } = manifest as { apiVersion?: unknown; kind?: unknown };
  const model = MODELS[`${String(apiVersion)} ${String(kind)}`];
  if (model === undefined) return [`there is no schema of ${String(apiVersion)} ${String(kind)}`];
  const seen = new Set<string>();
  try {
    // An object of the class would be a copy, which is not watched.
    model.prototype.validate.call(watched(manifest, "", seen));
  } catch (error) {
    return [(error as Error).message];
  }
  const unknown = pathsOf(manifest, "").filter((path) => !seen.has(path));
  return unknown.map((path) => `${path} is an unknown field`);
}

/**
 * An object that records the paths of the fields that are read. A compiled schema reads every field that it knows, and
 * all of a map, so the others are unknown to it: the API server would reject them.
 */
function watched(value: unknown, path: string, seen: Set<string>): unknown {
  if (typeof value !== "object" || value === null) return value;
  return new Proxy(value, {
    get(target, key) {
      const below = `${path}/${String(key)}`;
      seen.add(below);
      return watched(Reflect.get(target, key), below, seen);
    },
  });
}

/** The paths of all fields, and of the entries of lists. */
function pathsOf(value: unknown, path: string): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, below]) => [`${path}/${key}`, ...pathsOf(below, `${path}/${key}`)]);
}
