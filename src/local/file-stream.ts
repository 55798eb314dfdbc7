import type { FileHandle } from "node:fs/promises";

const CHUNK_BYTES = 256 * 1024;

/** The bytes of an open file, read on demand; owns the handle and closes it at the end, on cancel and on failure. */
export function streamFile(
  handle: FileHandle,
  signal: AbortSignal,
  failure: (error: unknown) => unknown,
): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          signal.throwIfAborted();
          const { buffer, bytesRead } = await handle.read(new Uint8Array(CHUNK_BYTES), 0, CHUNK_BYTES);
          if (bytesRead > 0) return controller.enqueue(buffer.subarray(0, bytesRead));
        } catch (error) {
          await handle.close();
          throw failure(error);
        }
        await handle.close();
        controller.close();
      },
      cancel: () => handle.close(),
    },
    { highWaterMark: 0 },
  );
}
