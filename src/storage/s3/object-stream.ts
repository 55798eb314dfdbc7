import type { IncomingBody } from "../../http/message/incoming-body.ts";
import type { Deadline } from "./client/request-deadline.ts";

/** The bytes of an answer as they are pulled; the time runs only while S3 is asked for more. */
export function objectStream(
  body: Pick<IncomingBody, "read" | "discard">,
  clock: Deadline,
  failure: (error: unknown) => unknown,
): ReadableStream<Uint8Array> {
  clock.pause();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clock.touch();
        try {
          const chunk = await body.read();
          clock.pause();
          if (chunk !== undefined) return controller.enqueue(chunk);
        } catch (error) {
          clock.end();
          throw failure(error);
        }
        clock.end();
        controller.close();
      },
      cancel() {
        clock.end();
        body.discard();
      },
    },
    { highWaterMark: 0 },
  );
}
