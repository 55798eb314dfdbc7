/** Dead letters by their tasks, or by a filter of the list that has a pinned end. */
export type Letters = { readonly task_ids: readonly number[] } | { readonly filter: Readonly<Record<string, string>> };
