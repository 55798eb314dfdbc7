import { publicUrl } from "../../../net/public-url.ts";
import type { ActiveDownload } from "../../../worker/download/active-downloads.ts";
import { isoTime } from "../../http/iso-time.ts";
import { json } from "../../http/json-response.ts";
import { choice, integer } from "../../http/parameters.ts";
import { DOWNLOAD_EXAMPLE, type DownloadList, type DownloadRow } from "../../openapi/traffic-schemas.ts";
import { DEAD_LETTER_FILTER } from "../dead-letter-endpoints.ts";
import { type Endpoint, withQuery } from "../endpoint.ts";
import { LIST_LIMIT } from "../job-endpoints.ts";

export interface DownloadsEndpointDeps {
  /** The running downloads. */
  readonly downloads: () => readonly ActiveDownload[];
  /** The wall clock and the monotonic clock. */
  readonly clock: { readonly now: () => number; readonly monotonic: () => number };
}

const SORTS = ["slowest", "oldest", "largest"] as const;

const older = (a: ActiveDownload, b: ActiveDownload) => a.startedAt - b.startedAt;

const BY: Readonly<Record<(typeof SORTS)[number], (a: ActiveDownload, b: ActiveDownload) => number>> = {
  slowest: (a, b) => a.speed.perSecond - b.speed.perSecond || older(a, b),
  oldest: older,
  largest: (a, b) => sizeOf(b) - sizeOf(a) || older(a, b),
};

/** `GET /operators/downloads`: the running downloads. There is at most one for each worker, so it has no pages. */
export function downloadsEndpoint({ downloads, clock }: DownloadsEndpointDeps): Endpoint {
  return withQuery({
    method: "GET",
    path: "/operators/downloads",
    access: "read",
    doc: {
      tag: "Queue",
      summary: "List running downloads",
      description: "Lists the downloads that run now, with their stage, address and speed.",
      answers: {
        200: {
          description: "The running downloads.",
          schema: "DownloadList",
          example: { total: 1, downloads: [DOWNLOAD_EXAMPLE] },
        },
      },
    },
    query: {
      host: { ...DEAD_LETTER_FILTER.host, description: "Only downloads from this host, with its port as in `host`." },
      job_id: { ...DEAD_LETTER_FILTER.job_id, description: "Only downloads of this job." },
      sort: choice(SORTS, "The order: `slowest` first (the default), `oldest` first, or `largest` body first."),
      limit: integer(LIST_LIMIT, "Maximum number of downloads in the answer."),
    },
    answer: (_call, { host, job_id, sort = "slowest", limit }) => {
      const matching = downloads().filter(
        ({ claimed }) =>
          (host === undefined || claimed.host === host.toLowerCase()) &&
          (job_id === undefined || claimed.job.jobId === job_id.toLowerCase()),
      );
      const startOfMonotonic = clock.now() - clock.monotonic();
      const shown = matching.toSorted(BY[sort]).slice(0, limit);
      const body: DownloadList = {
        total: matching.length,
        downloads: shown.map((download) => rowOf(download, startOfMonotonic)),
      };
      return json(body);
    },
  });
}

/** The size of the body, or the bytes so far while it is unknown. */
function sizeOf({ bytesTotal, trace }: ActiveDownload): number {
  return Math.max(bytesTotal, trace.bytes);
}

function rowOf(
  { claimed, trace, startedAt, bytesTotal, speed }: ActiveDownload,
  startOfMonotonic: number,
): DownloadRow {
  const { job, task } = claimed;
  return {
    task_id: claimed.id,
    job_id: job.jobId,
    job_type: job.jobType,
    tenant: job.tenant,
    resource_id: task.resourceId,
    url: publicUrl(task.url),
    host: claimed.host,
    address: trace.address,
    proxy: trace.proxy === "" ? null : publicUrl(trace.proxy),
    attempt: claimed.attempts + 1,
    stage: trace.stage,
    http_status: trace.httpStatus === 0 ? null : trace.httpStatus,
    started_at: isoTime(Math.round(startOfMonotonic + startedAt)),
    bytes: trace.bytes,
    bytes_total: bytesTotal === 0 ? null : bytesTotal,
    bytes_per_second: Math.round(speed.perSecond),
  };
}
