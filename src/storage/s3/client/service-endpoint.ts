import { isIP } from "node:net";
import { HttpError } from "../../../http/http-error.ts";
import type { Target } from "../../../http/route.ts";
import { errorText } from "../../../std/error-text.ts";
import { encodePath } from "./sign.ts";

export interface EndpointOptions {
  /** URL of the service, `http:` or `https:`, with a path where addressing is by path; empty = AWS of the region. */
  readonly endpoint: string;
  readonly region: string;
  /** `host/bucket/key` or `bucket.host/key`. */
  readonly addressing: "path" | "virtual";
  /** The addresses of the endpoint's name, in the order to try them. */
  readonly resolve: (name: string, signal: AbortSignal) => Promise<readonly string[]>;
  /** More authorities in PEM to trust, beside the system's. */
  readonly ca?: readonly string[] | undefined;
}

/** Where the URL of a bucket or an object points. */
interface Place {
  /** The name that is resolved, and that the certificate must have. */
  readonly name: string;
  /** With the port, where it is not the scheme's. */
  readonly host: string;
  readonly path: string;
}

/** The address of one S3 service. */
export class ServiceEndpoint {
  /** Host and port, for messages. */
  readonly host: string;
  readonly #options: EndpointOptions;
  readonly #name: string;
  readonly #path: string;
  readonly #port: number;
  readonly #isTls: boolean;

  constructor(options: EndpointOptions) {
    const url = serviceUrl(options);
    this.#options = options;
    this.host = url.host;
    this.#name = url.hostname;
    this.#path = url.pathname.replace(/\/$/, "");
    this.#isTls = url.protocol === "https:";
    const usualPort = this.#isTls ? 443 : 80;
    this.#port = url.port === "" ? usualPort : Number(url.port);
  }

  placeOf(bucket: string, key: string | undefined): Place {
    const inBucket = key === undefined ? "" : encodePath(key);
    if (this.#options.addressing === "virtual") {
      return { name: `${bucket}.${this.#name}`, host: `${bucket}.${this.host}`, path: `/${inBucket}` };
    }
    const inService = key === undefined ? `/${bucket}` : `/${bucket}/${inBucket}`;
    return { name: this.#name, host: this.host, path: this.#path + inService };
  }

  /** The target of a request: the addresses of a name, at once where the name is an address itself. */
  targetOf(name: string, signal: AbortSignal): Target | Promise<Target> {
    const literal = name.replace(/^\[|\]$/g, "");
    if (isIP(literal) !== 0) return this.#target([literal]);
    return this.#resolved(name, signal).then((addresses) => this.#target(addresses, name));
  }

  #target(addresses: readonly string[], serverName?: string): Target {
    return { addresses, port: this.#port, tls: this.#isTls ? { serverName, ca: this.#options.ca } : undefined };
  }

  /** A name that cannot be resolved is a storage that cannot be reached, and no failure of a download. */
  async #resolved(name: string, signal: AbortSignal): Promise<readonly string[]> {
    try {
      return await this.#options.resolve(name, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw new HttpError("connect", errorText(error), { cause: error });
    }
  }
}

export function serviceUrl({ endpoint, region }: Pick<EndpointOptions, "endpoint" | "region">): URL {
  return new URL(endpoint === "" ? awsEndpoint(region) : endpoint);
}

/** AWS in China has a domain of its own. */
function awsEndpoint(region: string): string {
  return `https://s3.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}`;
}
