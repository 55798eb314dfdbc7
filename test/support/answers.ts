/** What the service answers, as its contract has it: for tests that drive it from outside. */
export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly request_id: string;
  readonly details: readonly { readonly path: string; readonly message: string }[];
}

export interface Accepted {
  readonly job_id: string;
  readonly status: string;
  readonly manifest_key: string;
  readonly resource_count: number;
}

export interface JobSnapshot {
  readonly job_id: string;
  readonly job_type: string;
  readonly tenant: string;
  readonly status: string;
  readonly resource_total: number;
  readonly resource_completed: number;
  readonly resource_failed: number;
  readonly resource_cancelled: number;
  readonly bytes_stored: number;
  readonly manifest_key: string;
  readonly created_at: string;
  readonly completed_at: string | null;
  readonly log_count: number;
  readonly errors: readonly { readonly resource_id: string; readonly code: string; readonly attempts: number }[];
  readonly errors_truncated: boolean;
}

export interface ResourceRow {
  readonly resource_id: string;
  readonly url: string;
  readonly final_url: string | null;
  readonly state: string;
  readonly attempts: number;
  readonly http_status: number | null;
  readonly bytes: number | null;
  readonly integrity: "verified" | "unverified" | null;
  readonly sha256: string | null;
  readonly content_type: string | null;
  readonly content_encoding: string | null;
  readonly storage_key: string | null;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly history: readonly unknown[];
}

export interface LogRow {
  readonly offset: number;
  readonly timestamp: string;
  readonly level: string;
  readonly message: string;
  readonly resource_id: string | null;
  readonly trace_id: string;
}

export interface DeadLetter {
  readonly task_id: number;
  readonly job_id: string;
  readonly tenant: string;
  readonly resource_id: string;
  readonly url: string;
  readonly failure_code: string;
  readonly failure_message: string;
  readonly attempts: number;
}

export interface QueueReport {
  readonly pending: number;
  readonly running: number;
  readonly retrying: number;
  readonly paused: boolean;
  readonly oldest_pending_age_ms: number;
  readonly workers: { readonly total: number; readonly busy: number };
  readonly hosts: readonly {
    readonly host: string;
    readonly waiting: number;
    readonly running: number;
    readonly limit: number;
    readonly closed_for_ms: number;
    readonly state: string;
    readonly code: string | null;
  }[];
  readonly limited_by: { readonly cause: string; readonly reason: string; readonly standstill: boolean } | null;
  readonly stored_per_second: number;
  readonly failed_per_second: number;
  readonly seconds_left: number | null;
  readonly closed_buckets: readonly { readonly bucket: string; readonly code: string }[];
}

/** An error answer, checked for its shape. */
export async function errorOf(response: Response): Promise<ErrorBody> {
  const text = await response.text();
  const type = response.headers.get("content-type") ?? "";
  if (!type.startsWith("application/json")) throw new Error(`${response.status} is ${type}, not JSON: ${text}`);
  const body = JSON.parse(text) as ErrorBody;
  const { code, message, request_id, details, ...more } = body;
  const isShaped =
    /^[A-Z_]+$/.test(code) && message !== "" && request_id !== "" && Array.isArray(details) && details.length <= 20;
  if (!isShaped || Object.keys(more).length > 0) throw new Error(`not the shape of an error: ${text}`);
  if (request_id !== response.headers.get("x-request-id")) throw new Error("request_id differs from X-Request-Id");
  if (/\bat .*:\d+:\d+|\/\$bunfs|node_modules/.test(text)) throw new Error(`an error with a stack: ${text}`);
  return body;
}

/** The parts of a body, as they arrive. */
export async function* textsOf({ body }: Response): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  for await (const chunk of body ?? []) yield decoder.decode(chunk, { stream: true });
}
