#!/usr/bin/env bash
# A whole real Kubernetes on this machine: control plane, one node with kubelet
# and containerd, kube-proxy, and a stand-in that gives Services of type
# LoadBalancer their addresses. See README.md. Needs Linux and root.
#
#   node.sh run           start it, say `ready`, and stop it when standard input ends
#   node.sh up | down     start it, and leave it running until `down`
#   node.sh exec CMD...   run a command where the addresses of the cluster can be reached
#   node.sh shell         a shell there, which finds kubectl, helm and kubectl postern
#   node.sh load FILE...  give the node the images of an archive
#   node.sh hints         what to try
#   node.sh status        is it there?
#
# Everything runs in network, mount and process namespaces of its own, whose first
# process is this script: when that one ends, in whatever way, the kernel ends all
# the others, and mounts and addresses go with them.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# One cluster on a machine, whoever starts it.
base=/var/lib/postern-cluster
run=$base/run
lock=/run/lock/postern-cluster.lock
group=postern-cluster
kubeconfig=$run/kubeconfig

node=n1
node_address=10.244.0.1
pods=10.244.0.0/16
services=10.96.0.0/16
# The second family of addresses. Services have one of them only if they ask for it.
node_address6=fd00:10:244::1
pods6=fd00:10:244::/64
services6=fd00:10:96::/112
# The addresses of LoadBalancers are 10.98.0.1 and on.
gateways=10.98

