import type { ComponentChildren } from "preact";
import { go, hrefOf, place, setQuery } from "../frame/location.ts";

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => ComponentChildren;
  /** Right-aligned numbers. */
  readonly isNumber?: boolean;
}

/** The selected keys of a list, and the function that changes one. */
export interface Selection {
  readonly keys: ReadonlySet<string>;
  readonly toggle: (key: string) => void;
}

interface TableProps<Row> {
  /** Names the table for screen readers. */
  readonly caption: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
  /** The page of a row; Enter opens it. */
  readonly hrefOf?: (row: Row) => string;
  readonly selection?: Selection | undefined;
  /** More about a row, below it. */
  readonly detail?: (row: Row) => ComponentChildren;
}

/** A table; on a narrow screen each row is a card. */
export function Table<Row>(props: TableProps<Row>) {
  const { caption, columns, rows, keyOf, selection } = props;
  return (
    <table>
      <caption class="hidden">{caption}</caption>
      <thead>
        <tr>
          {selection !== undefined && (
            <th scope="col">
              <span class="hidden">Selected</span>
            </th>
          )}
          {columns.map(({ title, isNumber }) => (
            <th key={title} scope="col" class={isNumber ? "number" : ""}>
              {title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <TableRow key={keyOf(row)} row={row} {...props} />
        ))}
      </tbody>
    </table>
  );
}

function TableRow<Row>({ row, columns, keyOf, selection, hrefOf: href, detail }: TableProps<Row> & { row: Row }) {
  const key = keyOf(row);
  const more = detail?.(row);
  return (
    <>
      <tr data-row={key} tabIndex={-1} data-href={href?.(row)}>
        {selection !== undefined && (
          <td class="select">
            <input
              type="checkbox"
              aria-label="Select"
              checked={selection.keys.has(key)}
              onChange={() => selection.toggle(key)}
            />
          </td>
        )}
        {columns.map(({ title, cell, isNumber }) => (
          <td key={title} data-title={title} class={isNumber ? "number" : ""}>
            {cell(row)}
          </td>
        ))}
      </tr>
      {more && (
        <tr class="detail">
          <td colSpan={columns.length + (selection === undefined ? 0 : 1)}>{more}</td>
        </tr>
      )}
    </>
  );
}

/** Leads to the next page of a list, and back to its start. */
export function Pages({ next }: { readonly next: string | null }) {
  const { path, query } = place.value;
  if (next === null && query["cursor"] === undefined) return null;
  return (
    <nav class="pages" aria-label="Pages">
      <button type="button" disabled={query["cursor"] === undefined} onClick={() => setQuery({})}>
        « First page
      </button>
      <button type="button" disabled={query["cursor"] === undefined} onClick={() => history.back()}>
        ‹ Back
      </button>
      <button
        type="button"
        disabled={next === null}
        onClick={() => go(hrefOf(path, { ...query, cursor: next ?? undefined }))}
      >
        Next page ›
      </button>
    </nav>
  );
}
