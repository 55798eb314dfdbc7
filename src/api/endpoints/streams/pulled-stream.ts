import type { Clock } from "../../../std/clock.ts";

const ENCODER = new TextEncoder();
/** A client that reads nothing for this time is disconnected. */
const STUCK_MS = 60_000;

interface PulledStreamDeps {
  readonly clock: Pick<Clock, "after">;
  /** Called when the client read nothing for too long. */
  readonly onStuck: () => void;
  /** Sent to a client before it is disconnected. Absent: the body is cut off, so that it does not look complete. */
  readonly dropped?: string | undefined;
}

/**
 * A body that is made while the client reads it: a page is read only when the client has taken the one before, so that
 * unread pages take no memory.
 */
export function pulledStream(
  pages: AsyncGenerator<Uint8Array, void>,
  { clock, onStuck, dropped }: PulledStreamDeps,
): ReadableStream<Uint8Array> {
  let stuck: { cancel(): void } | undefined;
  let isCut = false;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        stuck?.cancel();
        const { done, value } = await pages.next();
        // Until the connection closes: an end would look like the end of the rows.
        if (isCut) return new Promise<void>(() => {});
        if (done === true) return controller.close();
        controller.enqueue(value);
        stuck = clock.after(STUCK_MS, () => {
          void pages.return();
          onStuck();
          isCut = dropped === undefined;
          if (dropped === undefined) return;
          controller.enqueue(ENCODER.encode(dropped));
          controller.close();
        });
      },
      cancel() {
        stuck?.cancel();
        void pages.return();
      },
    },
    { highWaterMark: 0 },
  );
}
