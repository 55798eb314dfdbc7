import { join } from "node:path";

/** One file of the console for the browser, compressed once. */
export interface ConsoleFile {
  /** It has a digest of the content, so that browsers may keep the file for ever. */
  readonly name: string;
  readonly contentType: string;
  /** The content, gzipped, in base64. */
  readonly gzip: string;
}

const SOURCE = join(import.meta.dir, "../../console/main.tsx");

/** Bundles the console for the browser. The build embeds the result; from source it happens at the first request. */
export async function bundleConsole(): Promise<ConsoleFile[]> {
  const { outputs } = await Bun.build({
    entrypoints: [SOURCE],
    target: "browser",
    format: "esm",
    minify: true,
    naming: "console-[hash].[ext]",
    jsx: { runtime: "automatic", importSource: "preact", development: false },
  });
  return Promise.all(
    outputs.map(async (output) => ({
      name: output.path.replace(/^.*\//, ""),
      contentType: output.type,
      gzip: Buffer.from(Bun.gzipSync(await output.arrayBuffer(), { level: 9 })).toString("base64"),
    })),
  );
}
