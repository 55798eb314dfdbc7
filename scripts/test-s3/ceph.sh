#!/usr/bin/env bash
# A real, strict S3 server for tests: Ceph RGW from Debian's packages, on
# loopback, without root and without touching system directories.
#
#   ceph.sh install     fetch and unpack what is missing into the cache
#   ceph.sh start DIR   start a fresh, empty server; its state is under DIR
#   ceph.sh stop DIR    stop it and wait until it is gone
#
# start writes DIR/s3.env:
#   S3_ENDPOINT, S3_BUCKET
#   S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY              owner of the buckets
#   S3_OTHER_ACCESS_KEY_ID, S3_OTHER_SECRET_ACCESS_KEY  no rights on them: 403
# All objects live in memory and are lost on stop. Logs stay in DIR.
#
# Environment: FETCHBOX_TEST_CACHE    (default ~/.cache/fetchbox-test)
#              FETCHBOX_TEST_S3_PORT  (default: a free port)
set -euo pipefail

cache=${FETCHBOX_TEST_CACHE:-${HOME:?}/.cache/fetchbox-test}/ceph
root=$cache/root
programs=(ceph-mon ceph-osd radosgw radosgw-admin monmaptool)
# What those programs come from; curl, to sign the requests that make buckets.
packages=(ceph-base ceph-common ceph-mon ceph-osd radosgw curl)
buckets=(fetchbox-artifacts fetchbox-other)
start_timeout=60

die() {
  echo "ceph.sh: $*" >&2
  exit 1
}

# --- install -----------------------------------------------------------------

# Library directories of the cache. Debian still has packages that use /lib.
library_path() {
  local dirs=("$root"/usr/lib/*-linux-gnu* "$root"/usr/lib/*-linux-gnu*/ceph "$root"/lib/*-linux-gnu*)
  (IFS=: && echo "${dirs[*]}")
}

# Runs a program of the cache, or the machine's own where the cache has none.
run() {
  local program=$1
  shift
  if [[ -x $root/usr/bin/$program ]]; then
    LD_LIBRARY_PATH=$(library_path) "$root/usr/bin/$program" "$@"
  else
    command "$program" "$@"
  fi
}

# Asks the loader itself, so that a cache made on a machine with more libraries
# is not taken for complete on this one.
installed() {
  local program files=()
  for program in "${programs[@]}"; do
    [[ -x $root/usr/bin/$program ]] || return 1
    files+=("$root/usr/bin/$program")
  done
  if [[ -x $root/usr/bin/curl ]]; then
    files+=("$root/usr/bin/curl")
  else
    command -v curl >/dev/null || return 1
  fi
  ! LD_LIBRARY_PATH=$(library_path) ldd "${files[@]}" 2>&1 | grep 'not found' >&2
}

# The packages to fetch: the programs' own, and every library that they need in
# turn and that this machine lacks. Their other dependencies (Python, LVM, disk
# tools) are for managing real clusters.
plan() {
  local wanted=("${packages[@]}") next=("${packages[@]}") present
  present=$(dpkg-query -W -f '${db:Status-Status}=${Package}\n' | sed -n 's/^installed=//p')
  while ((${#next[@]})); do
    mapfile -t next < <(
      apt-cache "${apt_options[@]}" depends "${next[@]}" |
        sed -nE 's/^ *\|?(Pre)?Depends: (lib[^:]*).*/\2/p' | sort -u |
        grep -vxF -e "$present" -e "$(printf '%s\n' "${wanted[@]}")"
    )
    wanted+=("${next[@]}")
  done
  if command -v curl >/dev/null; then
    present+=$'\ncurl'
  fi
  printf '%s\n' "${wanted[@]}" | grep -vxF -e "$present"
}

fetch() {
  local names
  mapfile -t names < <(plan)
  (cd "$work/debs" && apt-get "${apt_options[@]}" download "${names[@]}" >&2)
}

