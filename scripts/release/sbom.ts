/**
 * Prints the software bill of materials of the executable as CycloneDX 1.6 JSON: `bun scripts/release/sbom.ts`. The
 * components are the Bun runtime and the packages of "dependencies" with all that they need, each with its version,
 * licence and the digest that bun.lock pins.
 */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { Factories } from "@cyclonedx/cyclonedx-library/Contrib/License";
import { ComponentType, HashAlgorithm } from "@cyclonedx/cyclonedx-library/Enums";
import { Bom, Component } from "@cyclonedx/cyclonedx-library/Models";
import { JsonSerializer, JSON as NormalizersOf } from "@cyclonedx/cyclonedx-library/Serialize";
import { Spec1dot6 } from "@cyclonedx/cyclonedx-library/Spec";
import spdxParse from "spdx-expression-parse";
import lock from "../../bun.lock";
import about from "../../package.json";

const ROOT = join(import.meta.dir, "../..");
const licences = new Factories.LicenseFactory((expression: string) => void spdxParse(expression));
/** By the package's key in bun.lock: `name`, or `parent/name` where the parent has a version of its own. */
const components = new Map<string, Component>();

const program = new Component(ComponentType.Application, about.name, {
  bomRef: about.name,
  version: about.version,
  purl: `pkg:generic/${about.name}@${about.version}`,
});
program.licenses.add(licences.makeFromString(about.license));
program.dependencies.add(bun().bomRef);
for (const name of Object.keys(about.dependencies)) program.dependencies.add(component(name, "", ROOT).bomRef);

const bom = new Bom();
bom.metadata.component = program;
for (const part of components.values()) bom.components.add(part);
const serializer = new JsonSerializer(new NormalizersOf.Normalize.Factory(Spec1dot6));
console.log(serializer.serialize(bom, { sortLists: true, space: 2 }));

function bun(): Component {
  const runtime = new Component(ComponentType.Platform, "bun", {
    bomRef: "bun",
    version: Bun.version,
    purl: `pkg:github/oven-sh/bun@bun-v${Bun.version}`,
  });
  runtime.licenses.add(licences.makeFromString("MIT"));
  components.set("bun", runtime);
  return runtime;
}

/** The component of a package as the package with the key `parent` in the folder `from` sees it, with all its needs. */
function component(name: string, parent: string, from: string): Component {
  const key = keyOf(name, parent);
  const known = components.get(key);
  if (known !== undefined) return known;
  const [id = "", , { dependencies = {} } = {}, digest = ""] = lock.packages[key] as LockedPackage;
  const version = id.slice(name.length + 1);
  const folder = folderOf(name, from);
  const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
  const made = new Component(ComponentType.Library, name, { bomRef: purl, version, purl });
  components.set(key, made);
  made.hashes.set(HashAlgorithm["SHA-512"], Buffer.from(digest.replace("sha512-", ""), "base64").toString("hex"));
  made.licenses.add(licences.makeFromString(licenceOf(folder)));
  for (const needed of Object.keys(dependencies)) made.dependencies.add(component(needed, key, folder).bomRef);
  return made;
}

/** Id, registry, metadata, digest. */
type LockedPackage = [string, string, { dependencies?: Record<string, string> }, string];

/** The nearest package of that name: below the parent, or above it. */
function keyOf(name: string, parent: string): string {
  const above = namesOf(parent);
  for (let depth = above.length; depth >= 0; depth--) {
    const key = [...above.slice(0, depth), name].join("/");
    if (key in lock.packages) return key;
  }
  throw new Error(`bun.lock lacks ${name}, which ${parent} needs`);
}

/** The packages in a key of bun.lock, the outermost first. */
function namesOf(key: string): string[] {
  return key.match(/(@[^/]+\/)?[^/]+/g) ?? [];
}

/** The folder where a package finds another one, as Node resolves it, in any layout of node_modules. */
function folderOf(name: string, from: string): string {
  for (let above = from; above !== dirname(above); above = dirname(above)) {
    const folder = join(above, "node_modules", name);
    if (existsSync(folder)) return realpathSync(folder);
  }
  throw new Error(`${name} is not installed; run bun install`);
}

function licenceOf(folder: string): string {
  const { license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { license?: string };
  if (license === undefined) throw new Error(`${folder} names no licence`);
  return license;
}
