import { BucketHealth } from "../../src/storage/bucket-health.ts";
import { FakeClock } from "./clock.ts";

/** The health of buckets, all open; readiness depends on `artifacts`. */
export function bucketHealth(clock = new FakeClock(), onOpen: () => void = () => {}): BucketHealth {
  return new BucketHealth({ clock, watched: "artifacts", onOpen });
}
