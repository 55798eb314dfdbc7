import type { Database } from "bun:sqlite";

/** Fewer free pages are kept: they will be needed again. */
const KEPT_PAGES = 1000;
const KEPT_SHARE = 0.1;

/** Bytes of a store that hold something. */
export function usedBytes(db: Database): number {
  const { pages, free, size } = pagesOf(db);
  return (pages - free) * size;
}

/**
 * Gives free pages back to the file system, at most `limit`, where a good part of the file is free. False if there was
 * nothing to do. The file shrinks with the next checkpoint.
 */
export function giveBackPages(db: Database, limit: number): boolean {
  const { pages, free } = pagesOf(db);
  if (free <= Math.max(KEPT_PAGES, pages * KEPT_SHARE)) return false;
  // Each step of it frees a page.
  db.query(`PRAGMA incremental_vacuum(${limit})`).all();
  return pagesOf(db).free < free;
}

function pagesOf(db: Database): { pages: number; free: number; size: number } {
  const row = db
    .query<{ pages: number; free: number; size: number }, []>(
      `SELECT page_count AS pages, freelist_count AS free, page_size AS size
       FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()`,
    )
    .get();
  return row ?? { pages: 0, free: 0, size: 0 };
}
