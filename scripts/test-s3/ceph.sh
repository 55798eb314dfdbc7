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

server=ceph
# What the programs come from; curl, to sign the requests that make buckets.
packages=(ceph-base ceph-common ceph-mon ceph-osd radosgw curl)
# Their other dependencies (Python, LVM, disk tools) are for real clusters.
dependencies=lib
state=(mon osd monmap)
buckets=(fetchbox-artifacts fetchbox-other)
source "${BASH_SOURCE[0]%/*}/debian.sh"

installed() {
  programs_run ceph-mon ceph-osd radosgw radosgw-admin monmaptool
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

ceph_daemon() {
  local name=$1
  shift
  daemon "$name" "$root/usr/bin/$name" -c "$dir/ceph.conf" -f "$@"
}

storage_is_up() {
  grep -qs 'booting -> active' "$dir/osd.0.log"
}

create_user() (
  # A subshell: a failure must not leave the script writing to this file.
  exec >"$dir/radosgw-admin.out" 2>&1
  run radosgw-admin -c "$dir/ceph.conf" -n client.rgw user create --uid "$1" --display-name "$1" \
    --access-key "$2" --secret-key "$3"
)

start_server() {
  prepare
  mkdir "$dir/mon" "$dir/osd"

  local port mon_port mon_address fsid endpoint key secret other_key other_secret
  read -r port mon_port < <(ports_for_gateway_and 1)
  mon_address="[v2:127.0.0.1:$mon_port]"
  endpoint=http://127.0.0.1:$port
  fsid=$(</proc/sys/kernel/random/uuid)
  write_config "$mon_address" "$port" "$fsid"

  (
    run monmaptool --create --fsid "$fsid" --addv a "$mon_address" "$dir/monmap"
    run ceph-mon -c "$dir/ceph.conf" -i a --mkfs --monmap "$dir/monmap"
    run ceph-osd -c "$dir/ceph.conf" -i 0 --mkfs --no-mon-config
  ) >"$dir/mkfs.out" 2>&1
  ceph_daemon ceph-mon -i a
  ceph_daemon ceph-osd -i 0
  # A gateway whose first request finds no storage retries only after 5 s.
  wait_for storage_is_up
  ceph_daemon radosgw -n client.rgw
  wait_for gateway_answers

  key=$(access_key) secret=$(secret_key)
  other_key=$(access_key) other_secret=$(secret_key)
  create_user fetchbox "$key" "$secret"
  create_user other "$other_key" "$other_secret"
  make_buckets
  # The first object makes the pool for data; no test should wait for that.
  signed --request PUT --data warm "$endpoint/${buckets[0]}/warm-up"
  signed --request DELETE "$endpoint/${buckets[0]}/warm-up"
  ready
}

main "$@"
