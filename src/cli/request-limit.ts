/**
 * Bun lets at most 256 requests be in flight, downloads and uploads together, and a transfer that cannot get its upload
 * in stands still for ever. The limit can only be set before the process starts, so a larger one needs a new start
 * under the same process id.
 */
const LIMIT_NAME = "BUN_CONFIG_MAX_HTTP_REQUESTS";
const DEFAULT_LIMIT = 256;
const LIMIT_MAX = 65_535;
/** For probes, clean-up and small uploads beside the transfers. */
const HEADROOM = 32;

/**
 * Starts the program anew where `workers` need a higher limit than it was started with; then this does not return.
 * @throws if that cannot be done
 */
export function ensureRequestLimit(workers: number, env: Readonly<Record<string, string | undefined>>): void {
  const needed = workers * 2 + HEADROOM;
  const limit = Number(env[LIMIT_NAME]) || DEFAULT_LIMIT;
  if (limit >= needed) return;
  if (env[LIMIT_NAME] !== undefined && Number(env[LIMIT_NAME]) > 0 && limit >= LIMIT_MAX) return;
  const args = Bun.main.startsWith("/$bunfs/") ? process.argv.slice(2) : process.argv.slice(1);
  process.execve?.(process.execPath, [process.execPath, ...args], {
    ...(env as NodeJS.ProcessEnv),
    [LIMIT_NAME]: String(Math.min(needed, LIMIT_MAX)),
  });
  throw new Error(`${workers} workers need ${LIMIT_NAME}=${needed} in the environment`);
}
