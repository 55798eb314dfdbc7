import type { Transport, TransportHandler } from "../../src/http/transport/transport.ts";

/** Keeps everything that a transport tells, in order. */
export class Recorder implements TransportHandler {
  readonly chunks: Uint8Array[] = [];
  /** `data` (once for several in a row), `drained`, `closed`. */
  readonly events: string[] = [];
  readonly #end = Promise.withResolvers<Error | undefined>();
  readonly #firstData = Promise.withResolvers<void>();
  readonly #drained = Promise.withResolvers<void>();
  onData: (chunk: Uint8Array) => void = () => {};

  constructor(transport?: Transport) {
    if (transport !== undefined) transport.handler = this;
  }

  get ended(): Promise<Error | undefined> {
    return this.#end.promise;
  }

  get hasData(): Promise<void> {
    return this.#firstData.promise;
  }

  get hasDrained(): Promise<void> {
    return this.#drained.promise;
  }

  get length(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  get text(): string {
    return this.bytes.toString("latin1");
  }

  data(chunk: Uint8Array): void {
    this.chunks.push(chunk);
    if (this.events.at(-1) !== "data") this.events.push("data");
    this.#firstData.resolve();
    this.onData(chunk);
  }

  drained(): void {
    this.events.push("drained");
    this.#drained.resolve();
  }

  closed(error: Error | undefined): void {
    this.events.push("closed");
    this.#end.resolve(error);
  }
}
