export { counted, countText } from "../../std/counted.ts";

const STEPS = ["B", "kB", "MB", "GB", "TB"];

/** A size for people: `0 B`, `48.2 kB`, `1.3 GB`, in powers of 1000. */
export function bytesText(bytes: number): string {
  let value = bytes;
  let step = 0;
  while (value >= 999.95 && step < STEPS.length - 1) {
    value /= 1000;
    step++;
  }
  return `${step === 0 ? Math.round(value) : value.toFixed(1)} ${STEPS[step]}`;
}

/** A duration for people: `8s`, `4m05s`, `3h20m`. */
export function durationText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, "0")}s`;
  return `${Math.floor(whole / 3600)}h${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")}m`;
}
