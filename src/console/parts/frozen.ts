import { useEffect, useRef, useState } from "preact/hooks";
import { isDialogOpen } from "./dialog.tsx";
import type { Selection } from "./table.tsx";

/** A selection of rows; it ends when `scope`, like the filter of the list, changes. */
export function useSelection(scope: string): Selection & { readonly clear: () => void } {
  const [keys, setKeys] = useState<ReadonlySet<string>>(new Set());
  const clear = () => setKeys(new Set<string>());
  useEffect(clear, [scope]);
  const toggle = (key: string) => setKeys((last) => last.symmetricDifference(new Set([key])));
  return { keys, toggle, clear };
}

interface Frozen<Row> {
  readonly rows: readonly Row[];
  /** Number of rows that the service has and the list does not show. */
  readonly newCount: number;
  readonly show: () => void;
}

/**
 * The rows of a list. While the operator has selected some, or a dialog is open, they stay as they are: a row must not
 * move under the pointer.
 */
export function useFrozen<Row>(
  latest: readonly Row[],
  keyOf: (row: Row) => string,
  { scope, isSelecting }: { readonly scope: string; readonly isSelecting: boolean },
): Frozen<Row> {
  const shown = useRef<{ scope: string; rows: readonly Row[] }>({ scope, rows: latest });
  const [, redraw] = useState(0);
  const isFrozen = (isSelecting || isDialogOpen.value) && shown.current.scope === scope;
  if (!isFrozen) shown.current = { scope, rows: latest };
  const known = new Set(shown.current.rows.map(keyOf));
  const show = () => {
    shown.current = { scope, rows: latest };
    redraw((last) => last + 1);
  };
  return { rows: shown.current.rows, newCount: latest.filter((row) => !known.has(keyOf(row))).length, show };
}
