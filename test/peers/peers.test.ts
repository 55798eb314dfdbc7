import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { ResourceRow } from "../support/answers.ts";
import { eventually } from "../support/eventually.ts";
import { digest, pattern } from "../support/pattern.ts";
import { findPeers, hasTemporary, type Peer, type Peers } from "../support/peers.ts";
import { type Service, startService } from "../support/service.ts";
import { makeCertificates } from "../support/tls.ts";

/** The binary against programs that others wrote: what a test's own server gets wrong, these do not. */

setDefaultTimeout(60_000);

const found = findPeers();
if ("reason" in found) console.warn(`the tests against other programs are left out: ${found.reason}`);
const isHere = !("reason" in found);
const peers = found as Peers;
const isRoot = process.getuid?.() === 0 && Bun.which("unshare") !== null;

async function fetched(service: Service, resources: readonly object[], jobType = "default"): Promise<ResourceRow[]> {
  const named = resources.map((resource, i) => ({ id: `r${i}`, ...resource }));
  const job = await service.submit({ manifest_version: "v1", resources: named }, { "x-fetchbox-job-type": jobType });
  await service.finished(job);
  return service.resources(job);
}

const codes = (rows: readonly ResourceRow[]) => rows.map(({ state, error }) => error?.code ?? state);

describe.if(isHere)("nginx", () => {
  const FILES = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`f/${i}`, pattern(1000 + i * 97, i)]));
  const LARGE = pattern(8 * 2 ** 20, 7);

  test("over TLS: what its authority vouches for is stored, and nothing without", async () => {
    using certificates = makeCertificates("localhost");
    if (certificates === undefined) return;
    await using nginx = await peers.nginx({ files: FILES, tls: certificates.good });
    const resources = Object.keys(FILES).map((path) => ({ url: `https://localhost:${nginx.port}/${path}` }));
    await using strict = await startService();
    expect(codes(await fetched(strict, resources.slice(0, 2)))).toEqual([
      "DOWNLOAD_TLS_INVALID",
      "DOWNLOAD_TLS_INVALID",
    ]);
    await using trusting = await startService({ env: { NODE_EXTRA_CA_CERTS: certificates.authorityFile } });
    const rows = await fetched(trusting, resources);
    const contents = Object.values(FILES);
    expect(rows.map(({ bytes, sha256 }) => `${bytes} ${sha256}`)).toEqual(contents.map(digest));
    // The certificate is for the name, not for the address.
    expect(codes(await fetched(trusting, [{ url: `https://127.0.0.1:${nginx.port}/f/0` }]))).toEqual([
      "DOWNLOAD_TLS_INVALID",
    ]);
  });

  test("whose worker dies in the middle of a file: the rest is asked for, and the whole is right", async () => {
    await using nginx = await peers.nginx({
      files: { large: LARGE },
      locations: "limit_rate 4m; limit_rate_after 1m;",
    });
    await using service = await startService();
    const url = `http://127.0.0.1:${nginx.port}/large`;
    const job = await service.submit({ manifest_version: "v1", resources: [{ id: "large", url }] });
    await eventually("the download is under way", () => hasTemporary(service, 2 * 2 ** 20));
    const workers = Bun.spawnSync(["pgrep", "-P", String(nginx.pid)])
      .stdout.toString()
      .trim()
      .split("\n");
    for (const pid of workers) process.kill(Number(pid), "SIGKILL");
    expect((await service.finished(job)).status).toBe("completed");
    const [row] = await service.resources(job);
    expect([row?.attempts, `${row?.bytes} ${row?.sha256}`]).toEqual([1, digest(LARGE)]);
    await eventually("the log is written", () => nginx.log().includes("206 ") || undefined);
    expect(nginx.log()).toMatch(/^206 "GET \/large HTTP\/1\.1" range=bytes=\d+-$/m);
  });

  test.each([429, 503])("that limits its requests with %d: it is asked less, and all is stored", async (status) => {
    await using nginx = await peers.nginx({
      files: FILES,
      http: `limit_req_zone $server_addr zone=all:1m rate=40r/s; limit_req_status ${status};`,
      locations: "limit_req zone=all;",
    });
    await using service = await startService({ settings: { "queue.max_retries": 100 } });
    const rows = await fetched(
      service,
      Object.keys(FILES).map((path) => ({ url: `http://127.0.0.1:${nginx.port}/${path}` })),
    );
    expect(rows.every(({ state }) => state === "completed")).toBe(true);
  });
});

