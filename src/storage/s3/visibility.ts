import { S3Failure } from "./client/s3-failure.ts";

/**
 * Runs the requests that make an object visible, and says before each one that it may be stored from now on. That is
 * taken back only where S3 refused every one of them: a request without a clear answer may still take effect.
 */
export type Visibly = <T>(request: () => Promise<T>) => Promise<T>;

export function createVisibly(onBegin: ((mayStore: boolean) => void) | undefined): Visibly {
  let isOpen = false;
  return async (request) => {
    onBegin?.(true);
    try {
      const answer = await request();
      isOpen = true; // whatever comes to light of the copy
      return answer;
    } catch (error) {
      if (error instanceof S3Failure && !error.isUncertain) onBegin?.(isOpen);
      else isOpen = true;
      throw error;
    }
  };
}