install_packages() {
  mkdir -p "$cache/apt"
  # Two test runs may meet here.
  exec 9>"$cache/lock"
  flock 9
  if installed 2>/dev/null; then
    return
  fi
  command -v apt-get >/dev/null || die "install needs Debian's apt-get"

  work=$cache/unpack
  rm -rf "$work"
  mkdir -p "$work/debs" "$work/root"
  # The cache is this user's own, which apt's sandbox user cannot write to.
  apt_options=(-qq -o APT::Sandbox::User=root -o Dir::Cache="$cache/apt"
    -o Dir::Cache::pkgcache=pkgcache.bin -o Dir::Cache::srcpkgcache=srcpkgcache.bin)
  if ! fetch; then
    # The machine's package lists are missing, or older than what the mirror
    # has. Lists of our own need no root, and leave the machine's alone.
    echo "ceph.sh: fetching fresh package lists" >&2
    mkdir -p "$cache/apt/lists"
    apt_options+=(-o Dir::State::lists="$cache/apt/lists")
    # A source that fails may be one that is not needed.
    apt-get "${apt_options[@]}" update >&2 || true
    fetch || die "cannot fetch the packages"
  fi

  local deb
  for deb in "$work"/debs/*.deb; do
    dpkg -x "$deb" "$work/root"
  done
  rm -rf "$root"
  mv "$work/root" "$root"
  rm -rf "$work" "$cache/apt"
  installed || die "the packages in $root do not run on this machine"
}

# --- start and stop ----------------------------------------------------------

# Outside the kernel's range for outgoing connections, which come and go.
free_port() {
  local port
  for _ in {1..50}; do
    port=$((10000 + RANDOM % 20000))
    if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
  die "no free port"
}

write_config() {
  local mon_address=$1 port=$2 fsid=$3 libraries
  libraries=$(echo "$root"/usr/lib/*-linux-gnu*/ceph)
  cat >"$dir/ceph.conf" <<EOF
[global]
fsid = $fsid
mon_host = $mon_address
mon_initial_members = a
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr1 = false
run_dir = $dir
crash_dir = $dir
log_file = $dir/\$name.log
mon_cluster_log_file = $dir/cluster.log
admin_socket =
plugin_dir = $libraries
erasure_code_dir = $libraries/erasure-code
osd_class_dir = ${libraries%/ceph}/rados-classes

# No keys between the daemons; RGW's default mode, secure, would need them.
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc

# One copy on one disk, with few placement groups.
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true

# Every new pool waits for several changes of the map, by default 1 s each.
paxos_propose_interval = 0.01
paxos_min_wait = 0.001
mon_client_hunt_interval = 0.5

[mon.a]
mon_data = $dir/mon

[osd.0]
osd_data = $dir/osd
osd_objectstore = memstore
# The size that it claims, not what it takes.
memstore_device_bytes = 64G
# A log for replicas, which there are none of; it doubles the memory of small
# objects.
osd_min_pg_log_entries = 50
osd_max_pg_log_entries = 100
osd_pg_log_dups_tracked = 100

[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:$port tcp_nodelay=1
# Give back the memory of deleted objects after a minute, not two hours.
rgw_gc_obj_min_wait = 60
rgw_gc_processor_period = 60
rgw_gc_processor_max_time = 60
EOF
}

# Runs a daemon that outlives this script, the terminal and the caller's pipes.
daemon() {
  local name=$1
  shift
  LD_LIBRARY_PATH=$(library_path) setsid "$root/usr/bin/$name" -c "$dir/ceph.conf" -f "$@" \
    </dev/null >"$dir/$name.out" 2>&1 &
  echo "$!" >>"$dir/pids"
  # Bash need not report its end.
  disown
}

# The recorded processes that still run. The configuration's path tells them
# from strangers that have since been given the same number; a zombie has none.
running() {
  local pid
  [[ -f $dir/pids ]] || return 0
  while read -r pid; do
    if tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF "$dir/ceph.conf"; then
      echo "$pid"
    fi
  done <"$dir/pids"
}

