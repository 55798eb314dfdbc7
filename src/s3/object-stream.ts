import type { Deadline } from "./deadline.ts";

/** The bytes of an answer as they are pulled; the time runs only while S3 is asked for more. */
export function objectStream(
  body: ReadableStream<Uint8Array>,
  clock: Deadline,
  failure: (error: unknown) => unknown,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  clock.pause();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clock.touch();
        try {
          const { done, value } = await reader.read();
          clock.pause();
          if (!done) return controller.enqueue(value);
        } catch (error) {
          clock.end();
          throw failure(error);
        }
        clock.end();
        controller.close();
      },
      async cancel(reason) {
        clock.end();
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}
