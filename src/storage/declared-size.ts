import { Failure } from "../jobs/failure.ts";
import { numbered } from "../std/counted.ts";

/** Counts the bytes of an upload against the size that was declared for it. */
export interface DeclaredSize {
  /** Throws `DOWNLOAD_SIZE_MISMATCH` as soon as there are too many. */
  add(bytes: number): void;
  /** Returns the number of bytes. Throws `DOWNLOAD_SIZE_MISMATCH` where there are too few. */
  total(): number;
}

/** `size` in bytes; without it, any number of bytes is right. */
export function declaredSize(size: number | undefined): DeclaredSize {
  let seen = 0;
  return {
    add(bytes) {
      seen += bytes;
      if (size !== undefined && seen > size) throw mismatch(`more than the ${numbered(size, "byte")}`);
    },
    total() {
      if (size !== undefined && seen !== size) throw mismatch(`${seen} instead of the ${numbered(size, "byte")}`);
      return seen;
    },
  };
}

function mismatch(found: string): Failure {
  return new Failure("DOWNLOAD_SIZE_MISMATCH", `the body has ${found} that were declared`);
}
