/**
 * The origin of the load tests, a process of its own that prints its port. `/BYTES/DELAY_MS/x` answers with a body
 * after a delay. `/faulty/BYTES/x` fails one request in a hundred: 503, 404, a body cut short, or a slow one.
 */
const FAULT_EVERY = 100;
const SLOW_MS = 3000;
const BYTES = new Uint8Array(1 << 20).map((_, at) => (at * 31) & 255);
let requests = 0;

const FAULTS: readonly ((bytes: number) => Response | Promise<Response>)[] = [
  () => new Response(null, { status: 503 }),
  () => new Response(null, { status: 404 }),
  (bytes) => new Response(cutShort(bytes), { headers: { "content-length": String(bytes) } }),
  async (bytes) => {
    await Bun.sleep(SLOW_MS);
    return new Response(BYTES.slice(0, bytes));
  },
];

/** Half of the body, then an error that resets the connection. */
function cutShort(bytes: number): ReadableStream {
  return new ReadableStream({
    pull(controller) {
      controller.enqueue(BYTES.slice(0, bytes / 2));
      controller.error(new Error("cut short"));
    },
  });
}

const { port } = Bun.serve({
  port: 0,
  // Each address of 127.0.0.0/8 is a host of its own.
  hostname: "0.0.0.0",
  idleTimeout: 120,
  error: () => new Response(null, { status: 500 }),
  async fetch({ url }) {
    const { pathname } = new URL(url);
    const [, faulty, bytes, delay] = /^\/(faulty\/)?(\d+)\/(\d+)/.exec(pathname) ?? [];
    if (bytes === undefined) return new Response(null, { status: 404 });
    if (faulty !== undefined) {
      const number = requests++;
      const fault = FAULTS[(number / FAULT_EVERY) % FAULTS.length];
      return fault === undefined ? new Response(BYTES.slice(0, Number(bytes))) : fault(Number(bytes));
    }
    if (delay !== "0") await Bun.sleep(Number(delay));
    return new Response(BYTES.slice(0, Number(bytes)));
  },
});
process.stdout.write(`${port}\n`);

export {};
