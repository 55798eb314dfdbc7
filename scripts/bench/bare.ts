/**
 * The ceilings: fetch → S3Client in so many lanes, with no state (`bare`), or behind one SQLite table with
 * synchronous=FULL, claims of 64 and settlements gathered for 2 ms (`durable`). No hash, no API, no ledger.
 */
import { Database } from "bun:sqlite";
import { join } from "node:path";
import { S3Client } from "bun";

const [kind = "bare", s3 = "", prefix = "", count = "0", lanes = "1", folder = "."] = process.argv.slice(2);
const client = new S3Client({
  endpoint: s3,
  bucket: "bench",
  accessKeyId: "a",
  secretAccessKey: "b",
  region: "us-east-1",
});

async function move(id: string, url: string): Promise<void> {
  const response = await fetch(url);
  if (response.status !== 200) throw new Error(`${url} answered ${response.status}`);
  await client.write(id, response);
}

async function bare(): Promise<void> {
  let next = 0;
  const lane = async () => {
    for (let at = next++; at < Number(count); at = next++) await move(`i${at}`, `${prefix}${at}`);
  };
  await Promise.all(Array.from({ length: Number(lanes) }, lane));
}

interface Row {
  readonly n: number;
  readonly id: string;
  readonly url: string;
}

async function durable(): Promise<void> {
  const db = new Database(join(folder, "bare.db"), { create: true, strict: true });
  db.run("PRAGMA journal_mode = WAL");
  db.run("PRAGMA synchronous = FULL");
  db.run("CREATE TABLE job (n INTEGER PRIMARY KEY, id TEXT UNIQUE, url TEXT, state INTEGER DEFAULT 0)");
  db.run("CREATE INDEX ready ON job (n) WHERE state = 0");
  const insert = db.prepare("INSERT INTO job (id, url) VALUES (?, ?)");
  db.transaction(() => {
    for (let at = 0; at < Number(count); at++) insert.run(`i${at}`, `${prefix}${at}`);
  })();
  const claim = db.prepare<Row, []>(
    "UPDATE job SET state = 1 WHERE n IN (SELECT n FROM job WHERE state = 0 ORDER BY n LIMIT 64) RETURNING n, id, url",
  );
  const settle = db.prepare("UPDATE job SET state = 2 WHERE n = ?");
  let claimed: Row[] = [];
  let settled: number[] = [];
  let timer: Timer | undefined;
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    const rows = settled;
    settled = [];
    db.transaction(() => {
      for (const n of rows) settle.run(n);
    })();
  };
  const lane = async () => {
    for (;;) {
      if (claimed.length === 0) claimed = claim.all();
      const row = claimed.shift();
      if (row === undefined) return;
      await move(row.id, row.url);
      settled.push(row.n);
      if (settled.length >= 64) flush();
      else timer ??= setTimeout(flush, 2);
    }
  };
  await Promise.all(Array.from({ length: Number(lanes) }, lane));
  flush();
}

await (kind === "durable" ? durable() : bare());
process.exit(0);
