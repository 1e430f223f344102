//! All checks: what they ask, and what to do where the answer is no.

/// A thing that must hold.
#[derive(Debug)]
pub(in crate::plugin) struct Check {
    pub(in crate::plugin) code: &'static str,
    pub(in crate::plugin) name: &'static str,
    /// What must hold.
    pub(in crate::plugin) asks: &'static str,
    /// What follows where it does not.
    pub(in crate::plugin) harm: &'static str,
    /// What to do about it.
    pub(in crate::plugin) remedy: &'static str,
}

/// In the order of their codes, of which none is given twice.
pub(in crate::plugin) const CHECKS: &[Check] = &[
    check(
        "PCK101",
        "crds",
        "every kind of postern.dev is installed",
        "Objects of a kind that is not installed cannot be applied, and nothing of the kind is served.",
        "apply them: `postern crds | kubectl apply --server-side -f -`, or `crds.install` of the chart",
    ),
    check(
        "PCK102",
        "permissions",
        "you may read what Postern reads",
        "What you may not read is not judged here, and may hold what the other checks look for.",
        "the other checks may be wrong about the rest; ask somebody with more rights, or `--from-replica`",
    ),
    check(
        "PCK103",
        "replicas",
        "every replica has said within 30 s that it is ready",
        "A replica that is not ready gets no traffic; one that has gone silent holds back the status of every change for 30 s.",
        "see `kubectl postern sync`, and the log of the pod that is not",
    ),
    check(
        "PCK104",
        "builds",
        "all replicas are of one version",
        "Replicas of two versions may serve the same objects in different ways, and `agreement` cannot compare them.",
        "wait until the roll-out has ended; if it does not, `kubectl rollout status`",
    ),
    check(
        "PCK105",
        "agreement",
        "replicas that have read the same serve the same",
        "The answer to a request depends on which replica it meets. This is an error of Postern's.",
        "report it, with `kubectl postern bundle`; delete the pod that differs",
    ),
    check(
        "PCK106",
        "clock",
        "no replica's clock is ahead of yours",
        "Certificates are judged by the clock of each node, and the age of a Lease is told wrong.",
        "set the clocks of the nodes by NTP: certificates and Leases depend on them",
    ),
    check(
        "PCK107",
        "listeners",
        "some Listener is served",
        "Without a Listener no port is open, and nothing is served.",
        "make a Listener in Postern's namespace, or delete all of them to get 8080 and 8443",
    ),
    check(
        "PCK108",
        "settings",
        "objects that settle something for everybody have no errors",
        "A GatewaySettings or a Listener with an error does not say what it was written for, and everybody's requests go by the rest.",
        "see `kubectl postern status -A`",
    ),
    check(
        "PCK109",
        "certificates",
        "no certificate that is served has ended, or ends within 14 days",
        "Clients refuse a certificate that has ended.",
        "renew it, or find out why nothing does: `kubectl postern certs`",
    ),
    check(
        "PCK110",
        "kubernetes",
        "the API server is of a version that the chart supports, 1.32 or newer",
        "Older versions lack what the chart and the status of objects depend on, and are not tested.",
        "upgrade Kubernetes",
    ),
    check(
        "PCK111",
        "grants",
        "the account of the pods may do what Postern does",
        "A replica that may not watch a kind never becomes ready; one that may not write its Lease holds back every status.",
        "install the roles of the chart (`rbac.create`), or `helm/rbac.yaml` for that account",
    ),
    check(
        "PCK112",
        "secrets",
        "the account of the pods may not read every Secret of the cluster",
        "Whoever takes over a replica can read all Secrets there are, and not only the certificates that are served.",
        "`rbac.secrets: namespaces` or `named`: see the guide on hardening",
    ),
    check(
        "PCK113",
        "pods",
        "every pod of Postern is ready",
        "A pod that is not ready gets no traffic. Where no replica runs in a pod, all that is asked of pods, Services and rights is left out.",
        "`kubectl describe pod`, and its log",
    ),
    check(
        "PCK114",
        "restarts",
        "no container has restarted within the last hour",
        "Each restart ends the connections that the container had.",
        "`kubectl logs --previous`; after OOMKilled raise `resources.limits.memory`",
    ),
    check(
        "PCK115",
        "images",
        "all pods run one image",
        "A tag that has moved makes replicas serve in different ways, and a roll-back brings back something else.",
        "wait until the roll-out has ended, and use a digest or a tag that does not move",
    ),
    check(
        "PCK116",
        "count",
        "there are at least two replicas",
        "While the only replica is moved or starts anew, nothing is served.",
        "`replicas: 2` or `autoscaling.enabled`",
    ),
    check(
        "PCK117",
        "spread",
        "the replicas are not all on one node",
        "When that node goes, nothing is served until other pods have started.",
        "check `topologySpreadConstraints`, and whether other nodes have room",
    ),
    check(
        "PCK118",
        "disruption",
        "a PodDisruptionBudget covers the pods, and lets one go",
        "Without a budget a drain of nodes may end all replicas at once.",
        "`podDisruptionBudget.enabled`; one that lets none go blocks the drain of a node",
    ),
    check(
        "PCK119",
        "probe",
        "the readiness probe asks `/ready`",
        "A replica without its configuration answers 404 to everything.",
        "set `probes.readiness` as the chart has it: without it, traffic comes before the configuration",
    ),
    check(
        "PCK120",
        "grace",
        "the grace period of the pods is longer than the drain",
        "The kubelet kills the container while requests are under way.",
        "raise `terminationGracePeriodSeconds` above `--drain-delay` and `--drain-timeout` together",
    ),
    check(
        "PCK121",
        "state",
        "the last good set is kept in memory",
        "A container that starts while the API server is away serves nothing until it is back. On a disk the keys of certificates would outlive the pod.",
        "`state.enabled`; the volume must be an emptyDir with `medium: Memory`, because keys are in it",
    ),
    check(
        "PCK122",
        "memory",
        "the container has a request for CPU and a limit for memory",
        "Without them one pod takes the node's memory, and the scheduler places replicas where there is no CPU for them.",
        "`resources`: see the guide on production",
    ),
    check(
        "PCK123",
        "confined",
        "the container is no root, has a read-only root and no capability",
        "Whoever takes over the process has more rights in the container than Postern needs.",
        "`securityContext` and `podSecurityContext` as the chart has them",
    ),
    check(
        "PCK124",
        "service",
        "a Service leads to the pods",
        "Nothing from outside of the pods' network reaches Postern.",
        "`service.enabled`, and compare its selector with the labels of the pods",
    ),
    check(
        "PCK125",
        "ports",
        "a Service leads to the port of every Listener",
        "The Listener serves, and no client reaches it.",
        "add the port to `listeners` of the chart, with the Listener's port as `containerPort`",
    ),
    check(
        "PCK126",
        "endpoints",
        "every ready pod is behind the Service",
        "The other pods carry its share of the traffic.",
        "wait a moment; then look at the EndpointSlices of the Service",
    ),
    check(
        "PCK127",
        "address",
        "a Service of type LoadBalancer has its address",
        "Clients outside of the cluster have nothing to connect to.",
        "see the events of the Service: the cluster may have nothing that gives addresses",
    ),
    check(
        "PCK128",
        "clients",
        "the Service keeps the addresses of clients",
        "Access logs and rules by address see nodes instead of clients.",
        "`service.externalTrafficPolicy: Local`, or a load balancer for HTTP that is among `trustedProxies` of the Listener",
    ),
    check(
        "PCK129",
        "published",
        "the Service that is named by `--publish-service` exists",
        "The status of Hosts and Listeners has no addresses, and external-dns makes no records.",
        "`publishService`, or leave it empty for the chart's own",
    ),
    check(
        "PCK130",
        "mesh",
        "connections from outside go past a sidecar of Linkerd or Istio",
        "The sidecar takes the connections of clients, and the TLS and the addresses of clients are lost.",
        "`mesh.provider`: the annotations of the pods must name the ports of all Listeners, and pods be made anew",
    ),
    check(
        "PCK131",
        "mesh-stop",
        "a sidecar that is told to stop with Postern stays longer than the drain",
        "Requests that are still under way lose their upstream when the sidecar stops first.",
        "`config.alpha.linkerd.io/proxy-wait-before-exit-seconds` above `--drain-delay` and `--drain-timeout` together",
    ),
    check(
        "PCK132",
        "versions",
        "the program is of the version to upgrade to, and the replicas of one",
        "What is compared is not what will run.",
        "use the program of the version to upgrade to",
    ),
    check(
        "PCK133",
        "schemas",
        "the CustomResourceDefinitions are those of this program",
        "The API server prunes fields that the old schema does not have, and the objects do less than they say.",
        "apply those of the new version before the upgrade",
    ),
    check(
        "PCK134",
        "objects",
        "this version has no new errors for the objects there are",
        "Those objects would stop serving with the upgrade.",
        "correct them before the upgrade",
    ),
    check(
        "PCK135",
        "traffic",
        "every route leads where it leads now",
        "Requests would be answered by somebody else, or not at all.",
        "see the difference that is printed below the table",
    ),
    check(
        "PCK136",
        "claims",
        "no RouteClaim has an error, and those for labels can be told",
        "A claim with an error may not be the wall that it was written for, and a claim for labels is for nobody whose labels cannot be seen.",
        "see `kubectl postern status -A`; for labels, have somebody look who may list Namespaces",
    ),
    check(
        "PCK137",
        "walls",
        "the account of the pods may read RouteClaims, and Namespaces where claims ask for labels",
        "What an installation may not read does not hold in it: without RouteClaims everything belongs to who came first, and a claim for labels is for nobody while Namespaces may not be listed.",
        "bind the ClusterRole that reads RouteClaims and Namespaces (`helm/rbac.yaml`), or name namespaces in the claims",
    ),
];

const fn check(
    code: &'static str,
    name: &'static str,
    asks: &'static str,
    harm: &'static str,
    remedy: &'static str,
) -> Check {
    Check {
        code,
        name,
        asks,
        harm,
        remedy,
    }
}

/// The check of this name.
pub(super) fn of(name: &str) -> &'static Check {
    let found = CHECKS.iter().find(|check| check.name == name);
    found.expect("a check must be in the catalogue")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_has_a_code_of_its_own_and_a_remedy() {
        let codes: BTreeSet<_> = CHECKS.iter().map(|check| check.code).collect();
        let names: BTreeSet<_> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!((codes.len(), names.len()), (CHECKS.len(), CHECKS.len()));
        assert!(CHECKS.len() >= 25);
        for check in CHECKS {
            let said = [check.asks, check.harm, check.remedy];
            assert!(said.iter().all(|text| !text.is_empty()), "{check:?}");
            assert!(check.harm.ends_with('.'), "{check:?}");
        }
    }
}