stop_daemons() {
  local pids
  # Nothing is to be kept, so there is nothing to shut down in good order.
  for _ in {1..200}; do
    mapfile -t pids < <(running)
    if ((${#pids[@]} == 0)); then
      rm -rf "$dir/pids" "$dir/s3.env" "$dir/mon" "$dir/osd"
      return 0 # a bare return in a trap gives the status from before it
    fi
    kill -KILL "${pids[@]}" 2>/dev/null || true
    sleep 0.05
  done
  die "still running: ${pids[*]}"
}

abandon() {
  trap - EXIT
  tail -n 5 "$dir"/*.out "$dir"/client.*.log >&2 2>/dev/null || true
  stop_daemons
  die "the server did not start; logs are in $dir"
}

# Polls a command; gives up when time is over or a daemon has ended.
wait_for() {
  local daemons
  daemons=$(wc -l <"$dir/pids")
  until "$@"; do
    [[ $(running | wc -l) -eq $daemons ]] || die "a daemon ended"
    ((SECONDS < start_timeout)) || die "not ready after $start_timeout s"
    sleep 0.05
  done
}

storage_is_up() {
  grep -qs 'booting -> active' "$dir/osd.0.log"
}

gateway_answers() {
  run curl --silent --noproxy '*' --max-time 2 --output /dev/null "$endpoint"
}

create_user() (
  # A subshell: a failure must not leave the script writing to this file.
  exec >"$dir/radosgw-admin.out" 2>&1
  run radosgw-admin -c "$dir/ceph.conf" -n client.rgw user create --uid "$1" --display-name "$1" \
    --access-key "$2" --secret-key "$3"
)

# RGW wants the header, which this curl does not add by itself.
signed() {
  run curl --silent --show-error --fail --noproxy '*' --max-time 30 --output /dev/null \
    --aws-sigv4 aws:amz:us-east-1:s3 --user "$key:$secret" \
    --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "$@"
}

access_key() {
  od -An -N10 -tx1 /dev/urandom | tr -d ' \n' | tr a-f A-F
}

# With + and /, as real ones have.
secret_key() {
  head -c 30 /dev/urandom | base64
}

start_server() {
  installed || die "run ceph.sh install first"
  mkdir -p "$dir"
  [[ -z $(running) ]] || die "already running in $dir"
  rm -rf "${dir:?}"/{mon,osd,monmap,pids,s3.env,*.log,*.out}
  mkdir "$dir/mon" "$dir/osd"
  trap abandon EXIT

  local port mon_address fsid key secret other_key other_secret bucket
  port=${FETCHBOX_TEST_S3_PORT:-$(free_port)}
  mon_address="[v2:127.0.0.1:$(free_port)]"
  local endpoint=http://127.0.0.1:$port
  if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    die "port $port is taken"
  fi
  fsid=$(</proc/sys/kernel/random/uuid)
  write_config "$mon_address" "$port" "$fsid"

  (
    run monmaptool --create --fsid "$fsid" --addv a "$mon_address" "$dir/monmap"
    run ceph-mon -c "$dir/ceph.conf" -i a --mkfs --monmap "$dir/monmap"
    run ceph-osd -c "$dir/ceph.conf" -i 0 --mkfs --no-mon-config
  ) >"$dir/mkfs.out" 2>&1
  daemon ceph-mon -i a
  daemon ceph-osd -i 0
  # A gateway whose first request finds no storage retries only after 5 s.
  wait_for storage_is_up
  daemon radosgw -n client.rgw
  wait_for gateway_answers

  key=$(access_key) secret=$(secret_key)
  other_key=$(access_key) other_secret=$(secret_key)
  create_user fetchbox "$key" "$secret"
  create_user other "$other_key" "$other_secret"
  for bucket in "${buckets[@]}"; do
    signed --request PUT "$endpoint/$bucket"
  done
  # The first object makes the pool for data; no test should wait for that.
  signed --request PUT --data warm "$endpoint/${buckets[0]}/warm-up"
  signed --request DELETE "$endpoint/${buckets[0]}/warm-up"

  (umask 077 && cat >"$dir/s3.env.new") <<EOF
S3_ENDPOINT=$endpoint
S3_ACCESS_KEY_ID=$key
S3_SECRET_ACCESS_KEY=$secret
S3_BUCKET=${buckets[0]}
S3_OTHER_ACCESS_KEY_ID=$other_key
S3_OTHER_SECRET_ACCESS_KEY=$other_secret
EOF
  # Whoever waits for the file must not see half of it.
  mv "$dir/s3.env.new" "$dir/s3.env"
  trap - EXIT
}

usage='usage: ceph.sh install | start DIR | stop DIR'
case ${1:-}/$# in
  install/1) install_packages ;;
  start/2 | stop/2)
    # Ceph wants absolute paths.
    dir=$(realpath -m -- "$2")
    if [[ $1 == start ]]; then start_server; else stop_daemons; fi
    ;;
  *) die "$usage" ;;
esac
