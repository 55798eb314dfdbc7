/** RFC 1929 has one byte for the length of a user name and of a password. */
export const SOCKS_CREDENTIAL_BYTES_MAX = 255;
