import { describe, expect, test } from "bun:test";
import { AttemptCookies } from "../../src/worker/download/cookies.ts";
import { FakeClock } from "../support/clock.ts";

/** The `Cookie` value for a URL after another URL has set cookies. */
async function sent(from: string, setCookie: string | readonly string[], to: string): Promise<string | undefined> {
  const cookies = new AttemptCookies(new FakeClock());
  await cookies.note(new URL(from), [setCookie].flat());
  return cookies.headerFor(new URL(to));
}

describe("a cookie goes", () => {
  test.each([
    ["http://a.test/x", "s=1", "http://a.test/y"],
    ["http://127.0.0.1:8080/x", "s=1; Path=/", "http://127.0.0.1:8080/paper.pdf"],
    ["http://127.0.0.1/", "s=1; Domain=127.0.0.1", "http://127.0.0.1/"],
    ["http://[::1]:8080/", "s=1; Path=/", "http://[::1]:8080/x"],
    ["http://localhost/", "s=1; Path=/", "http://localhost/"],
    ["http://intranet/", "s=1; Path=/", "http://intranet/"],
    ["http://www.journal.test/", "s=1; Domain=journal.test; Path=/", "http://pdf.journal.test/"],
    ["http://www.journal.test/", "s=1; Domain=.journal.test", "http://journal.test/"],
    ["https://a.example.co.uk/", "s=1; Domain=example.co.uk", "https://b.example.co.uk/"],
    ["https://a.github.io/", "s=1", "https://a.github.io/"],
    ["https://a.test/", "s=1; Secure", "https://a.test/"],
    ["https://a.test/", "s=1", "http://a.test/"],
    ["http://a.test:8080/", "s=1", "http://a.test:9090/"],
    ["http://a.test/dir/x", "s=1", "http://a.test/dir/y"],
    ["http://a.test/", "s=1; Path=/dir", "http://a.test/dir/y"],
    ["http://a.test/", "s=1; Max-Age=60", "http://a.test/"],
    ["http://a.test/", "s=1; Max-Age=99999999999999999999", "http://a.test/"],
    ["http://a.test/", "s=1; HttpOnly; SameSite=Strict", "http://a.test/"],
    ["http://a.test/", "s=1; Expires=soon; Max-Age=later", "http://a.test/"],
  ])("from %s as %s to %s", async (from, setCookie, to) => {
    expect(await sent(from, setCookie, to)).toBe("s=1");
  });

  test.each([
    ["https://a.test/", "__Host-s=1; Secure; Path=/", "https://a.test/"],
    ["https://a.test/", "__Secure-s=1; Secure", "https://a.test/x"],
  ])("from %s as %s to %s, by its prefix", async (from, setCookie, to) => {
    expect(await sent(from, setCookie, to)).toBe(setCookie.split(";")[0]);
  });
});

describe("a cookie does not go", () => {
  test.each([
    ["http://a.test/", "s=1", "http://b.test/", "to another host"],
    ["http://a.test/", "s=1", "http://x.a.test/", "to a host below its own"],
    ["http://a.test/", "s=1; Domain=b.test", "http://b.test/", "to a host that did not set it"],
    ["http://a.test/", "s=1; Domain=x.a.test", "http://x.a.test/", "from a host above"],
    ["https://a.co.uk/", "s=1; Domain=co.uk", "https://b.co.uk/", "to a public suffix"],
    ["https://a.github.io/", "s=1; Domain=github.io", "https://b.github.io/", "to a private public suffix"],
    ["https://a.com/", "s=1; Domain=com", "https://a.com/", "to a top-level domain"],
    ["http://a.test/", "s=1; Domain=test", "http://a.test/", "to a special top-level domain"],
    ["http://127.0.0.1/", "s=1; Domain=0.0.1", "http://127.0.0.1/", "to a part of an address"],
    ["https://a.test/", "s=1; Secure", "http://a.test/", "without TLS"],
    ["http://a.test/", "s=1; Secure", "https://a.test/", "if it was set without TLS"],
    ["http://127.0.0.1/", "s=1; Secure", "http://127.0.0.1/", "without TLS to a loopback address either"],
    ["http://a.test/", "s=1; Path=/dir", "http://a.test/directory", "to another path"],
    ["http://a.test/", "s=1; Max-Age=0", "http://a.test/", "once it is deleted"],
    ["http://a.test/", "s=1; Max-Age=-5", "http://a.test/", "with a negative age"],
    ["http://a.test/", "s=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://a.test/", "once it has expired"],
    ["https://a.test/", "__Host-s=1; Secure; Path=/; Domain=a.test", "https://a.test/", "as __Host- with a domain"],
    ["https://a.test/", "__Host-s=1; Path=/", "https://a.test/", "as __Host- without Secure"],
    ["https://a.test/x/", "__Host-s=1; Secure; Path=/x", "https://a.test/x/", "as __Host- with a path"],
    ["https://a.test/", "__Secure-s=1", "https://a.test/", "as __Secure- without Secure"],
  ])("from %s as %s to %s: %s", async (from, setCookie, to) => {
    expect(await sent(from, setCookie, to)).toBeUndefined();
  });
});

