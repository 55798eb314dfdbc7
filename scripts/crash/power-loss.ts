import { dlopen, FFIType } from "bun:ffi";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../../test/support/eventually.ts";
import { prepareService, type Service } from "../../test/support/service.ts";
import { LOCAL } from "../../test/support/storage.ts";
import type { Checked } from "./check.ts";
import { HARNESS_SETTINGS, Harness } from "./harness.ts";

/** _IOR('X', 125, __u32): what XFS calls GOINGDOWN and ext4 shares. */
const GOING_DOWN = 0x8004587d;
/** Neither data nor journal is flushed: what was not synced is gone. */
const NO_LOG_FLUSH = 2;
/** Sparse: what is not written takes no room. */
const IMAGE_BYTES = 8 * 1024 ** 3;

export interface PowerLossOptions {
  readonly rounds: number;
  readonly seed: number;
  readonly tell: (text: string) => void;
}

export interface PowerLossRun {
  readonly name: string;
  readonly harness: Harness;
  readonly checked: Checked;
  readonly startedAt: number;
}

export type PowerLossResult =
  | { readonly skipped: string }
  | { readonly runs: readonly PowerLossRun[]; readonly lostWithoutSync: number; readonly controlRounds: number };

const CONTROL_ROUNDS_MAX = 10;

/**
 * Takes the power away from a file system under a busy service: what was not synced is lost. What was acknowledged must
 * not be. A control without syncs must lose something, or this shows nothing.
 */
export async function powerLoss(options: PowerLossOptions): Promise<PowerLossResult> {
  const reason = unableReason();
  if (reason !== undefined) return { skipped: reason };
  const runs = [await fullRun(options)];
  let lostWithoutSync = 0;
  let controlRounds = 0;
  while (lostWithoutSync === 0 && controlRounds < CONTROL_ROUNDS_MAX) {
    controlRounds++;
    lostWithoutSync += await controlRound(options.seed + controlRounds);
    options.tell(`control round ${controlRounds}: ${lostWithoutSync} acknowledged jobs lost`);
  }
  return { runs, lostWithoutSync, controlRounds };
}

async function fullRun({ rounds, seed, tell }: PowerLossOptions): Promise<PowerLossRun> {
  const startedAt = performance.now();
  using disk = new Disk();
  const service = await serviceOn(disk, {});
  await using harness = await Harness.start({ service, storage: LOCAL, seed });
  await service.start();
  harness.startLoad();
  for (let round = 1; round <= rounds; round++) {
    for (let i = 0; i < 3; i++) await harness.moment();
    disk.losePower();
    await harness.kill();
    await disk.mountAgain();
    await service.start();
    tell(`power lost ${round} times, ${harness.record.acknowledged.length} jobs acknowledged`);
  }
  const checked = await harness.settleAndCheck();
  return { name: `power lost ${rounds} times`, harness, checked, startedAt };
}

/** How many acknowledged jobs are lost where nothing is synced. */
async function controlRound(seed: number): Promise<number> {
  using disk = new Disk();
  const service = await serviceOn(disk, { FETCHBOX_UNSAFE_SYNCHRONOUS: "OFF" });
  await using harness = await Harness.start({ service, storage: LOCAL, seed });
  await service.start();
  harness.startLoad();
  await harness.moment();
  await harness.moment();
  disk.losePower();
  await harness.kill();
  await harness.stopLoad();
  await disk.mountAgain();
  const acknowledged = harness.record.acknowledged;
  try {
    await service.start();
  } catch {
    service.takeStderr();
    return acknowledged.length; // stores that cannot even be opened
  }
  let lost = 0;
  for (const { jobId } of acknowledged) {
    const { status } = await service.fetch(`/operators/jobs/${jobId}`);
    if (status !== 200) lost++;
  }
  await service.kill();
  return lost;
}

async function serviceOn(disk: Disk, env: Readonly<{ [name: string]: string }>): Promise<Service> {
  const on = (name: string) => join(disk.path, name);
  const service = await prepareService({
    env: { ...env },
    settings: { ...LOCAL.settings, ...HARNESS_SETTINGS },
  });
  rmSync(service.folder, { recursive: true });
  mkdirSync(on("service"));
  // The same service, with all that it writes on the disk that loses its power.
  Object.assign(service, { folder: on("service") });
  return service;
}

/** Why this machine cannot do it. */
function unableReason(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0)
    return "file systems can only be mounted by root on Linux";
  if (Bun.which("mkfs.ext4") === null) return "there is no mkfs.ext4";
  try {
    using disk = new Disk();
    disk.losePower();
    return undefined;
  } catch (error) {
    return `no file system can be mounted: ${String(error)}`;
  }
}

/** A small ext4 in a file. */
class Disk implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "fetchbox-disk-"));
  readonly #image = join(this.#folder, "image");
  readonly path = join(this.#folder, "mounted");

  constructor() {
    mkdirSync(this.path);
    run("truncate", "-s", String(IMAGE_BYTES), this.#image);
    run("mkfs.ext4", "-q", "-F", this.#image);
    run("mount", "-o", "loop", this.#image, this.path);
  }

  losePower(): void {
    const file = openSync(this.path, "r");
    const libc = dlopen("libc.so.6", {
      ioctl: { args: [FFIType.i32, FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
    });
    const result = libc.symbols.ioctl(file, GOING_DOWN, new Uint32Array([NO_LOG_FLUSH]));
    libc.close();
    closeSync(file);
    if (result !== 0) throw new Error("the file system cannot be shut down");
  }

  async mountAgain(): Promise<void> {
    // The kernel may still be letting go of what the killed process had open.
    await eventually("the disk is free", () => Bun.spawnSync(["umount", this.path]).exitCode === 0 || undefined);
    run("mount", "-o", "loop", this.#image, this.path);
  }

  [Symbol.dispose](): void {
    Bun.spawnSync(["umount", "-l", this.path]);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function run(...command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString().trim()}`);
}
