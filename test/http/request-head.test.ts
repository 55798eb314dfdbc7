import { describe, expect, test } from "bun:test";
import { originForm, requestHead } from "../../src/http/message/request-head.ts";

describe("the head of a request", () => {
  test("has the request line, Host, and the fields in their order", () => {
    const head = requestHead("GET", "/a?b", "host.test:8080", { "X-B": "2", "X-A": "1", accept: "*/*" });
    expect(head).toBe("GET /a?b HTTP/1.1\r\nHost: host.test:8080\r\nX-B: 2\r\nX-A: 1\r\naccept: */*\r\n\r\n");
  });

  test("needs no fields", () => {
    expect(requestHead("DELETE", "/", "h", {})).toBe("DELETE / HTTP/1.1\r\nHost: h\r\n\r\n");
  });

  test("takes the absolute form as it is", () => {
    const head = requestHead("GET", "http://[::1]:80/a", "h", {});
    expect(head).toStartWith("GET http://[::1]:80/a HTTP/1.1\r\nHost: h\r\n");
  });

  test("may have empty values, tabs and all bytes of Latin-1 from 80 on", () => {
    const high = String.fromCharCode(...Array.from({ length: 128 }, (_, i) => 128 + i));
    const head = requestHead("GET", "/", "h", { "X-A": "", "X-B": "a\tb", "X-C": high });
    expect(head).toBe(`GET / HTTP/1.1\r\nHost: h\r\nX-A: \r\nX-B: a\tb\r\nX-C: ${high}\r\n\r\n`);
    expect(Buffer.from(head, "latin1").length).toBe(head.length);
  });

  test("may have every character of a token in a name", () => {
    const name = "!#$%&'*+-.^_`|~09azAZ";
    expect(requestHead("GET", "/", "h", { [name]: "v" })).toContain(`\r\n${name}: v\r\n`);
  });

  const breaks = ["\r\nX: y", "\r\n", "\n", "\r", "\nX: y", "\rX: y", "\r\n\r\nGET / HTTP/1.1", "a\r\n b", "\r\r\n"];
  const noBytes = [
    "\0",
    "\x01",
    "\x1b",
    "\x7f",
    "\u0100",
    "\u2028",
    "\ud83d\ude00",
    "\udc00",
    "\u560a",
    "\u010d\u010a",
  ];

  test.each([...breaks, ...noBytes])("refuses %j in a value, wherever it stands", (text) => {
    for (const value of [text, `a${text}`, `${text}b`, `a${text}b`]) {
      for (const fields of [{ "X-A": value }, { "X-A": value, "X-B": "b" }, { "X-B": "b", "X-A": value }]) {
        expect(() => requestHead("GET", "/", "h", fields)).toThrow("cannot be sent");
      }
    }
  });

  test.each([...breaks, ...noBytes])("refuses %j in the host", (text) => {
    for (const host of [text, `a${text}`, `${text}b`]) {
      expect(() => requestHead("GET", "/", host, { "X-A": "a" })).toThrow("cannot be sent");
    }
  });

  test.each([...breaks, ...noBytes, "", " ", ":", "a b", "a:", "é", "a\t", "(", "a/b", '"', "[]"])(
    "refuses %j as a name",
    (name) => {
      expect(() => requestHead("GET", "/", "h", { [name]: "v" })).toThrow("a header's name cannot be sent");
    },
  );

  test.each([...breaks, ...noBytes, "", " ", "/a b", "/\t", "/é", "/ HTTP/1.1"])("refuses %j as a target", (target) => {
    expect(() => requestHead("GET", target, "h", {})).toThrow("the request target cannot be sent");
  });

  test.each(breaks)("refuses %j in the method", (text) => {
    expect(() => requestHead(`GET${text}`, "/", "h", {})).toThrow("cannot be sent");
  });

  test("does not repeat a refused value", () => {
    for (const fields of [{ "X-A": "secret\n" }, { "secret\n": "a" }]) {
      expect(() => requestHead("GET", "/", "h", fields)).not.toThrow("secret");
      expect(() => requestHead("GET", "/", "h", fields)).toThrow();
    }
  });

  test("a line that is missing does not make up for one too many", () => {
    // The lines are counted over the whole text.
    for (const fields of [{ "X-A": "a\r\nX-B: b" }, { "X-A": "\n", "X-B": "" }]) {
      expect(() => requestHead("GET", "/", "h", fields)).toThrow("cannot be sent");
    }
  });
});

describe("the origin form of a URL", () => {
  test.each([
    ["http://h", "/"],
    ["http://h/", "/"],
    ["http://h:8080", "/"],
    ["http://h?q", "/?q"],
    ["http://h/?q", "/?q"],
    ["http://h#f", "/"],
    ["http://h#f/g", "/"],
    ["http://h?q#f", "/?q"],
    ["http://h?a/b", "/?a/b"],
    ["http://h//a", "//a"],
    ["http://h//", "//"],
    ["http://h/a?", "/a?"],
    ["http://h/a?#", "/a?"],
    ["http://h/a#", "/a"],
    ["http://h/a#x?y", "/a"],
    ["http://h/a?b#c#d", "/a?b"],
    ["http://h/a?b?c", "/a?b?c"],
    ["http://h/a%2Fb%23", "/a%2Fb%23"],
    ["http://h/a b", "/a%20b"],
    ["http://h/é?é", "/%C3%A9?%C3%A9"],
    ["http://h/a/../b/./c", "/b/c"],
    ["http://h\\a", "/a"],
    ["http://user:pass@h/a", "/a"],
    ["http://u/s:p/w@h/a", "/s:p/w@h/a"],
    ["http://u%2Fs:p%2Fw@h/a", "/a"],
    ["http://u%23:p%3F@h/a?b", "/a?b"],
    ["http://@h/a", "/a"],
    ["http://[::1]/a", "/a"],
    ["http://[2001:db8::1]:8080?q", "/?q"],
    ["https://h/a?b", "/a?b"],
    ["https://h:443", "/"],
    ["HTTP:h/a", "/a"],
    ["http:////h/a", "/a"],
  ])("of %s is %s", (text, form) => {
    expect(originForm(new URL(text))).toBe(form);
    expect(() => requestHead("GET", form, "h", {})).not.toThrow();
  });

  test("is what URL says, but for a query that is empty", () => {
    for (const text of ["http://h/a?b=c&d", "https://u:p@h:1/x/y;z?q#f", "http://h/%?%", "http://h/a|b^c`{}"]) {
      const url = new URL(text);
      expect(originForm(url)).toBe(`${url.pathname}${url.search}`);
    }
  });
});
