#!/usr/bin/env bash
# Looks for the programs that a make target needs. As root on Debian it installs the missing ones; elsewhere it names them and
# says how to get them.
set -euo pipefail

target=${1:?usage: tools/setup.sh run|test|node|image|soak|bench|fuzz|deny}

say() { printf 'setup: %s\n' "$*" >&2; }

# program | Debian package | what to do elsewhere
needs_run='cc|gcc|install a C compiler
cargo||install Rust with rustup: https://rustup.rs'
needs_test="$needs_run
git|git|install git
curl|curl|install curl
go||install Go $(awk '$1 == "go" { print $2 }' "$(dirname "$0")/../tests/cluster/kubernetes/go.mod") or newer: https://go.dev/doc/install"
needs_node="$needs_test
runc|runc|install runc
nft|nftables|install nftables
iptables|iptables|install iptables
ip|iproute2|install iproute2
openssl|openssl|install OpenSSL
unshare|util-linux|install util-linux
/usr/lib/cni/bridge|containernetworking-plugins|put the CNI plugins into /usr/lib/cni"
needs_image="$needs_test
musl-gcc|musl-tools|install a C compiler for musl
strip|binutils|install binutils
rustup||install Rust with rustup: https://rustup.rs"
needs_soak="$needs_test
ip|iproute2|install iproute2
unshare|util-linux|install util-linux"
needs_bench="$needs_run
nginx|nginx-light|install nginx
haproxy|haproxy|install HAProxy
wrk|wrk|install wrk
h2load|nghttp2-client|install nghttp2
setpriv|util-linux|install util-linux
valgrind|valgrind|install valgrind"
needs_fuzz="$needs_run
c++|g++|install a C++ compiler"
needs_deny='cargo||install Rust with rustup: https://rustup.rs'

case $target in
  run) needs=$needs_run ;;
  test) needs=$needs_test ;;
  node) needs=$needs_node ;;
  image) needs=$needs_image ;;
  soak) needs=$needs_soak ;;
  bench) needs=$needs_bench ;;
  fuzz) needs=$needs_fuzz ;;
  deny) needs=$needs_deny ;;
  *) say "there is no target '$target'"; exit 2 ;;
esac

if [ "$target" = node ] && { [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; }; then
  say "a whole cluster on this machine needs Linux and root: network namespaces, mounts and containers are made"
  exit 1
fi

missing= packages= hints=
# Programs of an administrator are not on everybody's PATH.
PATH=$PATH:/usr/sbin:/sbin
while IFS='|' read -r program package hint; do
  command -v "$program" >/dev/null && continue
  missing="$missing $program"
  if [ -n "$package" ]; then packages="$packages $package"; else hints="$hints"$'\n'"  $program: $hint"; fi
done <<<"$needs"

if [ -n "$packages" ]; then
  install="apt-get install -y --no-install-recommends$packages"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing$packages"
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive $install -qq >&2
  elif command -v apt-get >/dev/null; then
    hints="$hints"$'\n'"  sudo $install"
  else
    hints="$hints"$'\n'"  your package manager:$packages (named as in Debian)"
  fi
fi
if [ -n "$hints" ]; then
  say "missing:$missing"
  say "get what is missing with:$hints"
  exit 1
fi

if [ "$target" = deny ] && ! cargo deny --version >/dev/null 2>&1; then
  say "building cargo-deny (minutes, once)"
  cargo install cargo-deny --locked --version '^0.20'
fi

if [ "$target" = image ] && ! cargo cyclonedx --version >/dev/null 2>&1; then
  say "building cargo-cyclonedx (minutes, once)"
  cargo install cargo-cyclonedx --locked --version '^0.5'
fi

if [ "$target" = image ]; then
  rustup target add "$(uname -m)-unknown-linux-musl" >&2
fi
