# shellcheck shell=bash
# Functions that the scripts in this folder share. Sourced, never run.
#
# Every script prints its result on standard output and all else on standard
# error, so that callers may capture the one and show the other.

CLUSTER_FOLDER=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
NEWEST=1.37
OLDEST=1.29
export CLUSTER_FOLDER NEWEST OLDEST

# Exit code for "this machine lacks what the cluster tests need": callers skip.
SKIP=77

# The file that marks a folder as one that an up script made, so that a down
# script never deletes anything else.
MARKER=.native-sidecar-cluster

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: error: $*"; exit 1; }
skip() { say "${0##*/}: skipped: $*"; exit "$SKIP"; }

# need COMMAND...: the commands of the operating system that a script calls.
need() {
  local command
  for command in "$@"; do
    command -v "$command" >/dev/null || skip "this machine has no '$command'"
  done
}

# seconds_since MOMENT: MOMENT is an earlier `date +%s%3N`.
seconds_since() { awk -v a="$1" -v b="$(date +%s%3N)" 'BEGIN { printf "%.1f", (b - a) / 1000 }'; }

cache_folder() {
  local base=${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}
  printf '%s\n' "${NATIVE_SIDECAR_CACHE:-$base/native-sidecar}"
}

# --- state folder -----------------------------------------------------------

# state_open [FOLDER]: sets STATE to an empty marked folder, made when absent.
state_open() {
  if [ -n "${1:-}" ]; then
    mkdir -p "$1"
    STATE=$(cd "$1" && pwd)
    [ -z "$(ls -A "$STATE")" ] || die "state folder $STATE is not empty; take the old cluster down first"
  else
    STATE=$(mktemp -d "${TMPDIR:-/tmp}/native-sidecar-cluster.XXXXXX")
  fi
  case $STATE in *[[:space:],:]*) die "state folder '$STATE' has a space, comma or colon in its name" ;; esac
  touch "$STATE/$MARKER"
  mkdir -p "$STATE/logs" "$STATE/pids"
  chmod 700 "$STATE"
}

# state_find FOLDER: sets STATE to a folder that state_open made.
state_find() {
  [ -n "${1:-}" ] || die "name the state folder that 'up' printed"
  [ -d "$1" ] || die "no cluster has the state folder $1"
  STATE=$(cd "$1" && pwd)
  [ -f "$STATE/$MARKER" ] || die "$STATE is not the state folder of a cluster"
}

# --- programs in the background ----------------------------------------------

# start NAME COMMAND...: runs COMMAND detached from the caller, with its output
# in logs/NAME.log. The state folder's path is in its environment, by which
# stop_all recognises the process again before it kills it.
start() {
  local name=$1
  shift
  NATIVE_SIDECAR_STATE=$STATE setsid "$@" >"$STATE/logs/$name.log" 2>&1 </dev/null &
  echo $! >"$STATE/pids/$name"
  # Or bash would report on its own that the process was killed.
  disown
}

alive() { kill -0 "$(cat "$STATE/pids/$1")" 2>/dev/null; }

# fail_with_log NAME TEXT...: one line of error, then the end of NAME's log.
fail_with_log() {
  local name=$1
  shift
  say "${0##*/}: error: $*"
  say "--- the last lines of $name.log:"
  tail -n 20 "$STATE/logs/$name.log" | cut -c 1-400 >&2
  exit 1
}

# wait_until NAME WHAT COMMAND...: repeats COMMAND until it succeeds; gives up
# when program NAME ends, or when not even a busy machine would take so long.
wait_until() {
  local name=$1 what=$2 seconds=300 end
  shift 2
  end=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    alive "$name" || fail_with_log "$name" "$name ended before $what"
    [ "$SECONDS" -lt "$end" ] || fail_with_log "$name" "no sign after $seconds s that $what"
    sleep 0.1
  done
}

