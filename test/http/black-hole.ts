import { readFileSync } from "node:fs";

export interface BlackHole extends Disposable {
  readonly address: string;
  readonly port: number;
  /** Takes connections from now on; resolves when the first of the silent clients connected and closed again. */
  open(): Promise<void>;
}

/** Black holes are made by python3, and seen in the kernel's tables. */
export const canBeSilent = Bun.which("python3") !== null && process.platform === "linux";

/**
 * A listener whose accept queue is full: the kernel drops further SYNs, as a firewall does. Spawned, because a runtime
 * that accepts nothing is not to be had within a process; python3 is. It ends with its standard input.
 */
export async function startBlackHole(address: string, port = 0): Promise<BlackHole> {
  const child = Bun.spawn(["python3", "-c", SCRIPT, address, String(port)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "ignore",
  });
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  return {
    address,
    port: Number(new TextDecoder().decode(value)),
    async open() {
      await child.stdin.write("open\n");
      await child.stdin.flush();
      await reader.read();
    },
    [Symbol.dispose]: () => child.kill("SIGKILL"),
  };
}

/** Connects to a port that wait for an answer, by the kernel's table: state 2 is SYN_SENT. */
export function pendingConnects(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return readFileSync("/proc/net/tcp", "latin1").match(new RegExp(`:${hex} 02 `, "g"))?.length ?? 0;
}

const SCRIPT = `
import socket, sys, time
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
listener = socket.socket(family)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((sys.argv[1], int(sys.argv[2])))
listener.listen(0)
address = listener.getsockname()[:2]
held = []
for _ in range(6):
    client = socket.socket(family)
    client.setblocking(False)
    try: client.connect(address)
    except BlockingIOError: pass
    held.append(client)
    time.sleep(0.02)
print(address[1], flush=True)
if sys.stdin.readline():
    own = {client.getsockname()[1] for client in held}
    while True:
        client, peer = listener.accept()
        if peer[1] in own: continue
        try: client.recv(1)
        except ConnectionResetError: pass
        print("closed", flush=True)
`;
