import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ObjectStore } from "../../src/jobs/object-store.ts";
import type { ClaimedTask, Task, TaskResult } from "../../src/jobs/task.ts";
import type { Outcome } from "../../src/jobs/verdict.ts";
import { createEgressPolicy } from "../../src/net/egress-policy.ts";
import { KeyGuard } from "../../src/storage/key-guard.ts";
import { Attempt } from "../../src/worker/attempt.ts";
import { ConfiguredHeaders } from "../../src/worker/configured-headers.ts";
import { ActiveDownloads } from "../../src/worker/download/active-downloads.ts";
import { type DownloadDeps, download } from "../../src/worker/download/download.ts";
import { type ProxyPool, ProxyPools } from "../../src/worker/download/proxies.ts";
import { createAddresses, type EgressPolicy } from "../../src/worker/names/addresses.ts";
import { createResolver, type FoundAddress } from "../../src/worker/names/names.ts";
import { SecretMask } from "../../src/worker/secret-mask.ts";
import type { Service } from "../../src/worker/service.ts";
import { claimedTask } from "./claimed.ts";
import { FakeClock } from "./clock.ts";
import { eventually } from "./eventually.ts";
import { type FaultOrigin, startFaultOrigin } from "./fault-origin.ts";
import { foundFor } from "./found-addresses.ts";
import { testClient } from "./http.ts";
import { type LocalHarness, makeLocalHarness } from "./local-objects.ts";
import { MISBEHAVIOURS } from "./misbehaviours.ts";

export interface RigOptions extends Partial<Omit<DownloadDeps, "proxies" | "store">> {
  /** What names resolve to; `127.0.0.1` where it is not said. A function may answer differently each time. */
  readonly names?: Readonly<Record<string, readonly string[] | (() => readonly string[])>>;
  readonly policy?: EgressPolicy;
  readonly pools?: Readonly<Record<string, ProxyPool>>;
  readonly store?: (store: ObjectStore) => ObjectStore;
}

export const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/** A download service between an origin that misbehaves by path and a local storage. Time stands still. */
export class DownloadRig implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly active = new ActiveDownloads();
  readonly http = testClient(this.clock);
  readonly proxyFailures: string[] = [];
  /** How those ended. */
  readonly spans: Outcome["kind"][] = [];
  readonly service: Service;
  readonly origin: FaultOrigin;
  readonly storage: LocalHarness;

  constructor(origin: FaultOrigin, storage: LocalHarness, { names = {}, policy, pools, store, ...more }: RigOptions) {
    this.origin = origin;
    this.storage = storage;
    const loopback = createEgressPolicy({ allowPrivate: ["127.0.0.0/8", "::1/128"] });
    const lookup = (name: string): Promise<readonly FoundAddress[]> => {
      const known = names[name] ?? ["127.0.0.1"];
      return Promise.resolve(foundFor(60, ...(typeof known === "function" ? known() : known)));
    };
    const resolve = createResolver({ lookup, clock: this.clock });
    this.service = download({
      addresses: createAddresses({ policy: policy ?? loopback, resolve }),
      http: this.http,
      resolve,
      ca: undefined,
      connectTimeoutMs: 10_000,
      headTimeoutMs: 30_000,
      idleTimeoutMs: 30_000,
      userAgent: "FetchBox/test",
      configuredHeaders: new ConfiguredHeaders(new Map(), {}),
      secrets: new SecretMask(),
      maxRedirects: 5,
      allowDowngrade: false,
      maxBytes: 2 ** 30,
      minBytesPerSecond: 0,
      proxies: new ProxyPools(new Map(Object.entries(pools ?? {})), this.clock),
      store: store?.(storage.store) ?? storage.store,
      recordUpload: () => Promise.resolve(),
      tokenOf: () => undefined,
      keys: new KeyGuard(),
      active: this.active,
      onProxyFailure: (pool) => this.proxyFailures.push(pool),
      startSpan: () => ({ traceparent: TRACEPARENT, end: (outcome) => void this.spans.push(outcome.kind) }),
      clock: this.clock,
      ...more,
    });
  }

  /** A URL of the origin, by its address or by a name. */
  url(path: string, name = "127.0.0.1"): string {
    return `http://${name}:${this.origin.port}${path}`;
  }

  /** Downloads a path of the origin, or a URL. */
  run(target: string, task: Partial<Task> = {}): Promise<Outcome> {
    return this.service.call(this.attempt(target, task));
  }

  /** An attempt for the service, so that a test can abort it. */
  attempt(target: string, task: Partial<Task> = {}): Attempt {
    return new Attempt(this.claimed(target, task), 1);
  }

  claimed(target: string, task: Partial<Task> = {}): ClaimedTask {
    const url = target.startsWith("/") ? this.url(target) : target;
    return claimedTask({ key: "r", ...task, url, bucket: this.storage.bucket });
  }

  /** The same, where it must be stored. */
  async stored(target: string, task: Partial<Task> = {}): Promise<TaskResult> {
    const outcome = await this.run(target, task);
    if (outcome.kind === "stored") return outcome.result;
    throw new Error(outcome.kind === "failed" ? `${outcome.failure.code}: ${outcome.failure.message}` : outcome.kind);
  }

  /** The same, where it must fail: the outcome, which the tests look into. */
  async failed(target: string, task: Partial<Task> = {}): Promise<Extract<Outcome, { kind: "failed" }>> {
    const outcome = await this.run(target, task);
    if (outcome.kind === "failed") return outcome;
    throw new Error(`it ended well: ${outcome.kind}`);
  }

  /** The text of what was stored. */
  async text(key = "r"): Promise<string> {
    return new TextDecoder().decode(await this.storage.readBack(key));
  }

  /** Every file there is, temporaries included. */
  async files(): Promise<string[]> {
    const names = await readdir(this.storage.path, { recursive: true });
    const isFile = await Promise.all(names.map(async (name) => (await stat(join(this.storage.path, name))).isFile()));
    return names.filter((_, i) => isFile[i]).toSorted();
  }

  /** Resolves once the running download has read so many bytes. */
  async read(bytes: number): Promise<void> {
    await eventually(`${bytes} bytes read`, () =>
      (this.active.list()[0]?.trace.bytes ?? 0) >= bytes ? true : undefined,
    );
  }

  /** Resolves when the head of an answer is there. */
  async head(): Promise<void> {
    await eventually("the head of an answer", () => (this.active.list()[0]?.trace.httpStatus ?? 0) > 0 || undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.http.close();
    this.origin[Symbol.dispose]();
    await this.storage[Symbol.asyncDispose]();
  }
}

export async function startRig(options: RigOptions = {}): Promise<DownloadRig> {
  return new DownloadRig(startFaultOrigin(MISBEHAVIOURS), await makeLocalHarness(), options);
}
