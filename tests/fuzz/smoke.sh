#!/usr/bin/env bash
# Runs each fuzz target for some seconds: `smoke.sh [SECONDS [TARGET...]]`. Prints a line a target, and what was found.
#
# libFuzzer finds its way by the counters that the compiler puts in: the flags are those of `cargo fuzz --sanitizer none`, which
# a stable compiler knows. Without an address sanitizer: there is no unsafe code to look at, and panics, broken promises, time
# and memory are caught without one.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-10}
shift || true
targets=("$@")
((${#targets[@]})) || targets=($(sed -n 's|^path = "targets/\(.*\)\.rs"|\1|p' Cargo.toml))

host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=$PWD/target
export RUSTFLAGS='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0
  -Cdebug-assertions -Ccodegen-units=1 --cfg fuzzing'
bins=()
for target in "${targets[@]}"; do bins+=(--bin "$target"); done
echo 'fuzz: building the targets (minutes, the first time)' >&2
cargo build --quiet --target "$host" "${bins[@]}"

failed=0
for target in "${targets[@]}"; do
  mkdir -p "corpus/$target" "artifacts/$target"
  log=artifacts/$target.log
  # The first folder takes what is found; the others are only read.
  seeds=("corpus/$target")
  [[ -d seeds/$target ]] && seeds+=("seeds/$target")
  case $target in yaml | manifest | compile) seeds+=(../../examples ../bad) ;; esac
  flags=(-max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=4096 -print_final_stats=1 -artifact_prefix="artifacts/$target/")
  [[ -f seeds/$target.dict ]] && flags+=(-dict="seeds/$target.dict")
  if "target/$host/debug/$target" "${flags[@]}" "${seeds[@]}" >"$log" 2>&1; then
    number() { awk -v name="stat::$1:" '$1 == name { print $2 }' "$log"; }
    cover=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
    printf 'fuzz %-10s ok: %s runs in %s s, %s edges seen, %s MiB\n' "$target" "$(number number_of_executed_units)" "$seconds" "$cover" "$(number peak_rss_mb)"
  else
    failed=1
    printf 'fuzz %-10s FAILED\n' "$target"
    tail -40 "$log"
  fi
done
exit $failed
