#!/usr/bin/env bash
# Builds the programs of the test cluster that are missing or out of date:
# etcd, kube-apiserver, kube-controller-manager and kubectl, from the Go modules
# in the folders beside this file. See README.md.
#
# Prints one line on stdout, the folder that holds the programs; everything else
# goes to stderr.
#
#   POSTERN_K8S_DIR     where to build (default: target/k8s of this repository);
#                       the programs are in its subfolder <kubernetes version>
#   KUBEBUILDER_ASSETS  a folder with etcd, kube-apiserver and kubectl: these are
#                       used, and nothing is built
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)

say() { printf 'cluster: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# --- programs the user brings -------------------------------------------------

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  missing=
  for program in etcd kube-apiserver kubectl; do
    [ -x "$KUBEBUILDER_ASSETS/$program" ] || missing="$missing $program"
  done
  if [ -z "$missing" ]; then
    say "using KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS, nothing is built"
    (cd "$KUBEBUILDER_ASSETS" && pwd)
    exit 0
  fi
  say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS is not used: it lacks$missing"
fi

# --- what to build, and where -------------------------------------------------

# The version of module $2 that wrapper $1 requires.
required() {
  awk -v module="$2" '$1 == "require" { $1 = ""; $0 = $0 } $1 == module { print $2; exit }' "$here/$1/go.mod"
}

kubernetes=$(required kubernetes k8s.io/kubernetes)
etcd=$(required etcd go.etcd.io/etcd/server/v3)
[ -n "$kubernetes" ] || die "kubernetes/go.mod requires no k8s.io/kubernetes"
[ -n "$etcd" ] || die "etcd/go.mod requires no go.etcd.io/etcd/server/v3"

IFS=. read -r major minor _ <<<"${kubernetes#v}"
base=k8s.io/component-base/version
strip='-s -w'
kubernetes_ldflags="$strip -X $base.gitVersion=$kubernetes -X $base.gitMajor=$major -X $base.gitMinor=$minor"
kubernetes_ldflags="$kubernetes_ldflags -X k8s.io/client-go/pkg/version.gitVersion=$kubernetes"

root=${POSTERN_K8S_DIR:-$repo/target/k8s}
mkdir -p "$root/$kubernetes"
out=$(cd "$root/$kubernetes" && pwd)

# program | wrapper module | package | version | linker flags
programs="\
etcd|etcd|go.etcd.io/etcd/server/v3|$etcd|$strip
kube-apiserver|kubernetes|k8s.io/kubernetes/cmd/kube-apiserver|$kubernetes|$kubernetes_ldflags
kube-controller-manager|kubernetes|k8s.io/kubernetes/cmd/kube-controller-manager|$kubernetes|$kubernetes_ldflags
kubectl|kubernetes|k8s.io/kubernetes/cmd/kubectl|$kubernetes|$kubernetes_ldflags"

# --- what is missing or out of date -------------------------------------------

sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d' ' -f1; }

# One hash per wrapper module; a stamp adds the platform and the linker flags.
etcd_hash=$(cat "$here/etcd/go.mod" "$here/etcd/go.sum" | sha256)
kubernetes_hash=$(cat "$here/kubernetes/go.mod" "$here/kubernetes/go.sum" | sha256)
platform=$(uname -sm)

# What the stamp beside an up-to-date program of wrapper $1 with linker flags $2 says.
stamp() {
  case $1 in
    etcd) printf '%s %s %s\n' "$etcd_hash" "$platform" "$2" ;;
    kubernetes) printf '%s %s %s\n' "$kubernetes_hash" "$platform" "$2" ;;
  esac
}

# The lines of $programs that must be built.
outdated() {
  local program wrapper package version ldflags
  while IFS='|' read -r program wrapper package version ldflags; do
    if [ -x "$out/$program" ] && [ "$(cat "$out/.$program.stamp" 2>/dev/null)" = "$(stamp "$wrapper" "$ldflags")" ]; then
      continue
    fi
    printf '%s|%s|%s|%s|%s\n' "$program" "$wrapper" "$package" "$version" "$ldflags"
  done <<<"$programs"
}

todo=$(outdated)
if [ -z "$todo" ]; then
  printf '%s\n' "$out"
  exit 0
fi

command -v go >/dev/null || die "\
the program 'go' is missing: it builds $(cut -d'|' -f1 <<<"$todo" | paste -sd' ' -) for the test cluster.
  Install Go $(awk '$1 == "go" { print $2 }' "$here/kubernetes/go.mod") or newer (https://go.dev/doc/install) and put it on PATH,
  or set KUBEBUILDER_ASSETS to a folder that holds etcd, kube-apiserver and kubectl."

# --- build --------------------------------------------------------------------

# One build at a time; without flock two builds only waste time, never harm.
if command -v flock >/dev/null; then
  exec 9>"$out/.lock"
  if ! flock -n 9; then
    say "waiting for another build in $out"
    flock 9
    todo=$(outdated)
  fi
  rm -rf "$out"/.build.*
fi

work=$out/.build.$$
heartbeat=
cleanup() {
  [ -z "$heartbeat" ] || kill "$heartbeat" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir -p "$work"

elapsed() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }

# Builds for this machine, whatever the caller cross-compiles.
unset GOOS GOARCH
export CGO_ENABLED=0 GOWORK=off

build() {
  local program=$1 wrapper=$2 package=$3 version=$4 ldflags=$5 status=0
  say "[$(elapsed)] building $program $version ($number of $total)"
  # sleep outlives the kill below: it must not hold the caller's pipes.
  while sleep 15 >/dev/null 2>&1; do say "[$(elapsed)] still building $program"; done 9>&- &
  heartbeat=$!
  (cd "$here/$wrapper" && go build -mod=readonly -buildvcs=false -trimpath -ldflags "$ldflags" \
    -o "$work/$program" "$package") 9>&- </dev/null >&2 || status=$?
  kill "$heartbeat" 2>/dev/null || true
  wait "$heartbeat" 2>/dev/null || true
  heartbeat=
  [ "$status" = 0 ] || die "building $program $version failed, see above"

  # The stamp goes first and comes back last: a stop in between means "build again".
  stamp "$wrapper" "$ldflags" >"$work/$program.stamp"
  rm -f "$out/.$program.stamp"
  mv -f "$work/$program" "$out/$program"
  mv -f "$work/$program.stamp" "$out/.$program.stamp"
}

if [ -n "$todo" ]; then
  total=$(wc -l <<<"$todo" | tr -d ' ')
  number=0
  say "building the test cluster into $out; the first build takes several minutes, later ones are quick"
  while IFS='|' read -r program wrapper package version ldflags; do
    number=$((number + 1))
    build "$program" "$wrapper" "$package" "$version" "$ldflags"
  done <<<"$todo"
  say "[$(elapsed)] done"
fi
printf '%s\n' "$out"
