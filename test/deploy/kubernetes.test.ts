import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { IStatefulSet } from "kubernetes-models/apps/v1";
import type { INetworkPolicy } from "kubernetes-models/networking.k8s.io/v1";
import type { IPodDisruptionBudget } from "kubernetes-models/policy/v1";
import type { IContainer, IService } from "kubernetes-models/v1";
import manifest from "../../package.json" with { type: "json" };
import { createProject } from "../config/project.ts";
import { KUBERNETES, manifestFiles, mistakesOf, readKustomization, readYaml } from "../support/kubernetes.ts";

const FOLDERS = ["base", "overlays/example", "components/service-monitor"];
const DOCKERFILE = readFileSync(join(KUBERNETES, "../../Dockerfile"), "utf8");

const statefulSet = readYaml("base/statefulset.yaml") as IStatefulSet;
const service = readYaml("base/service.yaml") as IService;
const headless = readYaml("base/service-headless.yaml") as IService;
const policy = readYaml("base/network-policy.yaml") as INetworkPolicy;
const budget = readYaml("base/pod-disruption-budget.yaml") as IPodDisruptionBudget;
const monitor = readYaml("components/service-monitor/service-monitor.yaml") as {
  spec: { selector: { matchLabels: Record<string, string> }; endpoints: { port: string }[] };
};
const pod = statefulSet.spec?.template.spec;
const podLabels = statefulSet.spec?.template.metadata?.labels ?? {};
const container = pod?.containers[0] as IContainer;

describe("the schemas of the Kubernetes API", () => {
  test.each(manifestFiles().filter((file) => file !== "overlays/example/storage-class.yaml"))("accept %s", (file) => {
    expect(mistakesOf(readYaml(file) as object)).toEqual([]);
  });

  test.each([
    ["a wrong type", { replicas: "one" }, "/spec/replicas"],
    ["a missing field", { selector: undefined }, "selector"],
    ["a value outside an enumeration", { podManagementPolicy: "Random" }, "/spec/podManagementPolicy"],
    ["a field that does not exist", { replica: 1 }, "/spec/replica is an unknown field"],
    [
      "a misspelt field deep inside",
      { template: { ...statefulSet.spec?.template, spec: { ...pod, terminationGraceSeconds: 45 } } },
      "/spec/template/spec/terminationGraceSeconds is an unknown field",
    ],
  ])("find %s", (_, change, mistake) => {
    const changed = { ...statefulSet, spec: { ...statefulSet.spec, ...change } };
    expect(mistakesOf(changed)).toEqual([expect.stringContaining(mistake)]);
  });
});

describe("kustomizations", () => {
  test.each(FOLDERS)("%s lists every file of its folder, and no other", (folder) => {
    const { resources = [], patches = [], configMapGenerator = [] } = readKustomization(folder);
    const listed = [
      ...resources,
      ...patches.map(({ path }) => path),
      ...configMapGenerator.flatMap((map) => map.files),
    ];
    expect(listed.filter((file) => !existsSync(join(KUBERNETES, folder, file)))).toEqual([]);
    const own = readdirSync(join(KUBERNETES, folder)).filter((file) => !/^kustomization\.yaml$|\.example$/.test(file));
    expect(listed.filter((file) => !file.startsWith("../")).toSorted()).toEqual(own.toSorted());
  });

  test("the example gives the image of this version, and a patch for the StatefulSet of the base", () => {
    expect(readKustomization("overlays/example").images).toEqual([
      expect.objectContaining({ name: container.image, newTag: manifest.version }),
    ]);
    const patch = readYaml("overlays/example/storage-class.yaml") as IStatefulSet;
    expect([patch.kind, patch.metadata?.name]).toEqual([statefulSet.kind, statefulSet.metadata?.name ?? ""]);
    const [own, base] = [patch, statefulSet].map((each) => each.spec?.volumeClaimTemplates?.[0]);
    expect(own?.spec).toMatchObject({ ...base?.spec, resources: expect.anything() });
    expect(mistakesOf({ ...statefulSet, spec: { ...statefulSet.spec, ...patch.spec } })).toEqual([]);
  });

  test("the ConfigMap and the Secret of the pod come from generators", () => {
    const kustomizations = FOLDERS.map(readKustomization);
    const sources = pod?.volumes?.flatMap((volume) => volume.projected?.sources ?? []) ?? [];
    const names = sources.map(({ configMap, secret }) => configMap?.name ?? secret?.name ?? "");
    const generated = kustomizations.flatMap(({ configMapGenerator = [], secretGenerator = [] }) => [
      ...configMapGenerator.map(({ name }) => name),
      ...secretGenerator.map(({ name }) => name),
    ]);
    expect(names.toSorted()).toEqual([...new Set(generated)].toSorted());
    expect(kustomizations[1]?.secretGenerator).toEqual([{ name: "fetchbox-secrets", files: [".env=secrets.env"] }]);
  });

  test.each(["base", "overlays/example"])("the configuration of %s loads with the secrets of the example", (folder) => {
    using project = createProject(readFileSync(join(KUBERNETES, folder, "fetchbox.toml"), "utf8"));
    project.write("config/.env", readFileSync(join(KUBERNETES, "overlays/example/secrets.env.example"), "utf8"));
    const { server, queue, ledger, dlq } = project.load();
    expect(server.auth.tokens.map(({ role }) => role)).toEqual(["operator", "submit"]);
    // All stores are in the volume, which is the working directory.
    const folders = [queue.path, ledger.path, dlq.path].map((path) => path.replace(`${project.cwd}/`, ""));
    expect(folders).toEqual(["queue", "ledger", "dlq"]);
  });
});