say() { printf 'cluster: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# --- outside: who may start it, and what is left of an earlier one --------------

# The process that all others end with; empty when there is none.
first_process() {
  local pid
  pid=$(cat "$base/first.pid" 2>/dev/null) || return 0
  # The number may be another process's by now.
  if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q 'node\.sh inside'; then echo "$pid"; fi
}

require() {
  [ "$(uname -s)" = Linux ] || die "the node level needs Linux"
  [ "$(id -u)" = 0 ] || die "the node level needs root: network namespaces, mounts and containers are made"
  local missing= program
  PATH=$PATH:/usr/sbin:/sbin
  for program in runc nft iptables ip openssl unshare nsenter setsid flock cc; do
    command -v "$program" >/dev/null || missing="$missing $program"
  done
  for program in bridge host-local loopback portmap; do
    [ -x "/usr/lib/cni/$program" ] || missing="$missing /usr/lib/cni/$program"
  done
  [ -z "$missing" ] || die "the node level lacks:$missing. Get them with: tools/setup.sh node"
  [ -d /proc/sys/net/bridge ] || die "the kernel module br_netfilter is not loaded: modprobe br_netfilter"
}

# What the kernel does not take away by itself.
sweep() {
  local controller
  for controller in /sys/fs/cgroup/*/"$group" /sys/fs/cgroup/"$group"; do
    [ ! -d "$controller" ] || find "$controller" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  done
  rm -rf "$run"
  rm -f "$base/first.pid" "$base/kept"
}

take_lock() {
  mkdir -p "$(dirname "$lock")" "$base"
  chmod 700 "$base"
  exec 9>"$lock"
  flock -n 9 && return
  [ ! -e "$base/kept" ] || die "a cluster is running already: end it with \`make cluster-down\`"
  say "another test run has the cluster of this machine; waiting for it"
  flock -w 900 9 || die "another test run has had the cluster of this machine for 15 minutes"
}

start() {
  require
  take_lock
  sweep
  mkdir -p "$run"
  [ "${1:-}" != keep ] || touch "$base/kept"
  programs=$("$here/build.sh" node)
  pause=$(pause_image)
  # The command below would else have no standard input.
  exec 3<&0
  PROGRAMS=$programs PAUSE=$pause unshare --net --mount --pid --fork --kill-child --mount-proc \
    "$here/node.sh" inside <&3 &
  local starter=$! first=
  until first=$(tr -d ' ' <"/proc/$starter/task/$starter/children" 2>/dev/null) && [ -n "$first" ]; do
    kill -0 "$starter" 2>/dev/null || break
    sleep 0.01
  done
  echo "$first" >"$base/first.pid"
  wait "$starter" || true
  sweep
}

# An archive with Kubernetes' own pause program, which holds a pod's namespaces.
pause_image() {
  local archive=$base/pause.tar source
  if [ ! -s "$archive" ]; then
    source=$(cd "$here/kubernetes" && go list -m -f '{{.Dir}}' k8s.io/kubernetes)/build/pause/linux/pause.c
    mkdir -p "$base/pause"
    cc -Os -static -DVERSION=node -o "$base/pause/pause" "$source"
    tar -C "$base/pause" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$base/pause/layer.tar" pause
    local digest
    digest=$(sha256sum "$base/pause/layer.tar" | cut -d' ' -f1)
    printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":["/pause"],"User":"65535:65535"},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
      "$(go env GOARCH)" "$digest" >"$base/pause/config.json"
    printf '[{"Config":"config.json","RepoTags":["postern.test/pause:1"],"Layers":["layer.tar"]}]' >"$base/pause/manifest.json"
    tar -C "$base/pause" -cf "$archive.new" config.json layer.tar manifest.json
    mv "$archive.new" "$archive"
  fi
  echo "$archive"
}

down() {
  local pid
  pid=$(first_process)
  if [ -n "$pid" ]; then
    kill -9 "$pid" 2>/dev/null || true
    for _ in $(seq 100); do
      [ -d "/proc/$pid" ] || break
      sleep 0.1
    done
  fi
  # Whoever started it sweeps as well; that takes a moment.
  exec 9>"$lock"
  flock -w 30 9 || die "the cluster does not end"
  sweep
  say "stopped"
}

up() {
  [ -z "$(first_process)" ] || { say "it is running already"; return; }
  mkdir -p "$base"
  chmod 700 "$base"
  : >"$base/up.log"
  setsid "$here/node.sh" keep </dev/null >>"$base/up.log" 2>&1 &
  local starter=$!
  until grep -q '^ready$' "$base/up.log"; do
    if ! kill -0 "$starter" 2>/dev/null; then
      cat "$base/up.log" >&2
      die "it did not start"
    fi
    sleep 0.1
  done
  say "running; end it with \`make cluster-down\`"
}

inside_network() {
  local pid
  pid=$(first_process)
  [ -n "$pid" ] || die "no cluster is running: start one with \`make cluster\`"
  # Not `ip netns exec`: that would hide the control groups.
  KUBECONFIG=$kubeconfig exec nsenter --target "$pid" --net "$@"
}

load() {
  local archive
  for archive in "$@"; do
    "$("$here/build.sh" node)/ctr" --address "$run/containerd.sock" -n k8s.io images import "$archive" >&2
  done
}

hints() {
  [ -n "$(first_process)" ] || die "no cluster is running: start one with \`make cluster\`"
  cat >&2 <<EOF

Its addresses are those of a network namespace. A shell there, with kubectl, helm and kubectl postern:

  tests/cluster/node.sh shell

What to try in it:

  kubectl get mappings -A
  kubectl postern why http://10.98.0.1/quote/ --from-replica
  curl -H 'x-team: beta' http://10.98.0.1/quote/

End the cluster with \`make cluster-down\`.
EOF
}

# A shell where the addresses of the cluster can be reached, and its programs found.
shell() {
  local programs
  programs=$("$here/build.sh" node)
  export PATH=$PATH:$programs:$(cd "$here/../.." && pwd)/target/debug
  inside_network "${SHELL:-bash}"
}

# --- inside: the first process of the namespaces --------------------------------

# Starts a program of the cluster.
program() {
  local name=$1
  shift
  "$PROGRAMS/$name" "$@" </dev/null >"$run/log/$name.log" 2>&1 9>&- &
}

# Waits until a command succeeds, for 60 seconds.
await() {
  local what=$1 log=$2
  shift 2
  for _ in $(seq 1200); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.05
  done
  tail -n 30 "$run/log/$log.log" >&2
  die "$what is not ready after a minute"
}

kubectl() { "$PROGRAMS/kubectl" --kubeconfig "$kubeconfig" "$@"; }

network() {
  ip link set lo up
  ip link add gw0 type bridge
  ip address add "$node_address/16" dev gw0
  echo 0 >/proc/sys/net/ipv6/conf/gw0/accept_dad
  ip -6 address add "$node_address6/64" dev gw0
  ip link set gw0 up
  echo 1 >/proc/sys/net/ipv4/ip_forward
  echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
  # kube-proxy rewrites the address before the route matters; without any, the kernel would answer by itself.
  ip route add "$services" dev gw0
  ip -6 route add "$services6" dev gw0
  # Every address of the range is this node's, so LoadBalancers can have one each.
  ip route add local "$gateways.0.0/16" dev lo
}

folders() {
  mount --make-rshared /
  local folder
  mkdir -p "$run"/{log,pki,private,containerd,state,kubelet,volumes,pods,cni}
  # Paths that are built into runc, the shim and the CNI plugins.
  for folder in /var/lib/cni /run/containerd /run/netns; do
    mkdir -p "$folder" "$run/private$folder"
    mount --bind "$run/private$folder" "$folder"
    mount --make-rshared "$folder"
  done
  for folder in /sys/fs/cgroup/*/; do
    # A controller of version 1; of version 2 there is one tree.
    if [ -e "$folder/tasks" ]; then mkdir -p "$folder/$group"; fi
  done
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then mkdir -p "/sys/fs/cgroup/$group"; fi
  # A child group starts without processors and memory, where version 1 does not copy them.
  if [ -e /sys/fs/cgroup/cpuset/cgroup.clone_children ]; then
    cat /sys/fs/cgroup/cpuset/cpuset.cpus >"/sys/fs/cgroup/cpuset/$group/cpuset.cpus"
    cat /sys/fs/cgroup/cpuset/cpuset.mems >"/sys/fs/cgroup/cpuset/$group/cpuset.mems"
  fi
}

credentials() {
  local pki=$run/pki
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=cluster-authority \
    -keyout "$pki/authority.key" -out "$pki/authority.pem" 2>/dev/null
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=kube-apiserver \
    -keyout "$pki/server.key" -out "$pki/server.csr" 2>/dev/null
  openssl x509 -req -in "$pki/server.csr" -CA "$pki/authority.pem" -CAkey "$pki/authority.key" -CAcreateserial -days 30 \
    -extfile <(echo "subjectAltName=DNS:kubernetes.default.svc,DNS:localhost,IP:10.96.0.1,IP:$node_address,IP:127.0.0.1") \
    -out "$pki/server.pem" 2>/dev/null
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$pki/accounts.key" 2>/dev/null
  openssl pkey -in "$pki/accounts.key" -pubout -out "$pki/accounts.pub"
  local token
  token=$(openssl rand -hex 16)
  printf '%s,admin,1,system:masters\n' "$token" >"$pki/tokens.csv"
  cat >"$pki/audit.yaml" <<EOF
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: ["system:serviceaccounts"]
  - level: None
EOF
  cat >"$kubeconfig" <<EOF
apiVersion: v1
kind: Config
current-context: cluster
clusters:
  - name: cluster
    cluster:
      server: https://$node_address:6443
      certificate-authority-data: $(base64 -w0 <"$pki/authority.pem")
users:
  - name: admin
    user: { token: "$token" }
contexts:
  - name: cluster
    context: { cluster: cluster, user: admin }
EOF
}

control_plane() {
  program etcd --unsafe-no-fsync --log-level=warn --data-dir="$run/etcd" \
    --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
    --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 \
    --initial-cluster=default=http://127.0.0.1:2380
  # A namespace has no default route, so the API server cannot find its address by itself.
  program kube-apiserver --etcd-servers=http://127.0.0.1:2379 --advertise-address="$node_address" \
    --secure-port=6443 --service-cluster-ip-range="$services,$services6" --authorization-mode=Node,RBAC \
    --token-auth-file="$run/pki/tokens.csv" --allow-privileged=true \
    --tls-cert-file="$run/pki/server.pem" --tls-private-key-file="$run/pki/server.key" \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$run/pki/accounts.pub" \
    --service-account-signing-key-file="$run/pki/accounts.key" --kubelet-preferred-address-types=InternalIP \
    --audit-policy-file="$run/pki/audit.yaml" --audit-log-path="$run/log/audit.json"
  await "the API server" kube-apiserver kubectl get --raw /readyz
  # The QPS flags: with the defaults it is the controller that tests would wait for.
  program kube-controller-manager --kubeconfig="$kubeconfig" --leader-elect=false \
    --use-service-account-credentials=false --service-account-private-key-file="$run/pki/accounts.key" \
    --root-ca-file="$run/pki/authority.pem" --kube-api-qps=1000 --kube-api-burst=2000 \
    --concurrent-service-endpoint-syncs=20 \
    --controllers='*,-node-ipam-controller,-node-route-controller,-cloud-node-lifecycle-controller,-service-lb-controller'
  program kube-scheduler --kubeconfig="$kubeconfig" --leader-elect=false
  program kube-proxy --kubeconfig="$kubeconfig" --proxy-mode=nftables --hostname-override="$node" \
    --cluster-cidr="$pods,$pods6" --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 \
    --conntrack-tcp-timeout-close-wait=0 --nodeport-addresses="$node_address/32,$node_address6/128"
}

container_runtime() {
  cat >"$run/containerd.toml" <<EOF
version = 3
root = "$run/containerd"
state = "$run/state"
disabled_plugins = ["io.containerd.nri.v1.nri"]
[grpc]
  address = "$run/containerd.sock"
[ttrpc]
  address = "$run/containerd.ttrpc"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "postern.test/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "$run/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    runtime_path = "$PROGRAMS/containerd-shim-runc-v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = false
EOF
  cat >"$run/cni/10-postern.conflist" <<EOF
{"cniVersion": "1.0.0", "name": "postern", "plugins": [
  {"type": "bridge", "bridge": "gw0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$run/private/addresses",
            "ranges": [[{"subnet": "$pods", "rangeStart": "10.244.1.0", "gateway": "$node_address"}],
                       [{"subnet": "$pods6", "rangeStart": "fd00:10:244::1:0", "gateway": "$node_address6"}]],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
EOF
  program containerd --config "$run/containerd.toml"
  await containerd containerd "$PROGRAMS/ctr" --address "$run/containerd.sock" version
  "$PROGRAMS/ctr" --address "$run/containerd.sock" -n k8s.io images import "$PAUSE" >"$run/log/pause.log" 2>&1 9>&-
}

node_agent() {
  cat >"$run/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: { anonymous: { enabled: true }, webhook: { enabled: false } }
authorization: { mode: AlwaysAllow }
containerRuntimeEndpoint: unix://$run/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$group
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
makeIPTablesUtilChains: false
evictionHard: { memory.available: "0%", nodefs.available: "0%", imagefs.available: "0%", nodefs.inodesFree: "0%", imagefs.inodesFree: "0%" }
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
podLogsDir: $run/pods
volumePluginDir: $run/volumes
clusterDomain: cluster.local
clusterDNS: [10.96.0.10]
syncFrequency: 5s
nodeStatusUpdateFrequency: 10s
EOF
  program kubelet --kubeconfig="$kubeconfig" --config="$run/kubelet.yaml" --hostname-override="$node" \
    --node-ip="$node_address,$node_address6" --root-dir="$run/kubelet" --cert-dir="$run/kubelet/pki"
}

is_usable() {
  [ "$(kubectl get node "$node" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}{.spec.taints}')" = True ] &&
    kubectl -n default get serviceaccount default
}

# Stands in for a cloud: an address for every Service of type LoadBalancer that has none.
load_balancers() {
  local type namespace name address last=0
  while true; do
    kubectl get services -A --watch -o 'jsonpath={.spec.type} {.metadata.namespace} {.metadata.name} {.status.loadBalancer.ingress[0].ip}{"\n"}' |
      while read -r type namespace name address; do
        if [ "$type" != LoadBalancer ] || [ -n "$address" ]; then continue; fi
        last=$(cat "$run/addresses" 2>/dev/null || echo 0)
        echo $((last + 1)) >"$run/addresses"
        address=$gateways.$((last / 250)).$((last % 250 + 1))
        kubectl -n "$namespace" patch service "$name" --subresource=status --type=merge \
          -p "{\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"$address\"}]}}}" || true
      done
    sleep 1
  done </dev/null >"$run/log/load-balancers.log" 2>&1 9>&-
}

inside() {
  folders
  network
  credentials
  container_runtime &
  local runtime=$!
  control_plane
  wait "$runtime"
  node_agent
  load_balancers &
  await "the node" kubelet is_usable
  say "running after $SECONDS seconds"
  echo ready
  if [ -e "$base/kept" ]; then
    # Until somebody ends this process.
    while true; do sleep 3600 & wait $!; done
  fi
  # Until whoever started it is gone.
  cat >/dev/null
}

# --------------------------------------------------------------------------------

case ${1:-} in
  run) start ;;
  keep) start keep ;;
  up) up ;;
  down) down ;;
  exec) shift; inside_network "$@" ;;
  load) shift; load "$@" ;;
  shell) shell ;;
  hints) hints ;;
  status) [ -n "$(first_process)" ] || die "no cluster is running" ;;
  inside) inside ;;
  *) die "usage: node.sh run|up|down|exec CMD...|shell|load FILE...|hints|status" ;;
esac
