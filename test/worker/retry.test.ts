import { describe, expect, test } from "bun:test";
import { Failure, type FailureCode, httpFailure } from "../../src/jobs/failure.ts";
import type { AttemptRecord, ClaimedTask, TaskResult } from "../../src/jobs/task.ts";
import type { Outcome, Verdict } from "../../src/jobs/verdict.ts";
import { backoff, decide, RETRY_AFTER_MAX_MS, type RetryPolicy } from "../../src/worker/retry.ts";
import { claimedTask } from "../support/claimed.ts";

const NOW = Date.UTC(2026, 10, 23);
const POLICY: RetryPolicy = {
  maxRetries: 3,
  backoffMs: 1000,
  backoffMaxMs: 60_000,
  maxThrottleMs: 3_600_000,
  maxUnavailableMs: 86_400_000,
};

const attemptWith = (code: FailureCode): AttemptRecord => ({
  startedAt: 0,
  durationMs: 1,
  code,
  message: "",
  bytes: 0,
});
const failed = (failure: Failure): Outcome => ({ kind: "failed", failure, attempt: attemptWith(failure.code) });
const after = (...codes: FailureCode[]): Partial<ClaimedTask> => ({ history: codes.map(attemptWith) });

/** The decision in one line: its kind, with the wait from now or the number of attempts. */
function shown(verdict: Verdict): string {
  switch (verdict.kind) {
    case "retry":
      return `retry in ${verdict.availableAt - NOW}`;
    case "snooze":
      return `snooze ${verdict.availableAt - NOW} since ${verdict.waitingSince.at - NOW}`;
    case "discard":
      return `discard ${verdict.code} after ${verdict.attempts}`;
    default:
      return verdict.kind;
  }
}

interface Row {
  readonly fact: string;
  readonly failure: Failure;
  readonly claimed?: Partial<ClaimedTask>;
  readonly policy?: Partial<RetryPolicy>;
  readonly random?: number;
  readonly decided: string;
}

function check(rows: readonly Row[]): void {
  test.each(rows.map((row) => [row.fact, row] as const))("%s", (_, { failure, claimed, policy, random, decided }) => {
    const at = { now: NOW, random: random ?? 0.5 };
    const verdict = decide(failed(failure), claimedTask({}, claimed), at, { ...POLICY, ...policy });
    expect(shown(verdict)).toBe(decided);
    if (verdict.kind === "retry" || verdict.kind === "snooze" || verdict.kind === "discard") {
      expect(verdict.attempt).toEqual(attemptWith(failure.code));
    }
  });
}

const fail = (code: FailureCode, retryAfterMs?: number) => new Failure(code, "why", { retryAfterMs });

const TRANSIENT: readonly FailureCode[] = [
  "DOWNLOAD_TIMEOUT",
  "DOWNLOAD_CONNECT_FAILED",
  "DOWNLOAD_RESET",
  "DOWNLOAD_TRUNCATED",
  "DOWNLOAD_TOO_SLOW",
  "DOWNLOAD_PROTOCOL_ERROR",
  "DOWNLOAD_DNS_TEMPORARY",
  "DOWNLOAD_HTTP_408",
  "DOWNLOAD_HTTP_500",
  "DOWNLOAD_HTTP_502",
  "DOWNLOAD_HTTP_503",
  "DOWNLOAD_HTTP_504",
  "DOWNLOAD_HTTP_599",
  "PROXY_EXHAUSTED",
];
const PERMANENT: readonly FailureCode[] = [
  ...([204, 206, 302, 304, 400, 401, 403, 404, 407, 410, 451, 499, 600, 999] as const).map(
    (status): FailureCode => `DOWNLOAD_HTTP_${status}`,
  ),
  "DOWNLOAD_DNS_NOT_FOUND",
  "DOWNLOAD_TLS_INVALID",
  "DOWNLOAD_TOO_LARGE",
  "DOWNLOAD_HEADERS_TOO_LARGE",
  "DOWNLOAD_TOO_MANY_REDIRECTS",
  "DOWNLOAD_URL_NOT_ALLOWED",
  "DOWNLOAD_CONTENT_TYPE_MISMATCH",
  "HANDLER_ERROR",
  "STORAGE_KEY_CONFLICT",
  "TASK_INTERRUPTED",
];
const THROTTLED: readonly FailureCode[] = ["DOWNLOAD_HTTP_429", "DOWNLOAD_HOST_UNAVAILABLE"];
const UNAVAILABLE: readonly FailureCode[] = [
  "UPLOAD_UNAVAILABLE",
  "UPLOAD_TIMEOUT",
  "UPLOAD_THROTTLED",
  "UPLOAD_ACCESS_DENIED",
  "UPLOAD_NO_SUCH_BUCKET",
  "UPLOAD_DISK_FULL",
];

