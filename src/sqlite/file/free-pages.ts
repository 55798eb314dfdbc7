import type { Database } from "bun:sqlite";

/** Free pages that a store keeps for new rows. */
const KEPT_PAGES = 1000;
const KEPT_SHARE = 0.1;

/** The bytes of a store in used pages. */
export function usedBytes(db: Database): number {
  const { pages, free, size } = pagesOf(db);
  return (pages - free) * size;
}

/**
 * Returns up to `limit` free pages to the file system if a good part of the file is free. False if there are too few of
 * them. The file shrinks with the next checkpoint.
 */
export function giveBackPages(db: Database, limit: number): boolean {
  const { pages, free } = pagesOf(db);
  if (free <= Math.max(KEPT_PAGES, pages * KEPT_SHARE)) return false;
  // Each step of the statement frees a page.
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