describe.if(isHere)("proxies", () => {
  test("squid and tinyproxy: with the right password by http and by tunnel, with a wrong one the next is taken", async () => {
    using certificates = makeCertificates("localhost");
    if (certificates === undefined) return;
    const body = pattern(100_000, 3);
    await using plain = await peers.nginx({ files: { a: body } });
    await using secure = await peers.nginx({ files: { a: body }, tls: certificates.good });
    await using squid = await peers.squid("user:p@ss/word");
    await using tinyproxy = await peers.tinyproxy("tiny:secret");
    const pool = (name: string, ...urls: string[]) =>
      `[proxies.${name}]\nendpoints = [${urls.map((url) => `"${url}"`).join(", ")}]\n[handlers.${name}]\nhandler = "default"\nproxy.primary = "${name}"\n`;
    const squidUrl = `http://user:\${SQUID_PASSWORD}@127.0.0.1:${squid.port}`;
    const tinyUrl = `http://tiny:\${TINY_PASSWORD}@127.0.0.1:${tinyproxy.port}`;
    const env = {
      NODE_EXTRA_CA_CERTS: certificates.authorityFile,
      SQUID_PASSWORD: "p@ss/word",
      TINY_PASSWORD: "secret",
    };
    await using service = await startService({
      toml: pool("squid", squidUrl) + pool("tiny", tinyUrl) + pool("wrong", `http://127.0.0.1:${squid.port}`, tinyUrl),
      env,
    });
    const resources = [
      { url: `http://127.0.0.1:${plain.port}/a` },
      { url: `https://localhost:${secure.port}/a` },
      { url: `http://127.0.0.1:${plain.port}/missing` },
    ];
    for (const name of ["squid", "tiny", "wrong"]) {
      const rows = await fetched(service, resources, name);
      expect([name, ...codes(rows)]).toEqual([name, "completed", "completed", "DOWNLOAD_HTTP_404"]);
      expect(rows.slice(0, 2).map(({ bytes, sha256 }) => `${bytes} ${sha256}`)).toEqual([digest(body), digest(body)]);
    }
    await eventually("squid has written its log", () => squid.log().includes("TCP_DENIED/407") || undefined);
    expect(squid.log()).toContain(`CONNECT 127.0.0.1:${secure.port}`);
    expect(service.log).not.toMatch(/p@ss|secret/);
  });

  test("that cannot reach the host, or may not: the attempt tells of the tunnel, and metrics count", async () => {
    await using tinyproxy = await peers.tinyproxy();
    await using service = await startService({
      toml: `[proxies.only]\nendpoints = ["http://127.0.0.1:${tinyproxy.port}"]\n[handlers.only]\nhandler = "default"\nproxy.primary = "only"\n`,
      settings: { "queue.max_retries": 0 },
    });
    const rows = await fetched(service, [{ url: "https://127.0.0.1:9/" }, { url: "http://127.0.0.1:9/" }], "only");
    expect(codes(rows)).toEqual(["PROXY_EXHAUSTED", "DOWNLOAD_HTTP_500"]);
    expect(await (await service.fetch("/metrics")).text()).toContain('fetchbox_proxy_failures_total{pool="only"} 1');
  });
});

