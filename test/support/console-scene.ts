import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Page } from "./browser.ts";
import { type } from "./console-page.ts";
import { eventually } from "./eventually.ts";
import { type Service, startService } from "./service.ts";

const SCENE_TOKEN = "operator-secret-0123456789";

/** A service with something on every page of the console: jobs, dead letters, an operation, closed and slow hosts. */
export interface Scene extends AsyncDisposable {
  readonly service: Service;
  /** Pages below `/console`, each with a text that it shows once its data are there. */
  readonly pages: readonly ScenePage[];
  /** Submits one more job with a stored file for each number. */
  readonly submitStored: (count: number) => Promise<string>;
}

export interface ScenePage {
  readonly name: string;
  readonly path: string;
  readonly text: string;
}

// Each host is a loopback address of its own.
const STORED = "127.0.0.2";
const SLOW = "127.0.0.3";
const FAILING = "127.0.0.4";
const BUSY = "127.0.0.5";
const SLOWED = "127.0.0.6";
const SLOW_BYTES = 240_000_000;
const DRIP_BYTES = 16_384;
const DRIP_MS = 50;
const STORED_BYTES = 180_000;
const LONG_PATH = `/photos/${"2026-".repeat(60)}.jpg`;

/** Signs the page in, and waits for it. */
export async function signIn(page: Page): Promise<void> {
  const body = JSON.stringify({ token: SCENE_TOKEN });
  const status = await page.evaluate(
    `fetch("/operators/session", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: ${JSON.stringify(body)},
    }).then(({ status }) => status)`,
  );
  if (status !== 200) throw new Error(`the sign-in answered ${String(status)}`);
  await page.evaluate("location.reload()");
  await page.until("the page is signed in", `document.querySelector("header nav") ? true : null`);
}

/** Goes to a page of the console as a link does, and waits for its data. */
export async function visit(page: Page, { name, path, text }: ScenePage): Promise<void> {
  await page.evaluate(`history.pushState(null, "", ${JSON.stringify(`/console/${path}`)});
    dispatchEvent(new PopStateEvent("popstate"));`);
  const isThere = `document.querySelector("main")?.innerText.includes(${JSON.stringify(text)})`;
  await page.until(`${name} shows "${text}"`, `${isThere} || null`);
}

/** Opens the details of the first host, and waits for their chart. */
export async function openHost(page: Page): Promise<void> {
  await page.evaluate(`document.querySelector("main [aria-expanded]").click()`);
  await page.until("the chart of the host is there", `document.querySelector(".host-detail canvas") ? true : null`);
}

/** Pastes a manifest into the page that submits. One of its resources has no URL. */
export async function pasteManifest(page: Page): Promise<void> {
  const resources = [{ id: "cover.jpg", url: "https://cdn.example.com/image.jpg" }, { id: "page-2.jpg" }];
  const manifest = { manifest_version: "v1", metadata: { order: 4711 }, resources };
  await type(page, "textarea", JSON.stringify(manifest, null, 2));
  await page.until("it shows a violation", `document.querySelector("main .error") ? true : null`);
}

