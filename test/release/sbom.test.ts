import { expect, test } from "bun:test";
import { Version } from "@cyclonedx/cyclonedx-library/Spec";
import { JsonStrictValidator } from "@cyclonedx/cyclonedx-library/Validation";
import about from "../../package.json";

test("the bill of materials is valid CycloneDX, with licence and digest of the runtime and each dependency", async () => {
  const made = Bun.spawn([process.execPath, "scripts/release/sbom.ts"], { stderr: "pipe" });
  const [text, errors] = await Promise.all([made.stdout.text(), made.stderr.text(), made.exited]);
  expect(errors).toBe("");
  expect(await new JsonStrictValidator(Version.v1dot6).validate(text)).toBeNull();
  const bom = JSON.parse(text) as {
    components: { name: string; version: string; licenses: unknown[]; hashes?: unknown[] }[];
  };
  const versions = new Map(bom.components.map(({ name, version }) => [name, version]));
  for (const [name, version] of Object.entries({ ...about.dependencies, bun: Bun.version }))
    expect([name, versions.get(name)]).toEqual([name, version]);
  for (const { name, licenses, hashes } of bom.components) {
    expect([name, licenses.length, hashes?.length]).toEqual([name, 1, name === "bun" ? undefined : 1]);
  }
});
