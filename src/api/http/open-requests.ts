/** The requests in progress. All can be answered at once if the process must end. */
export class RequestsAtWork {
  readonly #enders = new Set<(reason: Error) => void>();

  /** The result of `work`. Rejects with the reason of `end` if that is called first. */
  run<T>(work: T | Promise<T>): T | Promise<T> {
    if (!(work instanceof Promise)) return work;
    return new Promise<T>((resolve, reject) => {
      this.#enders.add(reject);
      work.then(resolve, reject).finally(() => this.#enders.delete(reject));
    });
  }

  /** Rejects every request in progress. Their work continues, and its result is ignored. */
  end(reason: Error): void {
    for (const end of this.#enders) end(reason);
  }
}
