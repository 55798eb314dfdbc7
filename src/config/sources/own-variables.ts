/** Variables of ours that are no keys of the configuration. */
export const OWN_VARIABLES = [
  "FETCHBOX_CONFIG",
  "FETCHBOX_SERVER",
  "FETCHBOX_TOKEN",
  "FETCHBOX_FAILPOINT",
  "FETCHBOX_UNSAFE_SYNCHRONOUS",
];

/** Whether a variable is named like ours, and means nothing. */
export function isStray(name: string): boolean {
  return /^FETCHBOX_/i.test(name) && !/^FETCHBOX__/i.test(name) && !OWN_VARIABLES.includes(name);
}
