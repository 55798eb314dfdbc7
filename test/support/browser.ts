import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unpackDebian } from "./debian.ts";
import { eventually } from "./eventually.ts";

/** A page in a headless Chromium that knows no address but this machine's. */
export interface Page extends AsyncDisposable {
  /** The value of an expression in the page; a promise's, once it is settled. */
  evaluate<T>(expression: string): Promise<T>;
  /** As `eventually`: asks in the page until there is an answer. */
  until<T>(what: string, expression: string): Promise<T>;
  /** Gives the window another width, and the colour scheme that the system asks for. */
  emulate(window: { readonly width: number; readonly isDark?: boolean }): Promise<void>;
  /** PNG. */
  screenshot(): Promise<Uint8Array>;
  /** The URLs of all requests, those of the browser's own pages left out. */
  readonly requests: readonly string[];
  /** What went wrong in the page: failed requests and errors of scripts. */
  readonly problems: readonly string[];
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

/** Where Chromium is, or why there is none. */
export function findBrowser():
  | { readonly program: string; readonly env: Readonly<Record<string, string>> }
  | { readonly reason: string } {
  const unpacked = unpackDebian("chromium", ["chromium", "fonts-dejavu-core"]);
  if ("reason" in unpacked) return unpacked;
  const { root, env } = unpacked;
  const libraries = env["LD_LIBRARY_PATH"]?.split(":") ?? [];
  const folders = libraries.flatMap((library) => [library, ...below(library, "pulseaudio")]);
  return { program: join(root, "usr/lib/chromium/chromium"), env: { ...env, LD_LIBRARY_PATH: folders.join(":") } };
}

function below(folder: string, name: string): string[] {
  return existsSync(folder) && readdirSync(folder).includes(name) ? [join(folder, name)] : [];
}

/** Opens a page. `script` runs in it before its own scripts. @see https://chromedevtools.github.io/devtools-protocol/ */
export async function openPage(url: string, script = ""): Promise<Page> {
  const browser = findBrowser();
  if ("reason" in browser) throw new Error(browser.reason);
  const folder = mkdtempSync(join(tmpdir(), "fetchbox-browser-"));
  const flags = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--window-size=1280,1600",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    `--user-data-dir=${folder}`,
  ];
  const child = Bun.spawn([browser.program, ...flags, "about:blank"], {
    env: { PATH: process.env["PATH"] ?? "", HOME: folder, ...browser.env },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  let log = "";
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) log += decoder.decode(chunk, { stream: true });
  })();
  const port = await eventually("the browser listens", () => {
    if (child.exitCode !== null) throw new Error(`the browser ended with ${child.exitCode}: ${log}`);
    return /DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)\//.exec(log)?.[1];
  });
  const targets = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as {
    type: string;
    webSocketDebuggerUrl: string;
  }[];
  const socket = new WebSocket(targets.find(({ type }) => type === "page")?.webSocketDebuggerUrl ?? "");
  await new Promise((resolve) => socket.addEventListener("open", resolve, { once: true }));
  const waiting = new Map<number, PromiseWithResolvers<Readonly<Record<string, unknown>>>>();
  const problems: string[] = [];
  const requests: string[] = [];
  socket.addEventListener("message", ({ data }) => {
    const { id, method, params, result, error } = JSON.parse(String(data)) as Message;
    if (method === "Network.requestWillBeSent") requests.push(...urlOf(params));
    if (method === "Network.loadingFailed" && !isCancelledByPage(params)) {
      problems.push(`a request failed: ${String(params?.["errorText"])}`);
    }
    // Violations of the content security policy are among these.
    if (method === "Log.entryAdded") problems.push(...problemsOfEntry(params));
    if (method === "Runtime.exceptionThrown") problems.push(JSON.stringify(params));
    if (id === undefined) return;
    if (error !== undefined) waiting.get(id)?.reject(new Error(error.message));
    else waiting.get(id)?.resolve(result ?? {});
  });
  let last = 0;
  const send = (method: string, params = {}) => {
    const answer = Promise.withResolvers<Readonly<Record<string, unknown>>>();
    waiting.set(++last, answer);
    socket.send(JSON.stringify({ id: last, method, params }));
    return answer.promise;
  };
  for (const domain of ["Page", "Network", "Runtime", "Log"]) await send(`${domain}.enable`);
  await send("Page.addScriptToEvaluateOnNewDocument", { source: script });
  await send("Page.navigate", { url });
  const evaluate = async <T>(expression: string): Promise<T> => {
    const { result, exceptionDetails } = await send("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    });
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { value: T }).value;
  };
  return {
    evaluate,
    until: <T>(what: string, expression: string) =>
      eventually(what, async () => (await evaluate<T | null>(expression).catch(unlessNavigated)) ?? undefined),
    async emulate({ width, isDark = false }) {
      const metrics = { width, height: 1000, deviceScaleFactor: 1, mobile: false };
      await send("Emulation.setDeviceMetricsOverride", metrics);
      const features = [{ name: "prefers-color-scheme", value: isDark ? "dark" : "light" }];
      await send("Emulation.setEmulatedMedia", { features });
    },
    async screenshot() {
      const { data } = await send("Page.captureScreenshot", { format: "png" });
      return Buffer.from(String(data), "base64");
    },
    problems,
    requests,
    async [Symbol.asyncDispose]() {
      socket.close();
      child.kill("SIGKILL");
      await child.exited;
      await reading;
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** A page that goes to another address in the middle of a question gives no answer; the next question gets one. */
function unlessNavigated(error: Error): undefined {
  if (!error.message.includes("Inspected target navigated")) throw error;
}

/** A page cancels requests that it no longer needs. */
function isCancelledByPage(params: Message["params"]): boolean {
  return params?.["canceled"] === true && params["blockedReason"] === undefined;
}

function urlOf(params: Message["params"]): string[] {
  const request = params?.["request"] as { url: string } | undefined;
  return request === undefined ? [] : [request.url];
}

/** The text of an entry of the browser's log, if it is about security. */
function problemsOfEntry(params: Message["params"]): string[] {
  const entry = params?.["entry"] as { source: string; text: string } | undefined;
  return entry?.source === "security" ? [entry.text] : [];
}
