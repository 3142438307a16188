# shellcheck shell=bash
# Functions and names that the node's scripts share. Sourced after ../lib.sh.

# Addresses exist in the node's own network namespace only, so they are the
# same for every node and never those of the machine.
NODE_NAME=node
NODE_ADDRESS=10.88.0.1
POD_RANGE=10.88.1.0/24
SERVICE_RANGE=10.96.0.0/16
API_SERVICE=10.96.0.1
API_PORT=6443
ETCD_PORT=2379
CONTAINERD=/run/containerd/containerd.sock
export NODE_NAME NODE_ADDRESS POD_RANGE SERVICE_RANGE API_SERVICE API_PORT ETCD_PORT CONTAINERD

# first_process: the process that is number 1 inside, by its number outside.
first_process() {
  local holder child
  holder=$(cat "$STATE/pids/holder" 2>/dev/null) || return 1
  # No line end follows, for which read complains.
  read -r child _ 2>/dev/null <"/proc/$holder/task/$holder/children" || [ -n "${child:-}" ] || return 1
  # Before it is the holder script it still is unshare, half set up.
  tr '\0' ' ' <"/proc/$child/cmdline" | grep -q node/holder || return 1
  printf '%s\n' "$child"
}

# inside COMMAND...: runs it in the namespaces, in the same folder as outside.
inside() {
  local first
  first=$(first_process) || return 1
  # shellcheck disable=SC2016 # expanded by the inner shell
  nsenter --target "$first" --mount --net --pid -- \
    /bin/bash -c 'cd "$1" && shift && exec "$@"' inside "$PWD" "$@"
}

# --- control groups --------------------------------------------------------------
# All pods are below one group, named after the state folder, so that it can be
# removed afterwards and several nodes do not meet.

cgroup_name() { printf 'native-sidecar-%s\n' "$(printf %s "$STATE" | cksum | cut -d ' ' -f 1)"; }

# cgroup_roots: version 2 has one tree, version 1 one for each controller; both
# may be there.
cgroup_roots() { awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts; }

make_cgroups() {
  local root name file
  name=$(cgroup_name)
  for root in $(cgroup_roots); do
    if [ -f "$root/cgroup.controllers" ]; then
      # shellcheck disable=SC2046 # one word for each controller is meant
      printf '+%s ' $(cat "$root/cgroup.controllers") >"$root/cgroup.subtree_control" 2>/dev/null || true
    fi
    mkdir -p "$root/$name"
    for file in cpuset.cpus cpuset.mems; do
      [ ! -f "$root/$file" ] || cat "$root/$file" >"$root/$name/$file"
    done
  done
}

remove_cgroups() {
  local root name tries
  name=$(cgroup_name)
  for tries in $(seq 50); do
    for root in $(cgroup_roots); do
      [ ! -d "$root/$name" ] || find "$root/$name" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    [ -n "$(for root in $(cgroup_roots); do [ ! -d "$root/$name" ] || echo left; done)" ] || return 0
    [ "$tries" -lt 50 ] || say "node: control groups $name are left: a process in them does not end"
    sleep 0.1
  done
}

# take_down: the holder's end is the end of every process and mount inside.
# Process 1 counts as ended when all the others have.
take_down() {
  local first tries
  first=$(first_process || true)
  stop_all
  for tries in $(seq 1200); do
    [ "$(cut -d ' ' -f 3 "/proc/${first:-none}/stat" 2>/dev/null || echo Z)" != Z ] || break
    [ "$tries" -lt 1200 ] || die "process $first does not end"
    sleep 0.05
  done
  remove_cgroups
  state_remove
}
