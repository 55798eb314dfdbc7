/** Which digest goes along with what is stored. `auto`: the strongest that the service takes. `none`: none does. */
export const CHECKSUM_SETTINGS = ["auto", "sha256", "md5", "none"] as const;
export type ChecksumSetting = (typeof CHECKSUM_SETTINGS)[number];
