import { describe, expect, test } from "bun:test";
import { HeaderFields } from "../../src/http/message/header-fields.ts";
import { AttemptCookies } from "../../src/worker/download/cookies.ts";
import { follow, type HopResponse, type RedirectDeps } from "../../src/worker/download/redirects.ts";
import { FakeClock } from "../support/clock.ts";
import { failureOf, rejectionOf } from "../support/rejection.ts";

type Headers = Readonly<Record<string, string>>;
type Answer = readonly [status: number, ...fields: (readonly [name: string, value: string])[]];

/** A net of answers by URL; any other URL is a 200. */
class Net {
  readonly asked: string[] = [];
  readonly sent: Headers[] = [];
  discarded = 0;
  readonly #answers: Readonly<Record<string, Answer>>;

  constructor(answers: Readonly<Record<string, Answer>>) {
    this.#answers = answers;
  }

  readonly get = (url: URL, headers: Headers): Promise<HopResponse> => {
    this.asked.push(url.href);
    this.sent.push(headers);
    const [status, ...fields] = this.#answers[url.href] ?? [200];
    return Promise.resolve({ status, headers: new HeaderFields(fields), discard: () => this.discarded++ });
  };

  follow(
    start: string,
    headers: Headers = {},
    more: Partial<Pick<RedirectDeps<HopResponse>, "maxRedirects" | "allowDowngrade" | "configured">> = {},
  ) {
    const cookies = new AttemptCookies(new FakeClock());
    return follow(new URL(start), headers, {
      maxRedirects: 5,
      allowDowngrade: false,
      configured: () => ({}),
      ...more,
      cookies,
      get: this.get,
    });
  }
}

const to = (location: string, status = 302): Answer => [status, ["location", location]];
/** Text as the bytes that a server sends for it. */
const utf8 = (text: string) => Buffer.from(text).toString("latin1");

/** The URL that is asked for after an answer at http://a.test/dir/x with these locations. */
async function next(...locations: string[]): Promise<string> {
  const fields = locations.map((location) => ["location", location] as const);
  const net = new Net({ "http://a.test/dir/x": [302, ...fields] });
  await net.follow("http://a.test/dir/x");
  return net.asked[1] ?? "";
}

test.each([301, 302, 303, 307, 308])("a %d is followed, and its body is dropped", async (status) => {
  const net = new Net({ "http://a.test/": to("/x", status) });
  const { response, url } = await net.follow("http://a.test/");
  expect([response.status, url.href, net.discarded]).toEqual([200, "http://a.test/x", 1]);
});

test.each([200, 206, 300, 304, 305, 404, 503])("a %d is the answer", async (status) => {
  const net = new Net({ "http://a.test/": to("/x", status) });
  const { response } = await net.follow("http://a.test/");
  expect([response.status, net.asked.length, net.discarded]).toEqual([status, 1, 0]);
});

describe("a location", () => {
  test.each([
    ["y", "http://a.test/dir/y"],
    ["../y", "http://a.test/y"],
    ["?q", "http://a.test/dir/x?q"],
    ["/y?a=%20b#part", "http://a.test/y?a=%20b"],
    ["//b.test/y", "http://b.test/y"],
    ["http://b.test:8080", "http://b.test:8080/"],
    ["  /y\t", "http://a.test/y"],
    ["/a b", "http://a.test/a%20b"],
    ["/%", "http://a.test/%"],
    [".//y//z", "http://a.test/dir//y//z"],
    ["http://a.test//y//z?", "http://a.test//y//z?"],
    ["\\\\b.test\\y", "http://b.test/y"],
    ["http:y", "http://a.test/dir/y"],
  ])("%j leads to %s", async (location, target) => {
    expect(await next(location)).toBe(target);
  });

  test.each([
    ["UTF-8", utf8("/\u00fc?q=\u20ac#\u00e4"), "http://a.test/%C3%BC?q=%E2%82%AC"],
    ["Latin-1", "/\u00fc?q=\u00e9", "http://a.test/%FC?q=%E9"],
    ["both", `/\u00fc/${utf8("\u00fc")}`, "http://a.test/%FC/%C3%BC"],
    ["Shift JIS", "/\u0083\u007d", "http://a.test/%83%7D"],
    ["UTF-8 in the host", utf8("http://b\u00fccher.test/"), "http://xn--bcher-kva.test/"],
  ])("with bytes of %s is asked for with the same bytes", async (_, location, target) => {
    expect(await next(location)).toBe(target);
  });

  test("that is given twice is one", async () => {
    expect(await next("/y", " /y ")).toBe("http://a.test/y");
  });

  test.each([
    ["none", []],
    ["an empty one", [""]],
    ["a blank one", [" \t "]],
    ["two different ones", ["/y", "/z"]],
    ["one and an empty one", ["/y", ""]],
    ["one that is no URL", ["http://[/"]],
    ["one without a host", ["http://"]],
    ["one with bytes of Latin-1 in its host", ["http://b\u00fccher.test/"]],
  ])("is no use as %s: the redirect itself is the answer", async (_, locations) => {
    const fields = locations.map((location) => ["location", location] as const);
    const net = new Net({ "http://a.test/dir/x": [302, ...fields] });
    const { response, url } = await net.follow("http://a.test/dir/x");
    expect([response.status, url.href, net.asked.length, net.discarded]).toEqual([302, "http://a.test/dir/x", 1, 0]);
  });

  test.each(["file:///etc/passwd", "data:text/plain,x", "FTP://a/b", "javascript:1"])("%s is refused", async (url) => {
    expect((await failureOf(next(url))).code).toBe("DOWNLOAD_URL_NOT_ALLOWED");
  });
});

