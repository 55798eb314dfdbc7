/** Writes the types of the TypeScript client from the OpenAPI document of the executable: `bun scripts/client-types.ts`. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startService } from "../test/support/service.ts";

const CLIENT = join(import.meta.dir, "../clients/typescript");

/** The committed file. */
export const CLIENT_TYPES = join(CLIENT, "src/openapi.ts");

/** The types of an OpenAPI document. */
export async function clientTypesOf(document: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "fetchbox-types-"));
  try {
    const [from, to] = [join(folder, "openapi.json"), join(folder, "openapi.ts")];
    await Bun.write(from, document);
    const generator = join(CLIENT, "node_modules/openapi-typescript/bin/cli.js");
    // A property with a default may be left out of a request.
    const flags = ["--default-non-nullable=false", "--output", to];
    const run = Bun.spawn([process.execPath, generator, from, ...flags], { stdout: "pipe", stderr: "pipe" });
    const [code, complaint] = await Promise.all([run.exited, run.stderr.text(), run.stdout.text()]);
    if (code !== 0) throw new Error(`openapi-typescript failed:\n${complaint}`);
    return await Bun.file(to).text();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  await using service = await startService();
  const document = await (await service.fetch("/swagger/json")).text();
  await Bun.write(CLIENT_TYPES, await clientTypesOf(document));
}
