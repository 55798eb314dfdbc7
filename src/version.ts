import manifest from "../package.json" with { type: "json" };

/** `scripts/build.ts` replaces it with the commit of the source. */
declare const FETCHBOX_COMMIT: string;

/** The program's version from package.json, which the bundler embeds. */
export const VERSION: string = manifest.version;

/** The facts about this build. */
export const BUILD = {
  version: VERSION,
  /** Abbreviated, with `-dirty` where files differed from it; "" from source, or if the builder did not know it. */
  commit: typeof FETCHBOX_COMMIT === "string" ? FETCHBOX_COMMIT : "",
  bun: Bun.version,
  platform: `${process.platform}-${process.arch}`,
} as const;
