export interface LaneRequest {
  readonly lane: number;
  /** At most so many tasks of it. */
  readonly limit: number;
}
