import { close, fsync, open, read, write } from "node:fs";
import { promisify } from "node:util";

const openAsync = promisify(open);
const closeAsync = promisify(close);
const readAsync = promisify(read);
const writeAsync = promisify(write);
const fsyncAsync = promisify(fsync);

/**
 * An open file, by its bare number. A `FileHandle` of node:fs/promises ends the process where it is
 * collected before it is closed; a reader that is dropped must not do that.
 */
export interface OpenFile {
  /** Fills the buffer from where the last read ended; returns how many bytes, 0 at the end. */
  read(buffer: Uint8Array): Promise<number>;
  /** Resolves when the kernel has the whole chunk: that is the backpressure. */
  write(chunk: Uint8Array): Promise<void>;
  /** Resolves when all that was written is on the disk. */
  sync(): Promise<void>;
  /** Idempotent. Not while another call runs: the number may be another file's by then. */
  close(): Promise<void>;
}

/** Opens a file; flags as in node:fs. Every method throws the system's error. */
export async function openFile(path: string, flags: string | number): Promise<OpenFile> {
  const fd = await openAsync(path, flags);
  let isOpen = true;

  return {
    read: async (buffer) => (await readAsync(fd, buffer, 0, buffer.byteLength, null)).bytesRead,
    async write(chunk) {
      // A single call may write less.
      for (let done = 0; done < chunk.byteLength; ) {
        done += (await writeAsync(fd, chunk, done, chunk.byteLength - done)).bytesWritten;
      }
    },
    sync: () => fsyncAsync(fd),
    async close() {
      if (!isOpen) return;
      isOpen = false;
      await closeAsync(fd);
    },
  };
}
