import type { ObjectStore } from "../../jobs/object-store.ts";
import type { LedgerReads } from "../../jobs/stores/ledger-reads.ts";
import { visibleText } from "../../std/visible-text.ts";
import { ApiError } from "../http/errors.ts";
import type { Endpoint } from "./endpoint.ts";
import { jobOf } from "./job-endpoints.ts";

/** `GET /operators/jobs/{job_id}/manifest` */
export function manifestEndpoint(ledger: LedgerReads, store: Pick<ObjectStore, "read" | "refOf">): Endpoint {
  return {
    method: "GET",
    path: "/operators/jobs/:job_id/manifest",
    // It has headers of the requests, which no other answer shows.
    access: "read",
    doc: {
      tag: "Jobs",
      summary: "Read the manifest of a job",
      description:
        "Reads the manifest from the storage. The values of some headers are `***`, as in the stored object.",
      answers: {
        200: {
          description: "The stored manifest.",
          schema: "StoredManifest",
          example: {
            manifest_version: "v1",
            resources: [{ id: "cover.jpg", url: "https://cdn.example.com/image.jpg" }],
          },
        },
      },
      errors: ["JOB_NOT_FOUND", "NOT_FOUND", "STORAGE_UNAVAILABLE"],
    },
    answer: async ({ params, request }) => {
      const { manifestUrl } = await jobOf(ledger, params);
      const ref = store.refOf(manifestUrl);
      const body = ref && (await store.read(ref, request.signal).catch(unavailable));
      if (body === undefined) {
        throw new ApiError("NOT_FOUND", { message: "the storage no longer has the manifest of this job" });
      }
      return new Response(await manifestText(body), { headers: { "content-type": "application/json" } });
    },
  };
}

/**
 * The text of the manifest as it is stored, with all digits of its numbers, but without characters that control a
 * terminal: in JSON they can only stand in strings.
 * @throws ApiError STORAGE_UNAVAILABLE if the object is no JSON any more
 */
async function manifestText(body: ReadableStream<Uint8Array>): Promise<string> {
  const text = await new Response(body).text();
  try {
    JSON.parse(text);
    return visibleText(text);
  } catch (cause) {
    const message =
      "the storage has another object in place of the manifest; fetchbox verify --deep checks all objects";
    throw new ApiError("STORAGE_UNAVAILABLE", { message, cause });
  }
}

function unavailable(cause: Error): never {
  const message = `the storage did not return the manifest: ${cause.message}; try again later`;
  throw new ApiError("STORAGE_UNAVAILABLE", { message, cause });
}