# stop_all: kills every recorded process that still is what was started. The
# state is thrown away, so nothing has to end gracefully; that saves seconds.
stop_all() {
  local file pid tries
  for file in "$STATE"/pids/*; do
    [ -f "$file" ] || continue
    pid=$(cat "$file")
    if tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | grep -qxF "NATIVE_SIDECAR_STATE=$STATE"; then
      kill -KILL "$pid" 2>/dev/null || true
      for tries in $(seq 1200); do
        kill -0 "$pid" 2>/dev/null || break
        # A zombie is dead; its parent only has not asked for its exit code.
        grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null && break
        [ "$tries" -lt 1200 ] || die "process $pid does not end"
        sleep 0.05
      done
    fi
    rm -f "$file"
  done
}

# state_remove: deletes the folder with all in it, unless KEEP_STATE is set.
state_remove() {
  [ -z "${KEEP_STATE:-}" ] || { say "kept $STATE"; return 0; }
  rm -rf "$STATE"
}

# --- ports --------------------------------------------------------------------

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port: a port of the loopback interface that nobody listens on, below
# the range from which the kernel takes ports for outgoing connections and
# below the range of node ports.
free_port() {
  local port tries
  for tries in $(seq 50); do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 9000))
    port_open "$port" || { printf '%s\n' "$port"; return 0; }
  done
  die "no free port after $tries tries"
}

# --- certificates ---------------------------------------------------------------

# All certificates of one cluster, made anew for it, elliptic-curve keys in
# PKCS #8. pki ALTERNATIVE_NAMES: names and addresses of the API server.
pki() {
  local folder=$STATE/pki file
  mkdir -p "$folder"
  # A command that fails inside would not stop a function called before "||",
  # so the files are looked for at the end instead.
  (
    cd "$folder"
    authority ca kubernetes-ca
    authority front-proxy-ca front-proxy-ca
    certificate apiserver /CN=kube-apiserver ca serverAuth "$1"
    certificate admin /O=system:masters/CN=admin ca clientAuth
    certificate controller-manager /CN=system:kube-controller-manager ca clientAuth
    certificate front-proxy-client /CN=front-proxy-client front-proxy-ca clientAuth
    key service-account
    openssl pkey -in service-account.key -pubout -out service-account.pub
  ) 2>"$STATE/logs/pki.log" || true
  for file in ca.crt front-proxy-ca.crt apiserver.crt admin.crt controller-manager.crt front-proxy-client.crt service-account.pub; do
    [ -s "$folder/$file" ] || fail_with_log pki "openssl did not make $file"
  done
}

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }

authority() {
  key "$1"
  openssl req -x509 -new -key "$1.key" -subj "/CN=$2" -days 3650 -out "$1.crt" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,digitalSignature
}

# certificate NAME SUBJECT AUTHORITY USAGE [ALTERNATIVE_NAMES]
certificate() {
  key "$1"
  {
    printf 'basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n' "$4"
    [ -z "${5:-}" ] || printf 'subjectAltName=%s\n' "$5"
  } >"$1.ext"
  openssl req -new -key "$1.key" -subj "$2" |
    openssl x509 -req -CA "$3.crt" -CAkey "$3.key" -CAcreateserial -days 3650 -extfile "$1.ext" -out "$1.crt"
}

# What the API server shows the webhook, as a user would set it up. Only the webhook's service is shown it, and only
# asks for it with --client-ca.
admission_pki() {
  "$CLUSTER_FOLDER/../../certs/make-client" "$STATE/admission" "$STATE/admission" 2>"$STATE/logs/admission-pki.log" ||
    fail_with_log admission-pki "certs/make-client failed"
}

# kubeconfig CERTIFICATE FILE SERVER: credentials are embedded, so that the
# file works wherever it is copied to.
kubeconfig() {
  local folder=$STATE/pki
  cat >"$2" <<YAML
apiVersion: v1
kind: Config
current-context: cluster
clusters:
- name: cluster
  cluster:
    server: $3
    certificate-authority-data: $(base64 -w0 "$folder/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 "$folder/$1.crt")
    client-key-data: $(base64 -w0 "$folder/$1.key")
contexts:
- name: cluster
  context: {cluster: cluster, user: $1}
YAML
  chmod 600 "$2"
}

# --- the control plane's programs -------------------------------------------------
# They read PROGRAMS (folder), STATE, API_PORT, ETCD_PORT.

start_etcd() {
  # Nothing has to survive a crash of the machine: --unsafe-no-fsync.
  # The peer address is never dialled with one member; port 0 means any.
  start etcd "$PROGRAMS/etcd" --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "http://127.0.0.1:$ETCD_PORT" --advertise-client-urls "http://127.0.0.1:$ETCD_PORT" \
    --listen-peer-urls http://127.0.0.1:0
}

audit_policy() {
  cat <<'YAML'
# What the tests read: every write, with its body where that holds no secret.
# At level Request the API server also notes the patch of each webhook.
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  verbs: [get, list, watch]
- level: None
  users: ["system:apiserver"]
- level: None
  resources:
  - {group: coordination.k8s.io, resources: [leases]}
  - {group: "", resources: [events]}
  - {group: events.k8s.io, resources: [events]}
- level: Metadata
  resources:
  - {group: "", resources: [secrets, configmaps, serviceaccounts/token]}
  - {group: authentication.k8s.io}
- level: Request
YAML
}

# start_apiserver SERVICE_RANGE MORE_ARGUMENTS...
start_apiserver() {
  local pki=$STATE/pki issuer=https://kubernetes.default.svc.cluster.local range=$1
  shift
  audit_policy >"$STATE/audit-policy.yaml"
  admission_pki
  start kube-apiserver "$PROGRAMS/kube-apiserver" \
    --etcd-servers="http://127.0.0.1:$ETCD_PORT" \
    --secure-port="$API_PORT" --cert-dir="$STATE/pki" \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --client-ca-file="$pki/ca.crt" \
    --requestheader-client-ca-file="$pki/front-proxy-ca.crt" \
    --requestheader-allowed-names=front-proxy-client \
    --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --requestheader-group-headers=X-Remote-Group \
    --requestheader-username-headers=X-Remote-User \
    --proxy-client-cert-file="$pki/front-proxy-client.crt" --proxy-client-key-file="$pki/front-proxy-client.key" \
    --service-account-issuer="$issuer" --api-audiences="$issuer" \
    --service-account-key-file="$pki/service-account.pub" \
    --service-account-signing-key-file="$pki/service-account.key" \
    --service-cluster-ip-range="$range" \
    --allow-privileged=true --profiling=false \
    --admission-control-config-file="$STATE/admission/admission.yaml" \
    --audit-policy-file="$STATE/audit-policy.yaml" --audit-log-path="$STATE/audit.log" \
    "$@"
}

# start_controller_manager [MORE_ARGUMENTS...]. Its default of 20 requests a
# second makes it wait 4 s at start for its own limit.
start_controller_manager() {
  local pki=$STATE/pki config=$STATE/pki/controller-manager.kubeconfig
  kubeconfig controller-manager "$config" "https://127.0.0.1:$API_PORT"
  start kube-controller-manager "$PROGRAMS/kube-controller-manager" \
    --kubeconfig="$config" --secure-port=0 --leader-elect=false --profiling=false \
    --kube-api-qps=500 --kube-api-burst=1000 --use-service-account-credentials \
    --service-account-private-key-file="$pki/service-account.key" --root-ca-file="$pki/ca.crt" \
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" "$@"
}

kube() { "$PROGRAMS/kubectl" --kubeconfig "$STATE/kubeconfig" --request-timeout=10s "$@"; }

# wait_for_apiserver: the port first, since each kubectl costs a tenth of a second.
wait_for_apiserver() {
  wait_until kube-apiserver "it listens" port_open "$API_PORT"
  wait_until kube-apiserver "it is ready" kube get --raw /readyz
}

wait_for_service_account() {
  wait_until kube-controller-manager "it made the service account default/default" \
    kube -n default get serviceaccount default
}
