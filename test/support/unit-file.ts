import { readFileSync } from "node:fs";
import { join } from "node:path";

export const UNITS = join(import.meta.dir, "../../deploy/systemd");

/** The values of a setting in a unit of deploy/systemd, in their order. */
export function settingOf(unit: string, name: string): string[] {
  const lines = readFileSync(join(UNITS, unit), "utf8").split("\n");
  return lines.filter((line) => line.startsWith(`${name}=`)).map((line) => line.slice(name.length + 1));
}

/** The only value of a setting. @throws if the unit has none, or several */
export function onlySettingOf(unit: string, name: string): string {
  const values = settingOf(unit, name);
  if (values.length !== 1) throw new Error(`${unit} has ${values.length} values of ${name}=`);
  return values[0] ?? "";
}
