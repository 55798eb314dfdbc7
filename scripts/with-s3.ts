/**
 * Runs a command with an S3 server to test against, as FETCHBOX_TEST_S3_… tell it:
 * `bun scripts/with-s3.ts bun test ./test/flow/`. Ends with the command's exit code.
 */
import { testServer } from "./test-s3/test-server.ts";

process.exitCode = await main(process.argv.slice(2));

async function main(command: readonly string[]): Promise<number> {
  if (command.length === 0) {
    console.error("with-s3: name the command to run");
    return 2;
  }
  await using server = await testServer();
  if (server.reason !== undefined) console.error(`with-s3: no S3 server: ${server.reason}`);
  const run = Bun.spawn([...command], {
    env: { ...process.env, ...server.env },
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
  });
  // The command gets a terminal's signal itself; what is left here is to wait for it and stop the server.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => run.kill("SIGTERM"));
  return await run.exited;
}
