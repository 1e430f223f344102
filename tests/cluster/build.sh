#!/usr/bin/env bash
# Builds the programs of a level that are missing or out of date, from the Go
# modules in the folders beside this file and in tools/. See README.md.
#
#   tests/cluster/build.sh [api|oldest|node|chart|image]      (default: api)
#
#   api    etcd, kube-apiserver, kube-controller-manager, kubectl
#   oldest the same of the oldest minor version of Kubernetes that is supported
#   node   those of api, the other programs of a node, helm, and crane
#   chart  helm
#   image  crane
#
# Prints one line on stdout, the folder that holds the programs; everything else
# goes to stderr.
#
#   POSTERN_K8S_DIR     where to build (default: target/k8s of this repository);
#                       the programs are in its subfolder <kubernetes version>
#   KUBEBUILDER_ASSETS  a folder with etcd, kube-apiserver and kubectl: these are
#                       used for the api level, and nothing is built for it
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)

say() { printf 'cluster: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

level=${1:-api}
case $level in
  api | oldest | node | chart | image) ;;
  *) die "there is no level '$level': api, oldest, node, chart or image" ;;
esac

# --- programs the user brings -------------------------------------------------

if [ "$level" = api ] && [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
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

# The version of module $2 that the wrapper in folder $1 requires.
required() {
  local version
  version=$(awk -v module="$2" '$1 == "require" { $1 = ""; $0 = $0 } $1 == module { print $2; exit }' "$repo/$1/go.mod")
  [ -n "$version" ] || die "$1/go.mod requires no $2"
  printf '%s\n' "$version"
}

k8s=tests/cluster/kubernetes
[ "$level" != oldest ] || k8s=tests/cluster/oldest
kubernetes=$(required "$k8s" k8s.io/kubernetes)
etcd=$(required tests/cluster/etcd go.etcd.io/etcd/server/v3)
containerd=$(required tests/cluster/containerd github.com/containerd/containerd/v2)
helm=$(required tests/cluster/helm helm.sh/helm/v4)
crane=$(required tools/crane github.com/google/go-containerregistry)

IFS=. read -r major minor _ <<<"${kubernetes#v}"
base=k8s.io/component-base/version
strip='-s -w'
kubernetes_ldflags="$strip -X $base.gitVersion=$kubernetes -X $base.gitMajor=$major -X $base.gitMinor=$minor"
kubernetes_ldflags="$kubernetes_ldflags -X k8s.io/client-go/pkg/version.gitVersion=$kubernetes"
containerd_ldflags="$strip -X github.com/containerd/containerd/v2/version.Version=$containerd"

root=${POSTERN_K8S_DIR:-$repo/target/k8s}
mkdir -p "$root/$kubernetes"
out=$(cd "$root/$kubernetes" && pwd)

# levels | program | folder of the wrapper module | package | version | tags | linker flags
ctrd=tests/cluster/containerd
ctrd_package=github.com/containerd/containerd/v2/cmd
ctrd_tags=no_btrfs,no_devmapper,no_zfs
programs="\
api oldest node|etcd|tests/cluster/etcd|go.etcd.io/etcd/server/v3|$etcd||$strip
api oldest node|kube-apiserver|$k8s|k8s.io/kubernetes/cmd/kube-apiserver|$kubernetes||$kubernetes_ldflags
api oldest node|kube-controller-manager|$k8s|k8s.io/kubernetes/cmd/kube-controller-manager|$kubernetes||$kubernetes_ldflags
api oldest node|kubectl|$k8s|k8s.io/kubernetes/cmd/kubectl|$kubernetes||$kubernetes_ldflags
node|kube-scheduler|$k8s|k8s.io/kubernetes/cmd/kube-scheduler|$kubernetes||$kubernetes_ldflags
node|kube-proxy|$k8s|k8s.io/kubernetes/cmd/kube-proxy|$kubernetes||$kubernetes_ldflags
node|kubelet|$k8s|k8s.io/kubernetes/cmd/kubelet|$kubernetes||$kubernetes_ldflags
node|containerd|$ctrd|$ctrd_package/containerd|$containerd|$ctrd_tags|$containerd_ldflags
node|containerd-shim-runc-v2|$ctrd|$ctrd_package/containerd-shim-runc-v2|$containerd|$ctrd_tags|$containerd_ldflags
node|ctr|$ctrd|$ctrd_package/ctr|$containerd|$ctrd_tags|$containerd_ldflags
node chart|helm|tests/cluster/helm|helm.sh/helm/v4/cmd/helm|$helm||$strip
node image|crane|tools/crane|github.com/google/go-containerregistry/cmd/crane|$crane||$strip"

# --- what is missing or out of date -------------------------------------------

sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d' ' -f1; }

