import manifest from "../package.json" with { type: "json" };

/** The program's version from package.json, which the bundler embeds. */
export const VERSION: string = manifest.version;
