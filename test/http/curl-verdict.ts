import { createServer } from "node:net";
import type { OddAnswer } from "./odd-answers.ts";

const SECONDS_MAX = 2;

/** Serves an answer on loopback and gives what curl makes of it: its exit code and the bytes of body. */
export async function curlVerdict(curl: string, { method, closes, raw }: OddAnswer): Promise<string> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    // One piece that holds the whole request: it is short, and over loopback.
    socket.once("data", () => (closes ? socket.end(raw) : socket.write(raw)));
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
  try {
    const fixed = ["-q", "--silent", "--http1.1", "--noproxy", "*", "--max-time", `${SECONDS_MAX}`];
    // With --head curl prints the head itself, which is no body.
    const target = method === "HEAD" ? ["--head", "--output", "/dev/null"] : [];
    const url = `http://127.0.0.1:${port}/`;
    const run = Bun.spawn([curl, ...fixed, ...target, "-H", "Accept-Encoding: identity", url], { stderr: "ignore" });
    const [body, code] = await Promise.all([new Response(run.stdout).bytes(), run.exited]);
    return `${code} ${body.length}`;
  } finally {
    server.close();
  }
}
