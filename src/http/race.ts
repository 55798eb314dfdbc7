import { isIPv6 } from "node:net";
import type { Clock } from "../std/clock.ts";
import { HttpError } from "./http-error.ts";
import type { Dial, DialHandler } from "./transport/dial.ts";
import { systemCode } from "./transport/tls.ts";

/** The Connection Attempt Delay of RFC 8305, section 8. */
const NEXT_ATTEMPT_MS = 250;

interface RaceOptions {
  readonly clock: Clock;
  /** In the resolver's order. */
  readonly addresses: readonly string[];
  readonly port: number;
}

type DialOne<D> = (address: string, handler: DialHandler) => D;

/**
 * Connects to the addresses of one host by TCP (RFC 8305, section 5, "Happy Eyeballs"). The next connect starts 250 ms
 * after the last, or at once when one fails. The first connection that is established wins; the others are destroyed.
 *
 *     ready ──run──▶ racing ──a dial connects──▶ won
 *     racing ──the last dial fails──▶ lost
 *     any ──stop──▶ stopped
 */
export class Race<D extends Dial> {
  readonly #options: RaceOptions;
  readonly #waiting: string[];
  readonly #dials = new Set<D>();
  /** The outcome of each address that failed: `192.0.2.1 ECONNREFUSED`. */
  readonly #failures: string[] = [];
  readonly #winner = Promise.withResolvers<D>();
  #state: "ready" | "racing" | "won" | "lost" | "stopped" = "ready";
  #timer: { cancel(): void } | undefined;

  constructor(options: RaceOptions) {
    this.#options = options;
    this.#waiting = interleaveFamilies(options.addresses);
  }

  /** Gives the winner. Rejects with an HttpError `connect` if every address failed; never settles after `stop`. */
  run(dialOne: DialOne<D>): Promise<D> {
    if (this.#waiting.length === 0) {
      this.#state = "lost";
      return Promise.reject(new HttpError("connect", "there is no address to connect to"));
    }
    this.#state = "racing";
    this.#startNext(dialOne);
    return this.#winner.promise;
  }

  /** Destroys every dial, the winner too. */
  stop(): void {
    this.#state = "stopped";
    this.#timer?.cancel();
    for (const dial of this.#dials) dial.destroy();
  }

  /** The addresses and their outcomes, for the message of a limit that passed. */
  describe(): string {
    const silent = [...this.#dials].map((dial) => `${dial.address} silent`);
    return [...this.#failures, ...silent, ...this.#waiting.map((address) => `${address} not tried`)].join(", ");
  }

  #startNext(dialOne: DialOne<D>): void {
    this.#timer?.cancel();
    if (this.#state !== "racing") return;
    const address = this.#waiting.shift();
    if (address === undefined) return;
    const dial: D = dialOne(address, {
      connected: () => this.#onConnected(dial),
      failed: (error) => this.#onFailed(dial, error, dialOne),
    });
    this.#dials.add(dial);
    if (this.#waiting.length > 0)
      this.#timer = this.#options.clock.after(NEXT_ATTEMPT_MS, () => this.#startNext(dialOne));
  }

  #onConnected(winner: D): void {
    this.#state = "won";
    this.#timer?.cancel();
    this.#waiting.length = 0;
    for (const dial of this.#dials) if (dial !== winner) dial.destroy();
    this.#winner.resolve(winner);
  }

  #onFailed(dial: D, error: Error, dialOne: DialOne<D>): void {
    this.#dials.delete(dial);
    const code = systemCode(error);
    this.#failures.push(`${dial.address} ${code ?? error.message}`);
    if (this.#waiting.length > 0) return this.#startNext(dialOne);
    if (this.#dials.size > 0) return;
    this.#state = "lost";
    const words = `no connection to port ${this.#options.port}: ${this.#failures.join(", ")}`;
    this.#winner.reject(new HttpError("connect", words, { code, phase: "connect", cause: error }));
  }
}

/**
 * The addresses with their families alternating, each family in the resolver's order (RFC 8305, section 4, with a First
 * Address Family Count of 1).
 */
export function interleaveFamilies(addresses: readonly string[]): string[] {
  const [first] = addresses;
  if (first === undefined || addresses.length === 1) return [...addresses];
  const isOfFirst = (address: string) => isIPv6(address) === isIPv6(first);
  const leading = addresses.filter(isOfFirst);
  const other = addresses.filter((address) => !isOfFirst(address));
  return leading.flatMap((address, i) => [address, ...other.slice(i, i + 1)]).concat(other.slice(leading.length));
}
