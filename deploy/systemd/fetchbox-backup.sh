#!/bin/sh
# fetchbox-backup FOLDER KEEP [OPTION…]: copies the stores into a new folder below FOLDER, named after the time in UTC,
# and then removes all but the newest KEEP copies. The options go to `fetchbox backup`. If the copy fails, every older
# copy stays.
set -eu

usage() {
  echo "fetchbox-backup: $1; usage: fetchbox-backup FOLDER KEEP [OPTION…]" >&2
  exit 2
}

[ $# -ge 2 ] || usage "FOLDER or KEEP is missing"
folder=$1
keep=$2
shift 2
case $keep in
  '' | *[!0-9]* | 0*) usage "KEEP must be a whole number from 1, got '$keep'" ;;
esac
[ -d "$folder" ] || usage "$folder is not a directory"

fetchbox backup "$folder/$(date -u +%Y-%m-%dT%H%M%SZ)" "$@"

# The names sort by time. Other names below FOLDER stay.
find "$folder" -mindepth 1 -maxdepth 1 -type d -name '20??-??-??T??????Z' | sort | head -n "-$keep" |
  while read -r old; do
    rm -rf -- "$old"
    echo "removed $old"
  done
# A backup that was killed leaves a hidden folder behind.
find "$folder" -mindepth 1 -maxdepth 1 -type d -name '.20??-??-??T??????Z.partial-*' -mtime +0 -exec rm -rf -- {} +
