/** The message of an error, or the text of any other value that was thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The reason of an error of the file system, without its code and path: the message around it names the file. */
export function fileErrorText(error: unknown): string {
  return errorText(error).replace(/^[A-Z]+[A-Z0-9]*: (.+?), \w+( '.*')?$/s, "$1");
}
