export {
  type ClientOptions,
  FetchBoxClient,
  type RequestOptions,
  type SubmitOptions,
  type SubmitUrlsOptions,
  type WaitOptions,
} from "./client.ts";
export { type ErrorDetail, FetchBoxError } from "./errors.ts";
export {
  type Accepted,
  type DeadLetter,
  type DeadLetterFilter,
  type Discarded,
  type DiscardRequest,
  type Health,
  isFinished,
  type Job,
  type JobFilter,
  type LogFilter,
  type LogRow,
  type Manifest,
  type Replayed,
  type ReplayRequest,
  type Resource,
  type ResourceFilter,
} from "./model.ts";
export type { components, paths } from "./openapi.ts";
export type { JobTemplate } from "./url-batches.ts";
