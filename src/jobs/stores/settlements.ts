import type { OpenUpload } from "../object-store.ts";

export interface RecordedUpload extends OpenUpload {
  readonly task: number;
  readonly claimId: number;
}
