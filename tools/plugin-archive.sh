#!/usr/bin/env bash
# Packs `kubectl postern` as krew installs it.
#
#   tools/plugin-archive.sh build                  build the program
#   tools/plugin-archive.sh archive [PROGRAM]      write the archive, its sum, and the manifest that names both
#
# PROGRAM is what `build` builds unless another one is given. Into `target/plugin` (or POSTERN_PLUGIN_DIR) go
# `kubectl-postern-OS-ARCH.tar.gz`, the same with `.sha256`, and `postern.yaml`: dist/krew.yaml for this platform, which
# `kubectl krew install --manifest=postern.yaml --archive=kubectl-postern-OS-ARCH.tar.gz` takes. The same program gives
# the same archive to the byte.
#
#   SOURCE_DATE_EPOCH   the date of files (default: that of the last commit, or 0)
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$repo/target}
work=${POSTERN_PLUGIN_DIR:-$target/plugin}

say() { printf 'plugin-archive: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$repo/Cargo.toml" | head -1)
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$repo" log -1 --format=%ct 2>/dev/null || echo 0)}
machine=$(uname -m)
case $machine in
  x86_64) arch=amd64 ;;
  aarch64 | arm64) arch=arm64 ;;
  *) die "krew knows no platform for $machine" ;;
esac
case $(uname -s) in
  Linux) os=linux triple=$machine-unknown-linux-musl ;;
  *) die "only the archives of Linux are built here" ;;
esac
name=kubectl-postern-$os-$arch.tar.gz

build() {
  local variable=CC_${triple//-/_}
  export "$variable=${!variable:-musl-gcc}"
  # Where the sources are on this machine is nobody's business, and would make two builds differ.
  RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$repo=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo" \
    cargo build --locked --release --target "$triple" --bin kubectl-postern
}

archive() {
  local program=${1:-$target/$triple/release/kubectl-postern}
  [ -x "$program" ] || die "there is no $program"
  rm -rf "$work"
  mkdir -p "$work/files"
  strip --strip-debug -o "$work/files/kubectl-postern" "$program"
  cp "$repo/dist/kubectl_complete-postern" "$repo/LICENSE" "$work/files/"
  chmod 755 "$work/files/kubectl-postern" "$work/files/kubectl_complete-postern"
  chmod 644 "$work/files/LICENSE"
  tar --create --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mtime="@$epoch" \
    --directory "$work/files" LICENSE kubectl-postern kubectl_complete-postern | gzip --no-name >"$work/$name"
  rm -rf "$work/files"
  (cd "$work" && sha256sum "$name" >"$name.sha256")
  manifest "$(cut -d' ' -f1 "$work/$name.sha256")" >"$work/postern.yaml"
  say "$work/$name"
}

# dist/krew.yaml with the tag, and of its platforms this one, with the address and the sum.
manifest() {
  awk -v tag="v$version" -v sum="$1" -v archive="$name" -v platform="os: $os, arch: $arch" '
    /^#/ { next }
    { gsub(/\{\{ \.TagName \}\}/, tag) }
    /- selector:/ { mine = index($0, platform) > 0; inside = 1 }
    inside && !mine { next }
    /addURIAndSha/ {
      match($0, /"[^"]*"/)
      uri = substr($0, RSTART + 1, RLENGTH - 2)
      if (uri !~ archive "$") { print "no address of " archive ": " uri > "/dev/stderr"; exit 1 }
      printf "      uri: %s\n      sha256: \"%s\"\n", uri, sum
      found = 1
      next
    }
    { print }
    END { if (!found) exit 1 }
  ' "$repo/dist/krew.yaml"
}

case ${1:-} in
  build) build ;;
  archive) archive "${2:-}" ;;
  *) die "say build or archive" ;;
esac
