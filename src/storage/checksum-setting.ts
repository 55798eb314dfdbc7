/** The digest that is sent with an object. `auto`: the strongest that the service takes. `none`: no digest is sent. */
export const CHECKSUM_SETTINGS = ["auto", "sha256", "md5", "none"] as const;
export type ChecksumSetting = (typeof CHECKSUM_SETTINGS)[number];
