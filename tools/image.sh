#!/usr/bin/env bash
# Writes the image, without Docker: an archive that `docker load`, `podman load`,
# `ctr images import`, `kind load image-archive` and `crane push` take.
#
#   tools/image.sh build                       build the program
#   tools/image.sh files [PROGRAM]             lay out the files of the image
#   tools/image.sh archive FILE [PROGRAM]      the same, and write the archive; prints the digest of the image
#   tools/image.sh bill FILE                   write what the program is made of (SBOM: CycloneDX, JSON)
#
# PROGRAM is what `make image` builds unless another one is given. A program that
# needs libraries (a build for tests) gets those of this machine; the one of
# `make image` needs none. The Dockerfile says everything else: user, entry point,
# environment, labels. The same program gives the same archive to the byte.
#
#   POSTERN_IMAGE   the name of the image (default: postern:<version>)
#   SOURCE_DATE_EPOCH   the date of files (default: that of the last commit, or 0)
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$repo/target}
architecture=$(uname -m)
work=${POSTERN_IMAGE_DIR:-$target/image}

say() { printf 'image: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$repo/Cargo.toml" | head -1)
name=${POSTERN_IMAGE:-postern:$version}
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$repo" log -1 --format=%ct 2>/dev/null || echo 0)}

build() {
  local triple=$architecture-unknown-linux-musl variable
  variable=CC_${triple//-/_}
  export "$variable=${!variable:-musl-gcc}"
  # Where the sources are on this machine is nobody's business, and would make two builds differ.
  RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$repo=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo" \
    cargo build --locked --release --target "$triple" --bin postern
}

lay_out() {
  local program=${1:-$target/$architecture-unknown-linux-musl/release/postern}
  [ -x "$program" ] || die "there is no $program"
  rm -rf "$work/files"
  mkdir -p "$work/files/etc/ssl/certs"
  # Names of functions stay, for backtraces.
  strip --strip-debug -o "$work/files/postern" "$program"
  local authorities=/etc/ssl/certs/ca-certificates.crt
  [ -s "$authorities" ] || die "there is no $authorities: install ca-certificates"
  cp "$authorities" "$work/files$authorities"
  echo 'postern:x:65532:65532:postern:/:/sbin/nologin' >"$work/files/etc/passwd"
  echo 'postern:x:65532:' >"$work/files/etc/group"

  local library
  for library in $(ldd "$program" 2>/dev/null | grep -o '/[^ ]*' || true); do
    mkdir -p "$work/files$(dirname "$library")"
    cp -L "$library" "$work/files$library"
    shared=yes
  done
  [ -z "${shared:-}" ] || say "$program needs libraries: those of this machine are in the image"
  chmod -R u=rwX,go=rX "$work/files"
}

# The words after an instruction of the Dockerfile, a line for each time it is there.
instruction() { sed -n "s/^$1 //p" "$repo/Dockerfile"; }

# What is in a JSON list of strings without commas or quotes in them.
words() { tr -d '[]"' <<<"$1" | tr ',' ' '; }

platform() {
  # The machine in the ELF header.
  case $(od -An -t u2 -j 18 -N 2 "$work/files/postern" | tr -d ' ') in
    62) echo linux/amd64 ;;
    183) echo linux/arm64 ;;
    *) die "what machine is $work/files/postern for?" ;;
  esac
}

write_archive() {
  local archive=$1 crane flags=() value port
  crane=$("$repo/tests/cluster/build.sh" image)/crane
  tar -C "$work/files" --sort=name --format=gnu --owner=0 --group=0 --numeric-owner --mtime="@$epoch" -cf "$work/layer.tar" .

  while read -r value; do flags+=(--env "$value"); done < <(instruction ENV)
  while read -r value; do flags+=(--label "${value//\"/}"); done < <(instruction LABEL)
  for port in $(instruction EXPOSE); do flags+=(--exposed-ports "$port/tcp"); done
  flags+=(--label "org.opencontainers.image.version=$version")
  flags+=(--user "$(instruction USER)" --set-platform "$(platform)")
  for value in $(words "$(instruction ENTRYPOINT)"); do flags+=(--entrypoint "$value"); done
  for value in $(words "$(instruction CMD)"); do flags+=(--cmd "$value"); done

  # crane changes images in a registry only: one on loopback, for as long as this takes.
  local log=$work/registry.log
  : >"$log" # Somebody reads it before there is a line.
  "$crane" registry serve --address 127.0.0.1:0 >"$log" 2>&1 &
  local registry=$!
  # shellcheck disable=SC2064 # The number of now.
  trap "kill $registry 2>/dev/null || true" EXIT
  for _ in $(seq 100); do
    port=$(sed -n 's/.*serving on port \([0-9]*\).*/\1/p' "$log" | head -1)
    [ -z "$port" ] || break
    sleep 0.05
  done
  [ -n "$port" ] || { cat "$log" >&2; die "crane's registry does not start"; }
  local remote=127.0.0.1:$port/layer
  "$crane" append --insecure --new_layer "$work/layer.tar" --new_tag "$remote" >"$work/crane.log" 2>&1 &&
    "$crane" mutate --insecure "$remote" "${flags[@]}" --tag "$name" --output "$archive" >>"$work/crane.log" 2>&1 ||
    { cat "$work/crane.log" >&2; die "crane failed"; }
  kill "$registry" 2>/dev/null || true
  say "$name, $(platform), $(du -h "$archive" | cut -f1): $archive"
  "$crane" digest --tarball "$archive"
}

# What is linked into the program, with versions, licences and digests of the sources: the same sources, the same bytes.
bill() {
  local file=$1 name=postern-bill.tmp
  # It writes beside the manifest, and nowhere else.
  # shellcheck disable=SC2064 # The name of now.
  trap "rm -f '$repo/$name.json'" EXIT
  (cd "$repo" && SOURCE_DATE_EPOCH=$epoch cargo cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps \
    --target "$architecture-unknown-linux-musl" --override-filename "$name")
  mkdir -p "$(dirname "$file")"
  # Where the sources were on this machine is nobody's business.
  sed "s|path+file://$repo|path+file:///postern|g" "$repo/$name.json" >"$file"
  say "$(grep -c '"purl"' "$file") packages: $file"
}

case ${1:-} in
  build) build ;;
  files) lay_out "${2:-}" ;;
  archive)
    lay_out "${3:-}"
    write_archive "${2:?usage: tools/image.sh archive FILE [PROGRAM]}"
    ;;
  bill) bill "${2:?usage: tools/image.sh bill FILE}" ;;
  *) die "usage: tools/image.sh build | files [PROGRAM] | archive FILE [PROGRAM] | bill FILE" ;;
esac
