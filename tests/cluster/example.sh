#!/usr/bin/env bash
# Does on the running cluster what the guide says: gives it the image, installs the
# chart with its default values into a namespace where the Pod Security level
# `restricted` is enforced, runs the example, and asks it through the LoadBalancer.
#
#   tests/cluster/example.sh [PROGRAM]     (default: target/debug/postern)
#
# Prints what the last request was answered with; everything else goes to stderr.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
program=${1:-$repo/target/debug/postern}
programs=$("$here/build.sh" node)

inside() { "$here/node.sh" exec "$@"; }
kubectl() { inside "$programs/kubectl" "$@"; }

archive=$(mktemp --suffix=.tar)
trap 'rm -f "$archive"' EXIT
POSTERN_IMAGE_DIR=$archive.files "$repo/tools/image.sh" archive "$archive" "$program" >/dev/null
rm -rf "$archive.files"
"$here/node.sh" load "$archive"

exec 3>&1 >&2
kubectl apply -f - <<EOF
apiVersion: v1
kind: Namespace
metadata:
  name: postern
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/warn: restricted
    pod-security.kubernetes.io/audit: restricted
EOF
inside "$programs/helm" upgrade --install postern "$repo/helm/postern" -n postern --wait --timeout 90s

kubectl apply -f "$repo/examples/cluster"
kubectl -n quickstart apply -f "$repo/examples/quickstart"
kubectl -n quickstart rollout status deployment/quote --timeout=60s
kubectl -n quickstart wait --for=condition=Ready mapping --all --timeout=30s
kubectl get mappings -A

address=$(kubectl -n postern get service postern -o 'jsonpath={.status.loadBalancer.ingress[0].ip}')
printf '\n$ curl http://%s/quote/hello\n' "$address"
inside curl -fsS --max-time 5 --retry 5 --retry-connrefused "http://$address/quote/hello" >&3
