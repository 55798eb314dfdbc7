import { describe, expect, test } from "bun:test";
import { ProxyFailures } from "../../src/worker/download/proxy-failures.ts";

describe("PROXY_EXHAUSTED", () => {
  test("has the reason of each endpoint, in their order", () => {
    const failures = new ProxyFailures("main");
    failures.add({ url: "http://a:8080" }, "407 Proxy Authentication Required");
    failures.add({ url: "socks5://b" }, "connection refused");
    const failure = failures.toFailure();
    expect(failure).toMatchObject({ code: "PROXY_EXHAUSTED", class: "transient" });
    expect(failure.message).toBe(
      "every endpoint of the proxy pool main and of its fallbacks failed: " +
        "http://a:8080: 407 Proxy Authentication Required; socks5://b: connection refused",
    );
  });

  test("has a message of its own without any endpoint", () => {
    expect(new ProxyFailures("gone").toFailure().message).toBe("the proxy pool gone has no endpoint");
  });

  test("has a message of at most 1000 characters, and counts the endpoints that it does not name", () => {
    const failures = new ProxyFailures("main");
    for (let i = 0; i < 5000; i++) failures.add({ url: `http://proxy-${i}` }, "x".repeat(i < 3 ? 5000 : 10));
    const { message } = failures.toFailure();
    expect(message.length).toBeLessThanOrEqual(1000);
    expect(message).toContain(`http://proxy-2: ${"x".repeat(200)}; http://proxy-3: `);
    const named = message.match(/http:/g)?.length ?? 0;
    expect(message).toEndWith(`; and ${5000 - named} more`);
  });

  test("names no endpoint after a gap", () => {
    const failures = new ProxyFailures("main");
    failures.add({ url: `http://${"a".repeat(1000)}` }, "long");
    failures.add({ url: "http://b" }, "short");
    expect(failures.toFailure().message).toEndWith("failed; and 2 more");
  });

  test("has no control characters of a proxy", () => {
    const failures = new ProxyFailures("main");
    failures.add({ url: "http://a" }, "\u001b[31m500\r\n\tbad\u0000 \u202e\u2028");
    expect(failures.toFailure().message).toEndWith(": http://a: [31m500 bad");
  });
});
