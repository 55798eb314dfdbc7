#!/usr/bin/env bash
# A second S3 server for tests, which shares no code with Ceph: OpenStack Swift
# with its middleware s3api, from Debian's packages, on loopback, without root
# and without touching system directories.
#
#   swift.sh install     fetch and unpack what is missing into the cache
#   swift.sh start DIR   start a fresh, empty server; its state is under DIR
#   swift.sh stop DIR    stop it and wait until it is gone
#
# start writes DIR/s3.env, as ceph.sh does. Objects are files below DIR, whose
# file system must keep extended attributes. They are removed on stop. Logs stay.
#
# Environment: FETCHBOX_TEST_CACHE    (default ~/.cache/fetchbox-test)
#              FETCHBOX_TEST_S3_PORT  (default: a free port)
set -euo pipefail

server=swift
# What the programs come from; curl, to sign the requests that make buckets.
packages=(python3-swift swift swift-proxy swift-account swift-container swift-object memcached curl)
dependencies='lib|python3-'
state=(devices etc)
buckets=(fetchbox-artifacts fetchbox-other)
source "${BASH_SOURCE[0]%/*}/debian.sh"

# --- install -----------------------------------------------------------------

# Debian's own Python, which its packages are compiled for. Without the bytecode
# in the cache each start takes seconds more.
python() {
  PYTHONPATH=$root/usr/lib/python3/dist-packages PYTHONDONTWRITEBYTECODE='' \
    LD_LIBRARY_PATH=$(library_path) /usr/bin/python3 "$@"
}

installed() {
  programs_run memcached && python -c '
import pkg_resources, xattr, swift.proxy.server, swift.account.server, swift.container.server, swift.obj.server
pkg_resources.load_entry_point("swift", "paste.filter_factory", "s3api")
' >&2
}

# --- start and stop ----------------------------------------------------------

# The object server keeps an object's metadata in them.
has_attributes() {
  python -c 'import os, sys; os.setxattr(sys.argv[1], "user.fetchbox", b"1")' "$1" 2>/dev/null
}

write_config() {
  local port=$1 cache_port=$2 name
  cat >"$dir/etc/swift.conf" <<EOF
[swift-hash]
swift_hash_path_suffix = fetchbox
[storage-policy:0]
name = default
default = yes
EOF
  for name in account container object; do
    cat >"$dir/etc/$name-server.conf" <<EOF
[DEFAULT]
$(common_config "${ports[$name]}")
devices = $dir/devices
mount_check = false
[pipeline:main]
pipeline = $name-server
[app:$name-server]
use = egg:swift#$name
EOF
  done
  # The order that s3api's documentation asks for.
  cat >"$dir/etc/proxy-server.conf" <<EOF
[DEFAULT]
$(common_config "$port")
[pipeline:main]
pipeline = catch_errors cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
# A node that made an error is not asked for a minute; here it is the only one.
error_suppression_limit = 1000000
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$cache_port
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_fetchbox = $secret .admin
user_test_other = $other_secret
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
EOF
}

common_config() {
  cat <<EOF
bind_ip = 127.0.0.1
bind_port = $1
# In one process, which can be stopped by its id.
workers = 0
user = $(id -un)
swift_dir = $dir/etc
# What a busy machine makes late is put off to daemons that do not run here, and
# listings would stay wrong.
conn_timeout = 10
node_timeout = 60
container_update_timeout = 60
EOF
}

# One copy on one device of one zone. In one process: each takes a second to load.
make_rings() {
  python -c '
import sys
from swift.common.ring import RingBuilder
folder, *ports = sys.argv[1:]
for name, port in zip(("account", "container", "object"), ports):
    builder = RingBuilder(part_power=4, replicas=1, min_part_hours=0)
    builder.add_dev(dict(region=1, zone=1, ip="127.0.0.1", port=int(port), device="one", weight=1))
    builder.rebalance()
    builder.get_ring().save(folder + "/" + name + ".ring.gz")
' "$dir/etc" "${ports[account]}" "${ports[container]}" "${ports[object]}"
}

# Where root starts it, it wants the name of a user.
start_cache() {
  daemon memcached "$root/usr/bin/memcached" -l 127.0.0.1 -p "$1" -U 0 -t 1 -u "$(id -un)" -P "$dir/memcached.pid"
}

# Its own programs read /etc/swift/swift.conf, wherever their configuration is.
start_swift_server() {
  PYTHONPATH=$root/usr/lib/python3/dist-packages daemon "$1" /usr/bin/python3 -c '
import sys
from os.path import dirname
from swift.common import utils
name, conf = sys.argv[1:]
utils.set_swift_dir(dirname(conf))
from swift.common.wsgi import run_wsgi
sys.exit(run_wsgi(conf, name, verbose=True))
' "$1" "$dir/etc/$1.conf"
}

start_server() {
  prepare
  mkdir -p "$dir/etc" "$dir/devices/one"
  has_attributes "$dir/devices" || die "the file system of $dir keeps no extended attributes; set TMPDIR to another one"

  local port cache_port endpoint key secret other_key other_secret name
  local -A ports
  read -r port ports[account] ports[container] ports[object] cache_port < <(ports_for_gateway_and 4)
  endpoint=http://127.0.0.1:$port
  # Account and user, as tempauth has them.
  key=test:fetchbox secret=$(secret_key)
  other_key=test:other other_secret=$(secret_key)
  (umask 077 && write_config "$port" "$cache_port")
  make_rings

  start_cache "$cache_port"
  for name in account container object proxy; do
    start_swift_server "$name-server"
  done
  for name in account container object; do
    wait_for answers_at "${ports[$name]}"
  done
  wait_for gateway_answers
  make_buckets
  ready
}

main "$@"
