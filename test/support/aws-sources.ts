/** Sources of AWS keys on loopback: each says what was asked of it. */
export interface AwsSource extends AsyncDisposable {
  /** Without a slash at the end. */
  readonly url: string;
  /** Method, path and the header or parameter that lets one in. */
  readonly asked: string[];
  /** The keys of the next answers. */
  keys: AwsKeys;
  /** Every question is answered with 503. */
  isAway: boolean;
}

export interface AwsKeys {
  readonly id: string;
  readonly secret: string;
  /** From the answer on. */
  readonly lifetimeMs: number;
}

type Answer = (
  request: Request,
  path: string,
  keys: AwsKeys,
) => { asked: string; response: Response | Promise<Response> };

const HOUR_MS = 3_600_000;
const METADATA_TOKEN = "metadata-token";
export const CONTAINER_TOKEN = "container-token";

function start(answer: Answer): AwsSource {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { asked, response } = answer(request, new URL(request.url).pathname, source.keys);
      source.asked.push(asked);
      return source.isAway ? new Response("", { status: 503 }) : response;
    },
  });
  const source: AwsSource = {
    url: `http://127.0.0.1:${server.port}`,
    asked: [],
    keys: { id: "AKID", secret: "issued-secret", lifetimeMs: HOUR_MS },
    isAway: false,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
  return source;
}

/** As AWS writes it: in whole seconds. */
function expiryOf({ lifetimeMs }: AwsKeys): string {
  return new Date(Date.now() + lifetimeMs).toISOString().replace(/\.\d+/, "");
}

function keysJson(keys: AwsKeys): Response {
  const { id, secret } = keys;
  const Expiration = expiryOf(keys);
  return Response.json({ AccessKeyId: id, SecretAccessKey: secret, Token: `session of ${id}`, Expiration });
}

/** Instance metadata, version 2 alone: without its token everything is 401. */
export function startMetadata(): AwsSource {
  const roles = "/latest/meta-data/iam/security-credentials/";
  return start((request, path, keys) => {
    const token = request.headers.get("x-aws-ec2-metadata-token");
    const asked = `${request.method} ${path} ${token ?? "without a token"}`;
    if (request.method === "PUT" && path === "/latest/api/token")
      return { asked, response: new Response(METADATA_TOKEN) };
    if (token !== METADATA_TOKEN) return { asked, response: new Response("", { status: 401 }) };
    if (path === roles) return { asked, response: new Response("the-role") };
    if (path === `${roles}the-role`) return { asked, response: keysJson(keys) };
    return { asked, response: new Response("", { status: 404 }) };
  });
}

/** What a container is given, to those who show its token. */
export function startContainer(): AwsSource {
  return start((request, path, keys) => {
    const token = request.headers.get("authorization");
    const asked = `${request.method} ${path} ${token ?? "without a token"}`;
    return { asked, response: token === CONTAINER_TOKEN ? keysJson(keys) : new Response("", { status: 401 }) };
  });
}

/**
 * The Security Token Service: for web identities that show `identity`, and for roles that are asked for with the keys
 * of that id. Others are refused.
 */
export function startSts(identity: string): AwsSource {
  return start((request, path, keys) => ({
    asked: `${request.method} ${path}`,
    response: request.text().then((text) => {
      const form = new URLSearchParams(text);
      const action = form.get("Action") ?? "";
      const shown = action === "AssumeRole" ? signerOf(request) : (form.get("WebIdentityToken") ?? "");
      return shown === identity ? assumed(action, keys) : stsRefusal(shown);
    }),
  }));
}

function signerOf(request: Request): string {
  return /Credential=([^/]+)/.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
}

function assumed(action: string, keys: AwsKeys): Response {
  const { id, secret } = keys;
  const xml = `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
    <${action}Result><Credentials><AccessKeyId>${id}</AccessKeyId>
    <SecretAccessKey>${secret}</SecretAccessKey><SessionToken>session of ${id}</SessionToken>
    <Expiration>${expiryOf(keys)}</Expiration></Credentials></${action}Result></${action}Response>`;
  return new Response(xml, { headers: { "content-type": "text/xml" } });
}

function stsRefusal(token: string): Response {
  const xml = `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
    <Code>InvalidIdentityToken</Code><Message>no ${token}</Message></Error><RequestId>1</RequestId></ErrorResponse>`;
  return new Response(xml, { status: 400, headers: { "content-type": "text/xml" } });
}