test.each(["", ";", "=", "=x", "novalue", "; Path=/", "a\u0000b=1", "s=\u0001", "a=1; Domain=\u00ff\u00fe.test"])(
  "a malformed cookie %j is ignored, and the next one is kept",
  async (value) => {
    expect(await sent("http://a.test/", [value, "ok=1"], "http://a.test/")).toBe("ok=1");
  },
);

test("bytes of a value come back as they are", async () => {
  expect(await sent("http://a.test/", 's="a b,\u00fc\u00ff="', "http://a.test/")).toBe('s="a b,\u00fc\u00ff="');
});

test("a later value takes the place of an earlier one, and the longest path comes first", async () => {
  const values = ["a=1", "a=2", "b=1; Path=/", "a=3; Path=/dir", "__proto__=x", "constructor=y"];
  expect(await sent("http://a.test/", values, "http://a.test/dir/")).toBe("a=3; a=2; b=1; __proto__=x; constructor=y");
});

test("a cookie expires by the clock, and its use does not prolong it", async () => {
  const clock = new FakeClock();
  const cookies = new AttemptCookies(clock);
  const url = new URL("http://a.test/");
  await cookies.note(url, ["s=1; Max-Age=10", "t=1; Expires=Mon, 23 Nov 2026 12:00:20 GMT"]);
  clock.tick(9999);
  expect(cookies.headerFor(url)).toBe("s=1; t=1");
  clock.tick(1);
  expect(cookies.headerFor(url)).toBe("t=1");
  clock.tick(10_000);
  expect(cookies.headerFor(url)).toBeUndefined();
});

test("a cookie is deleted by Max-Age=0", async () => {
  expect(await sent("http://a.test/", ["s=1", "t=1", "s=; Max-Age=0"], "http://a.test/")).toBe("t=1");
});

describe("there are bounds", () => {
  test("50 cookies: the oldest makes room", async () => {
    const many = Array.from({ length: 60 }, (_, i) => `c${i}=1`);
    const names = (await sent("http://a.test/", many, "http://a.test/"))?.split("; ") ?? [];
    expect(names).toEqual(many.slice(10));
  });

  test("4 KiB for a name and its value", async () => {
    const value = (length: number) => `s=${"v".repeat(length)}`;
    expect((await sent("http://a.test/", value(4095), "http://a.test/"))?.length).toBe(4097);
    expect(await sent("http://a.test/", value(4096), "http://a.test/")).toBeUndefined();
    expect(await sent("http://a.test/", `s=1; x=${"v".repeat(8200)}`, "http://a.test/")).toBeUndefined();
  });

  test("8 KiB for the header; a smaller cookie still fits", async () => {
    const values = ["a", "b", "c"].map((name) => `${name}=${"v".repeat(4000)}`);
    const header = await sent("http://a.test/", [...values, "d=1"], "http://a.test/");
    expect(header).toBe(`${values[0]}; ${values[1]}; d=1`);
  });
});

describe("the client's own cookies", () => {
  test.each([
    ["a=1", "a=1; jar=2"],
    ["a=1; jar=own", "a=1; jar=own"],
    ["jar", "jar"],
    ["", "jar=2"],
    [undefined, "jar=2"],
  ])("%p become %p: they come first, and win over one of the same name", async (own, header) => {
    const cookies = new AttemptCookies(new FakeClock());
    await cookies.note(new URL("http://a.test/"), ["jar=2"]);
    expect(cookies.headerFor(new URL("http://a.test/"), own)).toBe(header);
  });

  test("are sent as they are where none is set", () => {
    const cookies = new AttemptCookies(new FakeClock());
    const own = ` odd ;; ${"x".repeat(9000)}`;
    expect(cookies.headerFor(new URL("http://a.test/"), own)).toBe(own);
    expect(cookies.headerFor(new URL("http://a.test/"))).toBeUndefined();
  });
});
