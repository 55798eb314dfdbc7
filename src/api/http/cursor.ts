import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { HostPosition } from "../../worker/hosts/host-directory.ts";
import type { Parameter } from "./parameters.ts";

const CursorSchema = Type.Object(
  {
    v: Type.Literal(1),
    list: Type.String(),
    at: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  },
  { additionalProperties: false },
);

/** The place in the list of hosts, whose order is by more than a number. */
const HostCursorSchema = Type.Object(
  {
    v: Type.Literal(1),
    list: Type.String(),
    index: Type.Integer({ minimum: 0, maximum: 10_000 }),
    block: Type.Union([
      Type.Object({ kind: Type.Literal("first") }, { additionalProperties: false }),
      Type.Object(
        {
          kind: Type.Literal("waiting"),
          after: Type.Object(
            {
              host: Type.String({ maxLength: 300 }),
              tasks: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
            },
            { additionalProperties: false },
          ),
        },
        { additionalProperties: false },
      ),
      Type.Object(
        { kind: Type.Literal("memory"), offset: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }) },
        { additionalProperties: false },
      ),
    ]),
  },
  { additionalProperties: false },
);

const CURSOR_CHARACTERS_MAX = 600;
const RULE = "must be the next_cursor of a page of this list";
const DESCRIPTION =
  "`next_cursor` of the previous page; absent: the first page. The filters must be the same as for that page.";

/** The cursor of a list's next page. It is opaque to clients, so that its contents may change. */
export function formatCursor(list: string, at: number): string {
  const cursor: Static<typeof CursorSchema> = { v: 1, list, at };
  return encode(cursor);
}

export function formatHostCursor(list: string, { block, index }: HostPosition): string {
  const cursor: Static<typeof HostCursorSchema> = { v: 1, list, index, block };
  return encode(cursor);
}

function encode(cursor: unknown): string {
  return Buffer.from(JSON.stringify(cursor)).toString("base64url");
}

/** The `cursor` parameter of one list. It refuses the cursor of another list. */
export function cursorParameter(list: string): Parameter<number | undefined> {
  return {
    schema: { type: "string", maxLength: CURSOR_CHARACTERS_MAX },
    description: DESCRIPTION,
    parse: (text) => (text === undefined ? undefined : parseCursor(list, text)),
  };
}

/** The same for the list of hosts. */
export function hostCursorParameter(list: string): Parameter<HostPosition | undefined> {
  return {
    schema: { type: "string", maxLength: CURSOR_CHARACTERS_MAX },
    description: DESCRIPTION,
    parse: (text) => {
      if (text === undefined) return undefined;
      const cursor = decode(text);
      if (!Value.Check(HostCursorSchema, cursor) || cursor.list !== list) throw new Error(RULE);
      return { block: cursor.block, index: cursor.index };
    },
  };
}

function parseCursor(list: string, text: string): number {
  const cursor = decode(text);
  if (!Value.Check(CursorSchema, cursor) || cursor.list !== list) throw new Error(RULE);
  return cursor.at;
}

function decode(text: string): unknown {
  if (text.length > CURSOR_CHARACTERS_MAX) return undefined;
  try {
    return JSON.parse(Buffer.from(text, "base64url").toString());
  } catch {
    return undefined;
  }
}

/** A page of at most `limit` rows. `rows` has one row more if there is a next page. */
export function pageOf<T>(rows: readonly T[], limit: number, cursorOf: (last: T) => string) {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return { page, next_cursor: rows.length > limit && last !== undefined ? cursorOf(last) : null };
}
