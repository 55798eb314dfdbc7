import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createSocket, type Socket } from "node:dgram";
import { getServers, setServers } from "node:dns";
import { lookUpPatiently, withPatience } from "../../src/worker/names/patient-lookup.ts";
import { rejectionOf } from "../support/rejection.ts";

const FOUND = [{ address: "127.0.0.1", ttl: 60 }];
const failing = (code: string) => () => Promise.reject(Object.assign(new Error(code), { code }));

describe("a lookup with patience", () => {
  test.each(["DNS_ETIMEOUT", "ETIMEOUT"])("asks once more where no answer came in time (%s)", async (code) => {
    expect(await withPatience(failing(code), () => Promise.resolve(FOUND))("a.test")).toEqual(FOUND);
    const late = withPatience(failing(code), failing("EREFUSED"));
    expect(await rejectionOf(late("a.test"))).toMatchObject({ code: "EREFUSED" });
  });

  test.each(["DNS_ENOTFOUND", "DNS_ESERVFAIL"])("believes every other answer (%s)", async (code) => {
    const lookup = withPatience(failing(code), () => Promise.resolve(FOUND));
    expect(await rejectionOf(lookup("a.test"))).toMatchObject({ code });
  });
});

describe("a patient lookup", () => {
  const A = 1;
  const AAAA = 28;
  const before = getServers();
  let server: Socket;
  const asked: number[] = [];

  beforeAll(async () => {
    server = createSocket("udp4");
    server.on("message", (query, from) => {
      const [name, type] = questionOf(query);
      asked.push(type);
      server.send(answerTo(query, recordFor(name, type)), from.port, from.address);
    });
    await new Promise<void>((resolve) => server.bind(0, "127.0.0.1", resolve));
    setServers([`127.0.0.1:${server.address().port}`]);
  });

  afterAll(() => {
    setServers(before);
    server.close();
  });

  /** The first label lists the families with an address. */
  function recordFor(name: string, type: number): Buffer | undefined {
    if (name.startsWith("both") || name.startsWith(type === A ? "four" : "six")) {
      return type === A ? Buffer.from([127, 0, 0, 7]) : Buffer.from(`${"00".repeat(15)}01`, "hex");
    }
    return undefined;
  }

  test("asks for both families, once each", async () => {
    expect((await lookUpPatiently("both.test")).map(({ address }) => address)).toEqual(["127.0.0.7", "::1"]);
    expect(asked.splice(0).toSorted((a, b) => a - b)).toEqual([A, AAAA]);
    expect(await lookUpPatiently("four.test")).toEqual([{ address: "127.0.0.7", ttl: 60 }]);
    expect(await lookUpPatiently("six.test")).toEqual([{ address: "::1", ttl: 60 }]);
  });

  test("finds no address where there is no record", async () => {
    expect(await lookUpPatiently("none.test")).toEqual([]);
  });
});

/** The name and the type of a query (RFC 1035, 4.1.2). */
function questionOf(query: Buffer): [name: string, type: number] {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return [labels.join("."), query.readUInt16BE(at + 1)];
}

/** An answer with one record, or with no record. */
function answerTo(query: Buffer, data: Buffer | undefined): Buffer {
  const [name, type] = questionOf(query);
  const question = query.subarray(12, 12 + name.length + 2 + 4);
  const head = Buffer.alloc(12);
  head.writeUInt16BE(query.readUInt16BE(0), 0);
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(data === undefined ? 0 : 1, 6);
  if (data === undefined) return Buffer.concat([head, question]);
  return Buffer.concat([head, question, Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, data.length]), data]);
}