describe("an attempt without a failure", () => {
  test("a stored task is complete, with its result", () => {
    const result: TaskResult = {
      finalUrl: "http://a/",
      httpStatus: 200,
      bytes: 1,
      integrity: "verified",
      sha256: "",
      etag: "",
      contentType: "x/y",
      contentEncoding: undefined,
      storageUrl: "file:///a",
      startedAt: 1,
    };
    expect(decide({ kind: "stored", result }, claimedTask(), { now: NOW, random: 0 }, POLICY)).toEqual({
      kind: "complete",
      result,
    });
  });

  test.each([
    ["shutdown", "release"],
    ["cancel", "cancel"],
  ] as const)("a task interrupted by %s ends in %s", (by, kind) => {
    const spent = claimedTask({}, { attempts: 3 });
    expect(decide({ kind: "interrupted", by }, spent, { now: NOW, random: 0 }, POLICY)).toEqual({ kind });
  });
});

describe("a transient failure", () => {
  check(TRANSIENT.map((code) => ({ fact: `${code} is retried`, failure: fail(code), decided: "retry in 500" })));
  check(
    TRANSIENT.map((code) => ({
      fact: `${code} is discarded when the retries are used up`,
      failure: fail(code),
      claimed: { attempts: 3 },
      decided: `discard ${code} after 4`,
    })),
  );
  const failure = fail("DOWNLOAD_TIMEOUT");
  check([
    { fact: "may wait no time at all", failure, random: 0, decided: "retry in 0" },
    { fact: "waits up to the first step", failure, random: 0.999, decided: "retry in 999" },
    { fact: "waits twice as long next", failure, random: 0.999, claimed: { attempts: 1 }, decided: "retry in 1998" },
    { fact: "is retried to the last retry", failure, claimed: { attempts: 2 }, decided: "retry in 2000" },
    {
      fact: "waits no longer than the bound",
      failure,
      random: 0.999,
      claimed: { attempts: 40 },
      policy: { maxRetries: 100 },
      decided: "retry in 59940",
    },
    {
      fact: "overflows nowhere",
      failure,
      random: 0.999,
      claimed: { attempts: 5000 },
      policy: { maxRetries: 10_000 },
      decided: "retry in 59940",
    },
    {
      fact: "is final without retries",
      failure,
      policy: { maxRetries: 0 },
      decided: "discard DOWNLOAD_TIMEOUT after 1",
    },
    {
      fact: "is no less final for an earlier wait",
      failure,
      claimed: { attempts: 3, waitingSince: { class: "throttled", at: NOW - 1 } },
      decided: "discard DOWNLOAD_TIMEOUT after 4",
    },
    {
      fact: "is not prolonged by a Retry-After of 500",
      failure: httpFailure(500, 600_000),
      random: 0.999,
      decided: "retry in 999",
    },
  ]);
});

describe("a permanent failure", () => {
  check(
    PERMANENT.map((code) => ({
      fact: `${code} ends the task at once`,
      failure: fail(code),
      decided: `discard ${code} after 1`,
    })),
  );
  check([
    {
      fact: "says how many attempts were spent in all",
      failure: fail("DOWNLOAD_HTTP_404"),
      claimed: { attempts: 2 },
      decided: "discard DOWNLOAD_HTTP_404 after 3",
    },
  ]);

  test("keeps its message", () => {
    const verdict = decide(failed(httpFailure(404)), claimedTask(), { now: NOW, random: 0 }, POLICY);
    expect(verdict).toMatchObject({ kind: "discard", message: "the origin answered 404" });
  });
});

describe("a mismatch", () => {
  for (const code of ["DOWNLOAD_CHECKSUM_MISMATCH", "DOWNLOAD_SIZE_MISMATCH"] as const) {
    const failure = fail(code);
    check([
      { fact: `${code} is retried once`, failure, decided: "retry in 500" },
      { fact: `${code} is retried without retries`, failure, policy: { maxRetries: 0 }, decided: "retry in 500" },
      {
        fact: `${code} is final the second time`,
        failure,
        claimed: { attempts: 1, ...after(code) },
        decided: `discard ${code} after 2`,
      },
      {
        fact: `${code} is final after the other mismatch`,
        failure,
        claimed: { attempts: 1, ...after("DOWNLOAD_CHECKSUM_MISMATCH") },
        decided: `discard ${code} after 2`,
      },
      {
        fact: `${code} is final with other failures between`,
        failure,
        claimed: { attempts: 2, ...after(code, "DOWNLOAD_RESET", "DOWNLOAD_HTTP_429") },
        decided: `discard ${code} after 3`,
      },
      {
        fact: `${code} is retried after other failures`,
        failure,
        claimed: { attempts: 1, ...after("DOWNLOAD_RESET") },
        decided: "retry in 1000",
      },
      {
        fact: `${code} is retried once more after a replay, which begins with no attempt spent`,
        failure,
        claimed: { attempts: 0, ...after(code, code) },
        decided: "retry in 500",
      },
    ]);
  }
});

