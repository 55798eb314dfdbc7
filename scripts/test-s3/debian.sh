# For the scripts that unpack a server from Debian's packages and run it on
# loopback, without root and without touching system directories. To be sourced.
#
# The script that sources it sets
#   server        its short name, also that of its folder in the cache
#   packages      what the programs come from
#   dependencies  which of their dependencies to take, as an extended regexp
#   state         what of DIR to remove at a stop, beside s3.env
# and the functions
#   installed     whether the cache has what runs on this machine
#   start_server  starts everything in $dir, and calls ready at the end

die() {
  echo "$server.sh: $*" >&2
  exit 1
}

cache=${FETCHBOX_TEST_CACHE:-${HOME:?}/.cache/fetchbox-test}/$server
root=$cache/root
start_timeout=60

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

# Whether these programs of the cache run, and curl, the cache's or the
# machine's. Asks the loader itself, so that a cache made on a machine with more
# libraries is not taken for complete on this one.
programs_run() {
  local program files=()
  for program in "$@"; do
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

# The packages to fetch: the programs' own, and every dependency of the wanted
# kinds that they need in turn and that this machine lacks.
plan() {
  local wanted=("${packages[@]}") next=("${packages[@]}") present
  present=$(dpkg-query -W -f '${db:Status-Status}=${Package}\n' | sed -n 's/^installed=//p')
  while ((${#next[@]})); do
    mapfile -t next < <(
      apt-cache "${apt_options[@]}" depends "${next[@]}" |
        sed -nE "s/^ *\|?(Pre)?Depends: (($dependencies)[^:]*).*/\2/p" | sort -u |
        grep -vxF -e "$present" -e "$(printf '%s\n' "${wanted[@]}")"
    )
    wanted+=("${next[@]}")
  done
  # The programs are looked for in the cache, also where the machine has some of
  # them; its own curl will do.
  printf '%s\n' "${wanted[@]}" | { if command -v curl >/dev/null; then grep -vxF curl; else cat; fi; }
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
    echo "$server.sh: fetching fresh package lists" >&2
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

# As many different ports. They are outside the kernel's range for outgoing
# connections, which come and go.
free_ports() {
  local port ports=()
  for _ in {1..50}; do
    ((${#ports[@]} < $1)) || break
    port=$((10000 + RANDOM % 20000))
    if [[ " ${ports[*]} " != *" $port "* ]] && ! answers_at "$port"; then
      ports+=("$port")
    fi
  done
  ((${#ports[@]} == $1)) || die "no free port"
  echo "${ports[*]}"
}

# The port of the gateway, which the environment may name, and as many others.
ports_for_gateway_and() {
  local port=${FETCHBOX_TEST_S3_PORT:-}
  if [[ -z $port ]]; then
    free_ports $(($1 + 1))
  elif answers_at "$port"; then
    die "port $port is taken"
  else
    echo "$port $(free_ports "$1")"
  fi
}

answers_at() {
  (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Runs a daemon that outlives this script, the terminal and the caller's pipes.
daemon() {
  local name=$1
  shift
  LD_LIBRARY_PATH=$(library_path) setsid "$@" </dev/null >"$dir/$name.out" 2>&1 &
  echo "$!" >>"$dir/pids"
  # Bash need not report its end.
  disown
}

# The recorded processes that still run. A path in the folder, which each has as
# an argument, tells them from strangers that have since been given the same
# number; a zombie has none.
running() {
  local pid
  [[ -f $dir/pids ]] || return 0
  while read -r pid; do
    if tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$dir/"; then
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
      rm -rf "$dir/pids" "$dir/s3.env" "${state[@]/#/$dir/}"
      return 0 # a bare return in a trap gives the status from before it
    fi
    kill -KILL "${pids[@]}" 2>/dev/null || true
    sleep 0.05
  done
  die "still running: ${pids[*]}"
}

# A folder without the state of an earlier start.
prepare() {
  installed || die "run $server.sh install first"
  mkdir -p "$dir"
  [[ -z $(running) ]] || die "already running in $dir"
  rm -rf "${dir:?}"/{pids,s3.env,*.log,*.out} "${state[@]/#/$dir/}"
  trap abandon EXIT
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

gateway_answers() {
  run curl --silent --noproxy '*' --max-time 2 --output /dev/null "$endpoint"
}

# The keys go into a URL: an access key may have a colon, at which --user would
# cut it. The header is wanted, and this curl does not add it by itself.
signed() {
  local url=${*: -1} user
  user=$(in_url "$key"):$(in_url "$secret")
  run curl --silent --show-error --fail --noproxy '*' --max-time 30 --output /dev/null \
    --aws-sigv4 aws:amz:us-east-1:s3 --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \
    "${@:1:$#-1}" "${url/:\/\//://$user@}"
}

in_url() {
  local text=${1//:/%3A}
  text=${text//+/%2B}
  text=${text//\//%2F}
  echo "${text//=/%3D}"
}

make_buckets() {
  local bucket
  for bucket in "${buckets[@]}"; do
    signed --request PUT "$endpoint/$bucket"
  done
}

access_key() {
  od -An -N10 -tx1 /dev/urandom | tr -d ' \n' | tr a-f A-F
}

# With + and /, as real ones have.
secret_key() {
  head -c 30 /dev/urandom | base64
}

# What tests find the server by.
ready() {
  (umask 077 && cat >"$dir/s3.env.new") <<EOS
S3_ENDPOINT=$endpoint
S3_ACCESS_KEY_ID=$key
S3_SECRET_ACCESS_KEY=$secret
S3_BUCKET=${buckets[0]}
S3_OTHER_ACCESS_KEY_ID=$other_key
S3_OTHER_SECRET_ACCESS_KEY=$other_secret
EOS
  # Whoever waits for the file must not see half of it.
  mv "$dir/s3.env.new" "$dir/s3.env"
  trap - EXIT
}

main() {
  case ${1:-}/$# in
    install/1) install_packages ;;
    start/2 | stop/2)
      # The daemons want absolute paths.
      dir=$(realpath -m -- "$2")
      if [[ $1 == start ]]; then start_server; else stop_daemons; fi
      ;;
    *) die "usage: $server.sh install | start DIR | stop DIR" ;;
  esac
}
