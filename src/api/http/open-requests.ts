/** Requests that are being answered. All of them can be answered at once, where the process has to end. */
export class RequestsAtWork {
  readonly #enders = new Set<(reason: Error) => void>();

  /** What `work` comes to, or the reason why it is not waited for any more. */
  run<T>(work: T | Promise<T>): T | Promise<T> {
    if (!(work instanceof Promise)) return work;
    return new Promise<T>((resolve, reject) => {
      this.#enders.add(reject);
      work.then(resolve, reject).finally(() => this.#enders.delete(reject));
    });
  }

  /** Whatever is waited for now is rejected; what it does goes on unheard. */
  end(reason: Error): void {
    for (const end of this.#enders) end(reason);
  }
}