platform=$(uname -sm)

# What the stamp beside an up-to-date program says: its module, the platform, the tags and the linker flags.
stamp() {
  local wrapper=$1 tags=$2 ldflags=$3
  printf '%s %s %s %s\n' "$(cat "$repo/$wrapper/go.mod" "$repo/$wrapper/go.sum" | sha256)" "$platform" "$tags" "$ldflags"
}

# The lines of $programs that must be built for the level.
outdated() {
  local levels program wrapper package version tags ldflags
  while IFS='|' read -r levels program wrapper package version tags ldflags; do
    case " $levels " in *" $level "*) ;; *) continue ;; esac
    if [ -x "$out/$program" ] && [ "$(cat "$out/.$program.stamp" 2>/dev/null)" = "$(stamp "$wrapper" "$tags" "$ldflags")" ]; then
      continue
    fi
    printf '%s|%s|%s|%s|%s|%s\n' "$program" "$wrapper" "$package" "$version" "$tags" "$ldflags"
  done <<<"$programs"
}

todo=$(outdated)
if [ -z "$todo" ]; then
  printf '%s\n' "$out"
  exit 0
fi

command -v go >/dev/null || die "\
the program 'go' is missing: it builds $(cut -d'|' -f1 <<<"$todo" | paste -sd' ' -) for the test cluster.
  Install Go $(awk '$1 == "go" { print $2 }' "$here/kubernetes/go.mod") or newer (https://go.dev/doc/install) and put it on PATH.
  For the api level you can instead set KUBEBUILDER_ASSETS to a folder that holds etcd, kube-apiserver and kubectl."

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
  local program=$1 wrapper=$2 package=$3 version=$4 tags=$5 ldflags=$6 status=0
  say "[$(elapsed)] building $program $version ($number of $total)"
  # sleep outlives the kill below: it must not hold the caller's pipes.
  while sleep 15 >/dev/null 2>&1; do say "[$(elapsed)] still building $program"; done 9>&- &
  heartbeat=$!
  (cd "$repo/$wrapper" && go build -mod=readonly -buildvcs=false -trimpath -tags "$tags" -ldflags "$ldflags" \
    -o "$work/$program" "$package") 9>&- </dev/null >&2 || status=$?
  kill "$heartbeat" 2>/dev/null || true
  wait "$heartbeat" 2>/dev/null || true
  heartbeat=
  [ "$status" = 0 ] || die "building $program $version failed, see above"

  # The stamp goes first and comes back last: a stop in between means "build again".
  stamp "$wrapper" "$tags" "$ldflags" >"$work/$program.stamp"
  rm -f "$out/.$program.stamp"
  mv -f "$work/$program" "$out/$program"
  mv -f "$work/$program.stamp" "$out/.$program.stamp"
}

if [ -n "$todo" ]; then
  total=$(wc -l <<<"$todo" | tr -d ' ')
  number=0
  say "building the programs of the $level level into $out; the first build takes minutes, later ones are quick"
  while IFS='|' read -r program wrapper package version tags ldflags; do
    number=$((number + 1))
    build "$program" "$wrapper" "$package" "$version" "$tags" "$ldflags"
  done <<<"$todo"
  say "[$(elapsed)] done"
fi
printf '%s\n' "$out"
