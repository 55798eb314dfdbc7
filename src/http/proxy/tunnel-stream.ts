import type { SocketTransport } from "../transport/socket-transport.ts";
import type { TransportHandler } from "../transport/transport.ts";
import { ProxyError } from "./proxy-error.ts";

/**
 * The bytes that a proxy sends before the tunnel is open: as many as a caller asks for, however they arrive. Bytes that
 * no caller took go back to the transport with `release`.
 */
export class TunnelStream implements TransportHandler {
  readonly #transport: SocketTransport;
  #bytes = new Uint8Array();
  #end: { readonly error: Error | undefined } | undefined;
  #wake: (() => void) | undefined;

  constructor(transport: SocketTransport) {
    this.#transport = transport;
    transport.handler = this;
  }

  /** Writes a request, which is small enough that the transport's buffer needs no limit. */
  write(bytes: Uint8Array): void {
    this.#transport.write(bytes);
  }

  /** Exactly `length` bytes. Rejects with a ProxyError if the stream ends first. */
  async take(length: number): Promise<Uint8Array> {
    await this.#until(() => this.#bytes.length >= length);
    return this.#cut(length);
  }

  /** All bytes up to the end of `mark`; `undefined` if the mark does not end within `lengthMax` bytes. */
  async takeThrough(mark: string, lengthMax: number): Promise<Uint8Array | undefined> {
    const find = () => Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length).indexOf(mark);
    await this.#until(() => find() >= 0 || this.#bytes.length >= lengthMax);
    const at = find();
    return at < 0 || at + mark.length > lengthMax ? undefined : this.#cut(at + mark.length);
  }

  /** Releases the transport; bytes that no caller took reach its next handler. */
  release(): void {
    this.#transport.detach(this.#bytes);
    this.#bytes = new Uint8Array();
  }

  data(chunk: Uint8Array): void {
    this.#bytes = this.#bytes.length === 0 ? new Uint8Array(chunk) : Buffer.concat([this.#bytes, chunk]);
    this.#wake?.();
  }

  drained(): void {}

  closed(error: Error | undefined): void {
    this.#end = { error };
    this.#wake?.();
  }

  async #until(isEnough: () => boolean): Promise<void> {
    while (!isEnough()) {
      if (this.#end !== undefined) throw endedBefore(this.#end.error);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #cut(length: number): Uint8Array {
    const taken = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    return taken;
  }
}

function endedBefore(error: Error | undefined): ProxyError {
  if (error === undefined) return new ProxyError("the proxy closed the connection before the tunnel was open");
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  const words = `the connection to the proxy broke before the tunnel was open (${code ?? error.message})`;
  return new ProxyError(words, { code, cause: error });
}
