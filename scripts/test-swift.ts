/**
 * What runs against Ceph in `bun run check` runs here against OpenStack Swift, a second server that shares no code with
 * it. `bun run test:swift` ends with `N passed, N failed, N skipped` and exits 1 if anything is wrong, or if there is
 * no server. For every night, not for every change: Swift takes minutes.
 */
import { report, runTests } from "./run-tests.ts";
import { testServer } from "./test-s3/test-server.ts";

/**
 * All that asks for a real S3 server (test/support/s3-server.ts), but for the sweep of crashes, which is about SQLite.
 */
const PATHS = [
  "test/s3",
  "test/verify/verify.test.ts",
  ...["cancel", "complete", "crash", "s3-credentials", "shutdown", "storage-check"].map(
    (name) => `test/flow/${name}.test.ts`,
  ),
];

process.exitCode = await main();

async function main(): Promise<number> {
  await using server = await testServer("swift");
  if (server.reason !== undefined) {
    console.error(`test:swift: no S3 server: ${server.reason}`);
    return 1;
  }
  return report([await runTests(PATHS, server.env)]);
}
