import type { OpenFile } from "./open-file.ts";

const CHUNK_BYTES = 256 * 1024;

/** The bytes of an open file, read on demand; owns the file and closes it at the end, on cancel and on failure. */
export function streamFile(
  file: OpenFile,
  signal: AbortSignal,
  failure: (error: unknown) => unknown,
): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          signal.throwIfAborted();
          const buffer = new Uint8Array(CHUNK_BYTES);
          const bytes = await file.read(buffer);
          if (bytes > 0) return controller.enqueue(buffer.subarray(0, bytes));
        } catch (error) {
          await file.close();
          throw failure(error);
        }
        await file.close();
        controller.close();
      },
      cancel: () => file.close(),
    },
    { highWaterMark: 0 },
  );
}