test("a redirect from https: to http: needs permission, and one from http: to https: does not", async () => {
  const net = new Net({ "https://a.test/": to("http://a.test/x") });
  expect((await failureOf(net.follow("https://a.test/"))).code).toBe("DOWNLOAD_URL_NOT_ALLOWED");
  expect(net.asked).toEqual(["https://a.test/"]);
  expect((await net.follow("https://a.test/", {}, { allowDowngrade: true })).url.href).toBe("http://a.test/x");
  const up = new Net({ "http://a.test/": to("https://a.test/x") });
  expect((await up.follow("http://a.test/")).url.href).toBe("https://a.test/x");
});

test("as many redirects as are allowed are followed, and not one more", async () => {
  const net = new Net({ "http://a.test/": to("/1"), "http://a.test/1": to("/2"), "http://a.test/2": to("/3") });
  expect((await net.follow("http://a.test/", {}, { maxRedirects: 3 })).url.href).toBe("http://a.test/3");
  const failure = await failureOf(net.follow("http://a.test/", {}, { maxRedirects: 2 }));
  expect(failure.code).toBe("DOWNLOAD_TOO_MANY_REDIRECTS");
  expect(net.discarded).toBe(6);
});

test("the failure of a hop is the failure of all", async () => {
  const gone = new Error("gone");
  const cookies = new AttemptCookies(new FakeClock());
  const configured = () => ({});
  const deps = { maxRedirects: 5, allowDowngrade: false, cookies, configured, get: () => Promise.reject(gone) };
  expect(follow(new URL("http://a.test/"), {}, deps)).rejects.toBe(gone);
});

describe("the headers that are sent", () => {
  const headers = {
    Accept: "*/*",
    Authorization: "Bearer token",
    cookie: "a=b",
    "X-Api-Key": "key",
    Range: "bytes=1-",
    "User-Agent": "mine",
    traceparent: "t",
  };

  test("are all of them, in their order, at the same origin", async () => {
    const net = new Net({ "http://a.test/": to("/x") });
    await net.follow("http://a.test/", headers);
    expect(net.sent.map((sent) => Object.entries(sent))).toEqual([Object.entries(headers), Object.entries(headers)]);
  });

  test.each(["http://b.test/", "http://a.test:8080/", "https://a.test/"])(
    "are harmless ones at %s, and on the way back",
    async (other) => {
      const net = new Net({ "http://a.test/": to(other), [other]: to("http://a.test/x") });
      await net.follow("http://a.test/", headers, { allowDowngrade: true });
      const harmless = ["Accept", "Range", "User-Agent", "traceparent"];
      expect(net.sent.slice(1).map((sent) => Object.keys(sent))).toEqual([harmless, harmless]);
    },
  );

  test("have the userinfo of a URL at its origin, and never elsewhere", async () => {
    const basic = (userinfo: string) => `Basic ${btoa(userinfo)}`;
    const net = new Net({
      "http://us%40er:p%@a.test/": to("/x"),
      "http://us%40er:p%@a.test/x": to("http://b.test/"),
      "http://b.test/": to("http://u:p@c.test/"),
    });
    await net.follow("http://us%40er:p%@a.test/");
    expect(net.sent.map((sent) => sent["Authorization"])).toEqual([
      basic("us@er:p%"),
      basic("us@er:p%"),
      undefined,
      basic("u:p"),
    ]);
  });

  test("have the client's own authorization rather than that of the URL", async () => {
    const net = new Net({});
    await net.follow("http://u:p@a.test/", { authorization: "Bearer x" });
    expect(net.sent[0]).toEqual({ authorization: "Bearer x" });
  });
});

