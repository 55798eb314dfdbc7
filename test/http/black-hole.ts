export interface BlackHole extends Disposable {
  readonly address: string;
  readonly port: number;
  /** Takes connections from now on; resolves when the first of the silent clients connected and closed again. */
  open(): Promise<void>;
}

/**
 * A listener whose accept queue is full: the kernel drops further SYNs, as a firewall does. Spawned, because a runtime
 * that accepts nothing is not to be had within a process; python3 is. It ends with its standard input.
 */
export async function startBlackHole(address: string, port = 0): Promise<BlackHole | undefined> {
  if (Bun.which("python3") === null) return undefined;
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
