# shellcheck shell=bash
# What the scripts in this folder share. Sourced, never run.

MANIFESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../manifests" && pwd)
ROOT=${MANIFESTS%/manifests}
CHART=$MANIFESTS/helm/native-sidecar
OVERLAYS=(self-managed mutual-tls cert-manager manual-certs kind
  kubernetes-1.29 kubernetes-1.29-mutual-tls kubernetes-1.29-cert-manager kubernetes-1.29-manual-certs kubernetes-1.29-kind)
export MANIFESTS ROOT CHART OVERLAYS

PASSED=0
FAILED=0
SKIPPED=0

pass() { PASSED=$((PASSED + 1)); printf 'ok       %s\n' "$*"; }
fail() { FAILED=$((FAILED + 1)); printf 'FAILED   %s\n' "$*"; }
skip() { SKIPPED=$((SKIPPED + 1)); printf 'skipped  %s\n' "$*"; }

# try WHAT COMMAND...: passes when the command succeeds; shows its output if not.
try() {
  local what=$1 output
  shift
  if output=$("$@" 2>&1); then pass "$what"; else fail "$what"; printf '%s\n' "$output" | sed 's/^/           /'; fi
}

# refused WHAT PATTERN COMMAND...: passes when it fails and says PATTERN.
refused() {
  local what=$1 pattern=$2 output
  shift 2
  if output=$("$@" 2>&1); then
    fail "$what: it was not refused"
  elif grep -qE -- "$pattern" <<<"$output"; then
    pass "$what"
  else
    fail "$what: refused, but with other words"
    printf '%s\n' "$output" | sed 's/^/           /'
  fi
}

# equal WHAT WANTED GOT
equal() {
  if [ "$2" = "$3" ]; then pass "$1"; else fail "$1: wanted '$2', got '$3'"; fi
}

# without API_GROUP... : documents on standard input, less those of these groups.
without() {
  awk -v groups="$*" '
    BEGIN { n = split(groups, skip, " "); RS = "\n---\n" }
    { keep = 1; for (i = 1; i <= n; i++) if (index("\n" $0, "\napiVersion: " skip[i])) keep = 0
      if (keep) printf "%s\n---\n", $0 }'
}

# the last line is one that test runners and their readers know
summary() {
  printf '%s passed, %s failed, %s skipped\n' "$PASSED" "$FAILED" "$SKIPPED"
  [ "$FAILED" = 0 ]
}
