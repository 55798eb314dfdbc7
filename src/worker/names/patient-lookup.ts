import { getServers, type RecordWithTtl, Resolver } from "node:dns";
import { codeOf, type FoundAddress, type Lookup, NOT_FOUND_CODES } from "./names.ts";

/** The time that the C library waits for a name server, less half a second: so the answer precedes our own deadline. */
const ANSWER_TIMEOUT_MS = 4500;
const TIMED_OUT = /^(?:DNS_)?E?TIMEOUT$/;

/**
 * Makes a lookup that repeats a query with a longer timeout if no answer came in time. c-ares derives its timeout from
 * a server's last answers, a second or less, and ignores the answer to a query that it has repeated. So a server that
 * answers its own names at once and others late would seem silent.
 */
export function withPatience(lookup: Lookup, patient: Lookup): Lookup {
  return async (name) => {
    try {
      return await lookup(name);
    } catch (error) {
      if (!TIMED_OUT.test(codeOf(error))) throw error;
      return patient(name);
    }
  };
}

/** Sends one query for each family to the current name servers, for the exact name: without search domains. */
export async function lookUpPatiently(name: string): Promise<readonly FoundAddress[]> {
  const resolver = new Resolver({ timeout: ANSWER_TIMEOUT_MS, tries: 1 });
  resolver.setServers(getServers());
  const families = await Promise.allSettled([
    asked((done) => resolver.resolve4(name, { ttl: true }, done)),
    asked((done) => resolver.resolve6(name, { ttl: true }, done)),
  ]);
  const found = families.flatMap((family) => (family.status === "fulfilled" ? family.value : []));
  const failed = families.find((family) => family.status === "rejected");
  if (found.length > 0 || failed === undefined) return found;
  throw failed.reason;
}

/** The answer for one family; empty if it has no record. */
function asked(
  ask: (done: (error: Error | null, records: RecordWithTtl[]) => void) => void,
): Promise<readonly FoundAddress[]> {
  return new Promise((resolve, reject) => {
    ask((error, records) => {
      if (error === null || error === undefined) resolve(records);
      else if (NOT_FOUND_CODES.test(codeOf(error))) resolve([]);
      else reject(error);
    });
  });
}