describe("a cookie of a redirect", () => {
  const set = (value: string, location: string): Answer => [302, ["set-cookie", value], ["location", location]];
  const cookiesOf = (net: Net) => net.sent.map((sent) => sent["Cookie"]);

  test("goes with the next request, and to no other host", async () => {
    const net = new Net({
      "http://a.test/": [302, ["set-cookie", "s=1"], ["set-cookie", "t=2; Path=/"], ["location", "/x"]],
      "http://a.test/x": to("http://b.test/"),
      "http://b.test/": to("http://a.test/y"),
    });
    await net.follow("http://a.test/");
    expect(cookiesOf(net)).toEqual([undefined, "s=1; t=2", undefined, "s=1; t=2"]);
  });

  test("lets a site through that redirects until it comes back", async () => {
    const asked: (string | undefined)[] = [];
    const { response } = await follow<HopResponse>(
      new URL("http://127.0.0.1:8080/paper.pdf"),
      {},
      {
        maxRedirects: 5,
        allowDowngrade: false,
        cookies: new AttemptCookies(new FakeClock()),
        configured: () => ({}),
        get: ({ href }, { Cookie }) => {
          asked.push(Cookie);
          const [status, ...fields] = Cookie === "s=1" ? ([200] as const) : set("s=1; Path=/", href);
          return Promise.resolve({ status, headers: new HeaderFields(fields), discard: () => {} });
        },
      },
    );
    expect([response.status, asked]).toEqual([200, [undefined, "s=1"]]);
  });

  test("stands behind the client's own, which goes to its origin only", async () => {
    const net = new Net({
      "http://www.a.test/": set("jar=2; Domain=a.test", "/x"),
      "http://www.a.test/x": to("http://pdf.a.test/"),
    });
    await net.follow("http://www.a.test/", { Accept: "*/*", Cookie: "a=1", "X-Y": "z" });
    expect(net.sent).toEqual([
      { Accept: "*/*", Cookie: "a=1", "X-Y": "z" },
      { Accept: "*/*", Cookie: "a=1; jar=2", "X-Y": "z" },
      { Accept: "*/*", Cookie: "jar=2" },
    ]);
    expect(Object.keys(net.sent[1] ?? {})).toEqual(["Accept", "Cookie", "X-Y"]);
  });

  test("keeps the client's spelling of the header", async () => {
    const net = new Net({ "http://a.test/": set("jar=2", "/x") });
    await net.follow("http://a.test/", { cookie: "a=1" });
    expect(net.sent[1]).toEqual({ cookie: "a=1; jar=2" });
  });

  test("is there for the request that resumes the attempt", async () => {
    const cookies = new AttemptCookies(new FakeClock());
    const net = new Net({ "http://a.test/": set("s=1", "/x") });
    const deps = { maxRedirects: 5, allowDowngrade: false, cookies, configured: () => ({}), get: net.get };
    for (let i = 0; i < 2; i++) await follow(new URL("http://a.test/"), {}, deps);
    expect(cookiesOf(net)).toEqual([undefined, "s=1", "s=1", "s=1"]);
  });
});

describe("a header of the configuration", () => {
  const configured = ({ host }: URL): Headers =>
    host === "a.test" ? { Authorization: "Bearer ours", Cookie: "session=ours" } : {};

  test("goes to its host, at every hop there, and to no other", async () => {
    const net = new Net({
      "http://a.test/": to("/x"),
      "http://a.test/x": to("http://b.test/"),
      "http://b.test/": to("http://a.test/y"),
    });
    await net.follow("http://a.test/", {}, { configured });
    expect(net.sent.map(({ Authorization }) => Authorization)).toEqual([
      "Bearer ours",
      "Bearer ours",
      undefined,
      "Bearer ours",
    ]);
  });

  test("yields to the headers of the client, including a URL's userinfo", async () => {
    const net = new Net({});
    await net.follow("http://a.test/", { authorization: "Bearer mine" }, { configured });
    await net.follow("http://me:pw@a.test/", {}, { configured });
    expect(net.sent).toEqual([
      { authorization: "Bearer mine", Cookie: "session=ours" },
      { Authorization: `Basic ${btoa("me:pw")}`, Cookie: "session=ours" },
    ]);
  });

  test("that is a cookie goes along with those that redirects set", async () => {
    const net = new Net({ "http://a.test/": [302, ["set-cookie", "s=1"], ["location", "/x"]] });
    await net.follow("http://a.test/", {}, { configured });
    expect(net.sent[1]).toMatchObject({ Cookie: "session=ours; s=1" });
  });
});

test.each([
  [1, "more than 1 redirect"],
  [2, "more than 2 redirects"],
])("after %d redirects the next one is refused", async (maxRedirects, message) => {
  const net = new Net({ "http://a.test/": to("/") });
  expect(await rejectionOf(net.follow("http://a.test/", {}, { maxRedirects }))).toMatchObject({ message });
});