describe.if(isHere && isRoot)("dnsmasq", () => {
  const RESOLVER = "127.0.0.77";

  test("its answers decide: stored, not found, for later, or not allowed", async () => {
    await using nginx = await peers.nginx({ files: { a: pattern(10, 1) } });
    await using _ = await peers.dnsmasq(RESOLVER, [
      "address=/ok.test/127.0.0.1",
      "address=/gone.test/", // NXDOMAIN
      "address=/metadata.test/169.254.169.254",
      "address=/inner.test/10.1.2.3",
      "address=/mapped.test/::ffff:10.1.2.3",
      "address=/zero.test/0.0.0.0",
      "server=/lost.test/127.0.0.78", // nobody answers there
    ]);
    await using service = await startService({
      settings: { "queue.max_retries": 0 },
      files: { "resolv.conf": `nameserver ${RESOLVER}\noptions timeout:1 attempts:1\n` },
      through: ["unshare", "--mount", "sh", "-c", 'mount --bind resolv.conf /etc/resolv.conf && exec "$@"', "sh"],
    });
    const names = ["ok", "gone", "metadata", "inner", "mapped", "zero", "lost"];
    const rows = await fetched(
      service,
      names.map((name) => ({ url: `http://${name}.test:${nginx.port}/a` })),
    );
    expect(Object.fromEntries(codes(rows).map((code, i) => [names[i], code]))).toEqual({
      ok: "completed",
      gone: "DOWNLOAD_DNS_NOT_FOUND",
      metadata: "DOWNLOAD_URL_NOT_ALLOWED",
      inner: "DOWNLOAD_URL_NOT_ALLOWED",
      mapped: "DOWNLOAD_URL_NOT_ALLOWED",
      zero: "DOWNLOAD_URL_NOT_ALLOWED",
      lost: "DOWNLOAD_DNS_TEMPORARY",
    });
  });
});

describe.if(isHere)("httpbin", () => {
  let httpbin: Peer;
  let service: Service;
  beforeAll(async () => {
    httpbin = await peers.httpbin();
    service = await startService({ settings: { "queue.max_retries": 1 } });
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
    await httpbin[Symbol.asyncDispose]();
  });

  test.each<[string, object, string]>([
    ["/bytes/100000?seed=1", {}, "completed"],
    ["/stream-bytes/50000?seed=2&chunk_size=1000", {}, "completed"],
    ["/drip?duration=1&numbytes=50&delay=0", { size: 50 }, "completed"],
    ["/range/70000", { size: 70_000 }, "completed"],
    ["/gzip", {}, "completed"],
    ["/encoding/utf8", { content_type: "text/html" }, "completed"],
    ["/delay/1", {}, "completed"],
    ["/redirect/5", {}, "completed"],
    ["/relative-redirect/3", {}, "completed"],
    ["/absolute-redirect/3", {}, "completed"],
    ["/redirect/11", {}, "DOWNLOAD_TOO_MANY_REDIRECTS"],
    ["/redirect-to?url=http%3A%2F%2F169.254.169.254%2Flatest%2Fmeta-data%2F", {}, "DOWNLOAD_URL_NOT_ALLOWED"],
    ["/redirect-to?url=file%3A%2F%2F%2Fetc%2Fpasswd", {}, "DOWNLOAD_URL_NOT_ALLOWED"],
    ["/status/418", {}, "DOWNLOAD_HTTP_418"],
    ["/status/500", {}, "DOWNLOAD_HTTP_500"],
    ["/status/304", {}, "DOWNLOAD_HTTP_304"],
    ["/bearer", {}, "DOWNLOAD_HTTP_401"],
    ["/bearer", { headers: { Authorization: "Bearer t" } }, "completed"],
    ["/html", { reject_html: true }, "DOWNLOAD_CONTENT_TYPE_MISMATCH"],
    ["/image/png", { content_type: "image/*" }, "completed"],
    ["/image/png", { content_type: "video/*" }, "DOWNLOAD_CONTENT_TYPE_MISMATCH"],
    ["/robots.txt", { checksum: `sha256:${"0".repeat(64)}` }, "DOWNLOAD_CHECKSUM_MISMATCH"],
  ])("%s with %j: %s", async (path, more, expected) => {
    const [row] = await fetched(service, [{ url: `http://127.0.0.1:${httpbin.port}${path}`, ...more }]);
    expect(row?.error?.code ?? row?.state).toBe(expected as never);
  });

  test("userinfo in a URL logs in, and is shown nowhere", async () => {
    const [row] = await fetched(service, [
      { url: `http://user:pass%20word@127.0.0.1:${httpbin.port}/basic-auth/user/pass%20word` },
    ]);
    expect(row?.state).toBe("completed");
    expect(JSON.stringify(row) + service.log).not.toContain("pass%20word@");
  });
});
