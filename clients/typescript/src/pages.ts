import type { Transport } from "./transport.ts";

interface Page {
  readonly next_cursor: string | null;
}

type Send<P> = (request: { readonly cursor?: string; readonly signal: AbortSignal }) => Promise<{
  data?: P;
  error?: unknown;
  response: Response;
}>;

/** The rows of all pages of a list. The next page is read when the rows of the previous one are used up. */
export async function* rowsOf<P extends Page, Row>(
  transport: Transport,
  send: Send<P>,
  rows: (page: P) => readonly Row[],
  signal: AbortSignal | undefined,
): AsyncGenerator<Row, void, undefined> {
  let cursor: string | null = null;
  do {
    const from: { cursor?: string } = cursor === null ? {} : { cursor };
    const page: P = await transport.call((limit) => send({ ...from, signal: limit }), { signal });
    yield* rows(page);
    cursor = page.next_cursor;
  } while (cursor !== null);
}