/** Starts the origin and the service, and waits until each state of the scene is there. */
export async function startScene(): Promise<Scene> {
  const origin = await startHosts();
  const service = await startService({
    settings: {
      "server.auth.tokens": `operator/alice:${SCENE_TOKEN}`,
      "queue.max_retries": 50,
      "queue.retry_backoff_ms": 2000,
      "queue.retry_backoff_max_ms": 5000,
    },
    token: SCENE_TOKEN,
  });
  const submit = (host: string, names: readonly string[], headers = {}) =>
    service.submit(
      {
        manifest_version: "v1",
        resources: names.map((name) => ({ id: name, url: `http://${host}:${origin.port}/${name}` })),
      },
      headers,
    );
  const submitStored = (count: number) =>
    submit(
      STORED,
      numbered(count, (at) => `photos/2026/picture-${at}.jpg`),
    );
  await service.finished(await submitStored(60));
  const failed = await submit(FAILING, [...numbered(6, (at) => `forbidden/${at}.jpg`), "missing/report.pdf"]);
  await service.finished(failed);
  const moved = await submit(STORED, ["moved/to/a/long/address.jpg"]);
  await service.finished(moved);
  const partial = await submit(FAILING, ["forbidden/a.jpg", "stored/b.jpg"], { "x-fetchbox-tenant": "archive" });
  await service.finished(partial);
  const running = await submit(
    SLOW,
    numbered(4, (at) => `films/film-${at}.mp4`),
  );
  await submit(
    BUSY,
    numbered(12, (at) => `archive/${at}.zip`),
  );
  await submit(
    SLOWED,
    numbered(3, (at) => `feed/${at}.xml`),
  );
  await eventually("a host is closed and the films run", async () => {
    const { hosts } = await service.get<{ hosts: unknown[] }>("/operators/hosts?state=closed");
    const { total } = await service.get<{ total: number }>("/operators/downloads");
    return (hosts.length > 0 && total >= 4) || undefined;
  });
  const body = JSON.stringify({ filter: { code: "DOWNLOAD_HTTP_404" }, rate_per_second: 5 });
  const post = { method: "POST", headers: { "content-type": "application/json" }, body };
  await service.fetch("/operators/dlq/replay", post);
  const { entries } = await service.get<{ entries: { task_id: number }[] }>("/operators/dlq?code=DOWNLOAD_HTTP_403");
  const pages = pagesOf({ moved, partial, running, letter: entries[0]?.task_id ?? 0 });
  return {
    service,
    pages,
    submitStored,
    async [Symbol.asyncDispose]() {
      // The slow downloads end with their connections: the service need not wait for them.
      await origin.stop();
      await service[Symbol.asyncDispose]();
    },
  };
}

function numbered(count: number, nameOf: (at: number) => string): string[] {
  return Array.from({ length: count }, (_, at) => nameOf(at + 1));
}

function pagesOf(ids: {
  readonly moved: string;
  readonly partial: string;
  readonly running: string;
  readonly letter: number;
}): ScenePage[] {
  const { moved, partial, running, letter } = ids;
  return [
    { name: "overview", path: "?window=15m", text: "Needs attention" },
    { name: "jobs", path: "jobs", text: "completed" },
    { name: "job", path: `jobs/${running}`, text: "film-1" },
    { name: "job-moved", path: `jobs/${moved}`, text: LONG_PATH.slice(0, 40) },
    { name: "job-failures", path: `jobs/${partial}?tab=failures`, text: "DOWNLOAD_HTTP_403" },
    { name: "job-log", path: `jobs/${partial}?tab=log`, text: "job accepted" },
    { name: "job-manifest", path: `jobs/${partial}?tab=manifest`, text: "manifest_version" },
    { name: "downloads", path: "downloads", text: "film-1" },
    { name: "hosts", path: "hosts", text: BUSY },
    { name: "dead-letters", path: "dead-letters", text: "forbidden/1.jpg" },
    { name: "letter", path: `dead-letters/${letter}`, text: "Attempts, newest first" },
    { name: "operations", path: "operations", text: "DOWNLOAD_HTTP_404" },
    { name: "system", path: "system", text: "queue.workers" },
    { name: "submit", path: "submit", text: "Paste URLs" },
  ];
}

/** One server on all loopback addresses; each address answers as a host of its own. */
async function startHosts() {
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    const host = request.headers.host?.split(":", 1)[0];
    if (host === BUSY) response.writeHead(429, { "retry-after": "800" }).end("busy");
    else if (host === SLOWED) response.writeHead(429).end("slower");
    else if (host === SLOW) drip(response);
    else if (path.startsWith("/forbidden")) response.writeHead(403).end("Sign in to see this picture.");
    else if (path.startsWith("/missing")) response.writeHead(404).end("not here");
    else if (path.startsWith("/moved")) response.writeHead(302, { location: LONG_PATH }).end();
    else response.end(Buffer.alloc(STORED_BYTES));
  });
  server.listen(0, "0.0.0.0");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** A body that takes minutes. */
function drip(response: ServerResponse): void {
  response.writeHead(200, { "content-length": SLOW_BYTES });
  const timer = setInterval(() => response.write(Buffer.alloc(DRIP_BYTES)), DRIP_MS);
  response.on("close", () => clearInterval(timer));
}