describe("the manifests agree with one another", () => {
  test("every selector selects the pod", () => {
    const selectors = [
      statefulSet.spec?.selector.matchLabels,
      service.spec?.selector,
      headless.spec?.selector,
      policy.spec?.podSelector?.matchLabels,
      budget.spec?.selector?.matchLabels,
    ];
    for (const selector of selectors) {
      expect(Object.keys(selector ?? {})).not.toEqual([]);
      expect(podLabels).toMatchObject(selector ?? {});
    }
  });

  test("the ServiceMonitor selects the headless Service only, which also has pods that are not ready", () => {
    expect(headless.metadata?.labels).toMatchObject(monitor.spec.selector.matchLabels);
    expect(service.metadata?.labels).not.toMatchObject(monitor.spec.selector.matchLabels);
    expect(headless.spec).toMatchObject({ clusterIP: "None", publishNotReadyAddresses: true });
    expect(statefulSet.spec?.serviceName).toBe(headless.metadata?.name ?? "");
  });

  test("every port that a manifest names is a port of the container, which is that of the image", () => {
    expect(container.ports).toEqual([{ name: "http", containerPort: 8080 }]);
    expect(DOCKERFILE).toMatch(/^EXPOSE 8080$/m);
    const named = [
      ...[service, headless].flatMap(({ spec }) => spec?.ports?.map(({ targetPort }) => targetPort) ?? []),
      ...(policy.spec?.ingress?.flatMap(({ ports }) => ports?.map(({ port }) => port) ?? []) ?? []),
      ...[container.startupProbe, container.livenessProbe, container.readinessProbe].map((p) => p?.httpGet?.port),
      ...monitor.spec.endpoints.map(({ port }) => port),
    ];
    expect(new Set(named)).toEqual(new Set(["http"]));
    expect(headless.spec?.ports?.map(({ name }) => name)).toEqual(["http"]);
  });

  test("every mount has a volume, and every volume a mount", () => {
    const volumes = [
      ...(pod?.volumes?.map(({ name }) => name) ?? []),
      ...(statefulSet.spec?.volumeClaimTemplates?.map(({ metadata }) => metadata?.name ?? "") ?? []),
    ];
    expect(container.volumeMounts?.map(({ name }) => name).toSorted()).toEqual(volumes.toSorted());
  });

  test("the configuration that commands find is in the mount of the ConfigMap and the Secret", () => {
    const mount = container.volumeMounts?.find(({ name }) => name === "config");
    expect(container.env).toEqual([{ name: "FETCHBOX_CONFIG", value: `${mount?.mountPath}/fetchbox.toml` }]);
    expect(mount?.readOnly).toBe(true);
  });
});

describe("the pod", () => {
  test("is one, with a volume of one node", () => {
    expect(statefulSet.spec?.replicas).toBe(1);
    expect(statefulSet.spec?.volumeClaimTemplates?.map(({ spec }) => [spec?.accessModes, spec?.volumeMode])).toEqual([
      [["ReadWriteOnce"], "Filesystem"],
    ]);
  });

  test("has no rights, a read-only root, and a place for its writes", () => {
    expect(pod).toMatchObject({ automountServiceAccountToken: false, enableServiceLinks: false });
    expect(pod?.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    const writable = container.volumeMounts?.filter(({ readOnly }) => readOnly !== true);
    expect(writable?.map(({ mountPath }) => mountPath).toSorted()).toEqual(["/data", "/tmp"]);
  });

  test("runs as the user of the image, who owns the volume", () => {
    const { runAsUser, runAsGroup, fsGroup } = pod?.securityContext ?? {};
    expect(DOCKERFILE).toContain(`\nUSER ${runAsUser}:${runAsGroup}\n`);
    expect(fsGroup).toBe(runAsGroup ?? 0);
  });

  test("has ten seconds more than the default grace to stop", () => {
    using project = createProject();
    const graceSeconds = project.load().server.shutdown_grace_ms / 1000;
    expect(pod?.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(graceSeconds + 10);
  });

  test("is probed at open endpoints that exist", () => {
    const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe];
    const paths = probes.map((probe) => probe?.httpGet?.path ?? "");
    expect(paths).toEqual(["/health/live", "/health/live", "/health/ready"]);
    const endpoints = readFileSync(join(KUBERNETES, "../../src/api/endpoints/service-endpoints.ts"), "utf8");
    for (const path of paths) expect(endpoints).toContain(`path: "${path}",\n    access: "open",`);
  });

  test("has memory for the buffers of the default configuration", () => {
    using project = createProject();
    const { storage, api } = project.load();
    const limit = Number(/^(\d+)Mi$/.exec(String(container.resources?.limits?.["memory"]))?.[1]) * 2 ** 20;
    expect(limit).toBeGreaterThanOrEqual(storage.buffer_bytes + api.max_bodies_bytes + 300e6);
    expect(container.resources?.requests).toMatchObject({ cpu: expect.anything(), memory: expect.anything() });
  });

  test("does not keep a node from being drained", () => {
    expect(budget.spec?.maxUnavailable).toBe(1);
    expect(budget.spec?.minAvailable).toBeUndefined();
  });
});