describe("a throttling host", () => {
  check(
    THROTTLED.map((code) => ({
      fact: `${code} waits without spending an attempt`,
      failure: fail(code),
      claimed: { attempts: 3 },
      decided: "snooze 750 since 0",
    })),
  );
  check([
    { fact: "is left alone as long as it says", failure: httpFailure(429, 42_000), decided: "snooze 42000 since 0" },
    { fact: "may say so with 503", failure: httpFailure(503, 42_000), decided: "snooze 42000 since 0" },
    { fact: "that says 503 and no more has failed", failure: httpFailure(503), decided: "retry in 500" },
    {
      fact: "is left alone 15 minutes at most",
      failure: httpFailure(429, 86_400_000),
      decided: `snooze ${RETRY_AFTER_MAX_MS} since 0`,
    },
    {
      fact: "that says 'at once' is not believed",
      failure: httpFailure(429, 0),
      random: 0,
      decided: "snooze 500 since 0",
    },
    { fact: "waits half a step at least", failure: httpFailure(429), random: 0, decided: "snooze 500 since 0" },
    { fact: "waits a step at most", failure: httpFailure(429), random: 0.999, decided: "snooze 1000 since 0" },
    {
      fact: "waits longer from time to time",
      failure: httpFailure(429),
      random: 0.999,
      claimed: after("DOWNLOAD_HTTP_429", "DOWNLOAD_HTTP_429", "DOWNLOAD_HTTP_429"),
      decided: "snooze 4496 since 0",
    },
    {
      fact: "waits from the start again when something else came between",
      failure: httpFailure(429),
      random: 0.999,
      claimed: after("DOWNLOAD_HTTP_429", "DOWNLOAD_HTTP_429", "DOWNLOAD_RESET"),
      decided: "snooze 1000 since 0",
    },
    {
      fact: "waits no longer than the bound",
      failure: httpFailure(429),
      random: 0.999,
      claimed: after(...Array.from({ length: 20 }, (): FailureCode => "DOWNLOAD_HTTP_429")),
      decided: "snooze 59941 since 0",
    },
    {
      fact: "goes on counting from when it began",
      failure: httpFailure(429, 1000),
      claimed: { waitingSince: { class: "throttled", at: NOW - 3_599_999 } },
      decided: "snooze 1000 since -3599999",
    },
    {
      fact: "is given up when the time is over, without an attempt",
      failure: httpFailure(429, 1000),
      claimed: { attempts: 2, waitingSince: { class: "throttled", at: NOW - 3_600_000 } },
      decided: "discard DOWNLOAD_HTTP_429 after 2",
    },
    {
      fact: "has a clock of its own",
      failure: httpFailure(429, 1000),
      claimed: { waitingSince: { class: "unavailable", at: NOW - 3_600_000 } },
      decided: "snooze 1000 since 0",
    },
  ]);
});

describe("an unavailable storage", () => {
  check(
    UNAVAILABLE.map((code) => ({
      fact: `${code} waits without spending an attempt`,
      failure: fail(code),
      claimed: { attempts: 3 },
      decided: "snooze 750 since 0",
    })),
  );
  const failure = fail("UPLOAD_UNAVAILABLE");
  check([
    {
      fact: "is tried again when the gate opens",
      failure: fail("UPLOAD_TIMEOUT", 7000),
      decided: "snooze 7000 since 0",
    },
    {
      fact: "is tried again after 30 s at most",
      failure,
      random: 0.999,
      claimed: after(...Array.from({ length: 20 }, (): FailureCode => "UPLOAD_TIMEOUT")),
      decided: "snooze 29971 since 0",
    },
    {
      fact: "is waited for longer than a host",
      failure,
      claimed: { waitingSince: { class: "unavailable", at: NOW - 86_399_999 } },
      decided: "snooze 750 since -86399999",
    },
    {
      fact: "is given up when the time is over, without an attempt",
      failure,
      claimed: { attempts: 1, waitingSince: { class: "unavailable", at: NOW - 86_400_000 } },
      decided: "discard UPLOAD_UNAVAILABLE after 1",
    },
    {
      fact: "has a clock of its own",
      failure,
      claimed: { waitingSince: { class: "throttled", at: NOW - 86_400_000 } },
      decided: "snooze 750 since 0",
    },
  ]);
});

describe("backoff", () => {
  test.each([
    [0, 0.999, 999],
    [1, 0.999, 1998],
    [5, 0.999, 31_968],
    [6, 0.999, 59_940],
    [2000, 0.999, 59_940],
    [0, 0, 0],
    [2000, 0, 0],
  ])("step %p with chance %p is %p ms", (exponent, random, ms) => {
    expect(backoff(exponent, 1000, 60_000, random)).toBe(ms);
  });

  test("of 0 stays 0", () => {
    expect(backoff(2000, 0, 60_000, 0.5)).toBe(0);
  });

  test("is full jitter: as likely short as long", () => {
    expect([0.1, 0.2, 0.7].map((random) => backoff(3, 1000, 60_000, random))).toEqual([800, 1600, 5600]);
  });
});
