import { Failure } from "../../jobs/failure.ts";
import type { ProxyEndpoint } from "./proxies.ts";

const MESSAGE_LENGTH_MAX = 1000;
const REASON_LENGTH_MAX = 200;
/** Room for "; and 1000000 more". */
const REST_LENGTH = 20;

/** The endpoints of a pool that failed for one request, each with its reason. */
export class ProxyFailures {
  readonly #pool: string;
  #message: string;
  #count = 0;
  #unnamed = 0;

  constructor(pool: string) {
    this.#pool = pool;
    this.#message = `every endpoint of the proxy pool ${pool} and of its fallbacks failed`;
  }

  /** The reason may be a proxy's own text, so it is cut and loses its control characters. */
  add({ url }: Pick<ProxyEndpoint, "url">, reason: string): void {
    const short = reason
      .slice(0, REASON_LENGTH_MAX)
      .replaceAll(/[\p{C}\p{Z}]+/gu, " ")
      .trim();
    const longer = `${this.#message}${this.#count === 0 ? ": " : "; "}${url}: ${short}`;
    this.#count++;
    // After the first gap no endpoint follows: the message names the first ones in their order.
    if (this.#unnamed > 0 || longer.length > MESSAGE_LENGTH_MAX - REST_LENGTH) this.#unnamed++;
    else this.#message = longer;
  }

  /** The failure of the attempt once no endpoint is left. Its message has at most 1000 characters. */
  toFailure(): Failure {
    if (this.#count === 0) return new Failure("PROXY_EXHAUSTED", `the proxy pool ${this.#pool} has no endpoint`);
    const rest = this.#unnamed === 0 ? "" : `; and ${this.#unnamed} more`;
    return new Failure("PROXY_EXHAUSTED", `${this.#message}${rest}`);
  }
}
