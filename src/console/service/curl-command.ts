import { session } from "./browser-session.ts";
import { SERVICE_PATH } from "./service-request.ts";

/** A request on the command line. Where the service needs a token, the shell takes it from a variable. */
export function curlOf(path: string, options = ""): string {
  const token = session.value?.needed === true ? '-H "Authorization: Bearer $FETCHBOX_TOKEN"' : "";
  const parts = ["curl", token, options, `${location.origin}${SERVICE_PATH}${path}`];
  return parts.filter((part) => part !== "").join(" ");
}
