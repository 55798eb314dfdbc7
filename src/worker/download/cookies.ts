import type { Cookie, CookieJar, MemoryCookieStore } from "tough-cookie";
import type { Clock } from "../../std/clock.ts";

interface Jar {
  readonly jar: CookieJar;
  readonly store: MemoryCookieStore;
  readonly parse: (value: string) => Cookie | undefined;
}

/** Most cookies of an attempt; the oldest one makes room. */
const COOKIES_MAX = 50;
/** Most bytes of a name and its value (RFC 6265, section 6.1). In Latin-1 a character is a byte. */
const PAIR_BYTES_MAX = 4096;
/** Most bytes of a `Set-Cookie` value with its attributes. */
const VALUE_BYTES_MAX = 8192;
const HEADER_BYTES_MAX = 8192;
/** The largest time that a `Date` holds. */
const TIME_MAX = 8.64e15;

/**
 * The cookies that origins set during one attempt, kept and sent by the rules of RFC 6265: `Domain` (public suffixes
 * refused), `Path`, `Secure`, `Expires`, `Max-Age`, `__Host-` and `__Secure-`. Invalid cookies are ignored. `Secure`
 * means https:, for loopback addresses too.
 */
export class AttemptCookies {
  readonly #clock: Pick<Clock, "now">;
  #jar: Jar | undefined;

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  /** Keeps the `Set-Cookie` values of an answer from this URL. An invalid value never causes a rejection. */
  async note(url: URL, setCookieValues: readonly string[]): Promise<void> {
    if (setCookieValues.length === 0) return;
    this.#jar ??= await createJar();
    for (const value of setCookieValues) await this.#set(this.#jar, url, value);
  }

  /**
   * The value of `Cookie` for a request to this URL: the client's own cookies first, then noted ones whose names the
   * client does not use, up to 8 KiB. `undefined` without any cookie.
   */
  headerFor(url: URL, own?: string): string | undefined {
    if (this.#jar === undefined) return own;
    let header = own ?? "";
    for (const cookie of this.#cookiesFor(url, namesOf(header))) {
      const longer = header === "" ? cookie : `${header}; ${cookie}`;
      if (longer.length <= HEADER_BYTES_MAX) header = longer;
    }
    return header === "" ? own : header;
  }

  async #set({ jar, store, parse }: Jar, url: URL, value: string): Promise<void> {
    const cookie = value.length <= VALUE_BYTES_MAX ? parse(value) : undefined;
    if (cookie === undefined || cookie.key.length + cookie.value.length > PAIR_BYTES_MAX) return;
    // The jar counts Max-Age from the last use by the system's clock, so it gets an absolute time instead.
    const expiry = cookie.expiryTime(new Date(this.#clock.now()));
    cookie.maxAge = null;
    cookie.expires = expiry === undefined || expiry > TIME_MAX ? "Infinity" : new Date(Math.max(0, expiry));
    await jar.setCookie(cookie, url.href, { ignoreError: true });
    const [oldest, ...others] = (await store.getAllCookies()).toSorted((a, b) => a.creationIndex - b.creationIndex);
    if (oldest === undefined || others.length < COOKIES_MAX) return;
    await store.removeCookie(oldest.domain ?? "", oldest.path ?? "", oldest.key);
  }

  #cookiesFor(url: URL, except: ReadonlySet<string>): string[] {
    const now = this.#clock.now();
    const matching = this.#jar?.jar.getCookiesSync(url.href, { expire: false, sort: true }) ?? [];
    return matching
      .filter((cookie) => !except.has(cookie.key) && (cookie.expiryTime() ?? Number.POSITIVE_INFINITY) > now)
      .map((cookie) => cookie.cookieString());
  }
}

/** Loads the library for the first cookie: most processes never see one, and loading takes 3 ms. */
async function createJar(): Promise<Jar> {
  const library = await import("tough-cookie");
  const store = new library.MemoryCookieStore();
  const jar = new library.CookieJar(store, { allowSecureOnLocal: false });
  return { jar, store, parse: (value) => library.Cookie.parse(value) };
}

function namesOf(header: string): Set<string> {
  return new Set(header.split(";").map((pair) => (pair.split("=", 1)[0] ?? "").trim()));
}
