import { S3Failure } from "../client/s3-failure.ts";

/**
 * Runs the requests that make an object visible, and reports before each one that the object may be stored from then
 * on. The report is taken back only where S3 refused every request: one without a clear response may still take effect.
 */
export class VisibleRequests {
  readonly #onBegin: ((mayStore: boolean) => void) | undefined;
  #mayHaveStored = false;

  constructor(onBegin: ((mayStore: boolean) => void) | undefined) {
    this.#onBegin = onBegin;
  }

  async run<T>(request: () => Promise<T>): Promise<T> {
    this.#onBegin?.(true);
    try {
      const response = await request();
      this.#mayHaveStored = true; // also where the copy proves to be corrupt later
      return response;
    } catch (error) {
      if (error instanceof S3Failure && !error.isUncertain) this.#onBegin?.(this.#mayHaveStored);
      else this.#mayHaveStored = true;
      throw error;
    }
  }
}
