import type { ConsoleFile } from "./console-bundle.ts";

/** True in the executable, which has the bundle; the build defines it. */
declare const FETCHBOX_HAS_CONSOLE: boolean | undefined;

/** The console's files: embedded in the executable; from source they are bundled now. */
export async function consoleFiles(): Promise<ConsoleFile[]> {
  if (typeof FETCHBOX_HAS_CONSOLE === "undefined") return (await import("./console-bundle.ts")).bundleConsole();
  const { default: text } = await import("../../../dist/console.bundle", { with: { type: "text" } });
  return JSON.parse(text) as ConsoleFile[];
}
