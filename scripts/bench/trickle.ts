/**
 * A slow origin, a process of its own: `/BYTES/BYTES_PER_SECOND/anything` answers with a body of this size at this
 * rate. Each client gets its share every 100 ms, so a thousand of them cost little.
 */
const EVERY_MS = 100;
const CHUNK = new Uint8Array(1 << 20).map((_, at) => (at * 31) & 255);

interface Client {
  left: number;
  rate: number;
}

const clients = new Set<Bun.Socket<Client>>();

setInterval(() => {
  for (const socket of clients) {
    const { data } = socket;
    const sent = socket.write(CHUNK.subarray(0, Math.min(data.left, CHUNK.length, (data.rate * EVERY_MS) / 1000)));
    data.left -= Math.max(0, sent);
    if (data.left <= 0) clients.delete(socket);
  }
}, EVERY_MS);

const { port } = Bun.listen<Client>({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    open(socket) {
      socket.data = { left: 0, rate: 0 };
    },
    data(socket, request) {
      const [, bytes, rate] = /^GET \/(\d+)\/(\d+)\//.exec(request.toString("latin1")) ?? [];
      if (bytes === undefined) return void socket.end("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
      socket.data = { left: Number(bytes), rate: Number(rate) };
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${bytes}\r\n\r\n`);
      clients.add(socket);
    },
    close: (socket) => void clients.delete(socket),
    error: (socket) => void clients.delete(socket),
  },
});
process.stdout.write(`${port}\n`);

export {};
