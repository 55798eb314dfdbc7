type Environment = Readonly<Record<string, string | undefined>>;

const FTL_CORES_MIN = 4;

/** The settings that Bun reads from the environment at its start. A variable that is already set stays. */
const SETTINGS: Environment = {
  // The optimizer for hot functions saves an eighth of the main thread's CPU once it has compiled them. Before that,
  // for some 20,000 items, it takes 2 s of CPU on another thread, which is too much on two cores.
  BUN_JSC_useFTLJIT: navigator.hardwareConcurrency >= FTL_CORES_MIN ? "1" : "0",
  // On machines with 16 GiB or more the heap may grow to four times its live size before a collection. With this
  // limit a list of many hosts takes 225 MiB instead of 265, at the same speed.
  BUN_JSC_heapGrowthMaxIncrease: "1.5",
  // By default the allocator (mimalloc) returns freed memory, and holes in its pages, to the system after 10 ms. The
  // next bodies take it back with one page fault after another, which costs a fifth of the rate at 10 KiB.
  MIMALLOC_PURGE_DELAY: "1000",
  MIMALLOC_PURGE_HOLES: "0",
};
/**
 * Variables by which Bun runs foreign code, or opens a debugger to everyone who can connect. The working process has
 * none of them. Only the unit that starts it can prevent their effect before that (docs/operate/security.md).
 */
const FOREIGN_CODE = [
  "BUN_BE_BUN",
  "BUN_OPTIONS",
  "BUN_INSPECT",
  "BUN_INSPECT_CONNECT_TO",
  "BUN_INSPECT_NOTIFY",
  "BUN_INSPECT_PRELOAD",
];
/** The flags that act as a command. Before any other flag the command is `serve`. */
const ANSWERS: ReadonlySet<string> = new Set(["-h", "--help", "-V", "--version"]);

/** Whether a command line runs the service. */
export function isService([command = "serve"]: readonly string[]): boolean {
  return command === "serve" || (command.startsWith("-") && !ANSWERS.has(command));
}

/**
 * Restarts a command that moves bytes, under the same process id, with the settings that Bun reads only at its start.
 * It then does not return. Other commands continue without a restart.
 */
export function applyRuntimeSettings(args: readonly string[], env: Environment): void {
  const isAtWork = isService(args) || args[0] === "run";
  const isSet = Object.keys(SETTINGS).every((name) => env[name] !== undefined);
  const isOurs = FOREIGN_CODE.every((name) => env[name] === undefined);
  if (!isAtWork || (isSet && isOurs)) return;
  const kept = Object.fromEntries(Object.entries(env).filter(([name]) => !FOREIGN_CODE.includes(name)));
  const own = Bun.main.startsWith("/$bunfs/") ? args : [...process.execArgv, Bun.main, ...args];
  try {
    process.execve?.(process.execPath, [process.execPath, ...own], { ...SETTINGS, ...kept } as NodeJS.ProcessEnv);
  } catch {
    // Windows has no execve: the program continues without the settings, only slower.
  }
}
