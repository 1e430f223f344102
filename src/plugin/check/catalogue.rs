//! All checks: what they ask, and what to do where the answer is no.

/// A thing that must hold.
#[derive(Debug)]
pub(in crate::plugin) struct Check {
    pub(in crate::plugin) code: &'static str,
    pub(in crate::plugin) name: &'static str,
    /// What must hold.
    pub(in crate::plugin) asks: &'static str,
    /// What to do where it does not.
    pub(in crate::plugin) remedy: &'static str,
}

/// In the order in which they are shown; a code is never given twice.
pub(in crate::plugin) const CHECKS: &[Check] = &[
    check(
        "PCK101",
        "crds",
        "every kind of postern.dev is installed",
        "apply them: `postern crds | kubectl apply --server-side -f -`, or `crds.install` of the chart",
    ),
    check(
        "PCK102",
        "permissions",
        "you may read what Postern reads",
        "the other checks may be wrong about the rest; ask somebody with more rights, or `--from-replica`",
    ),
    check(
        "PCK103",
        "replicas",
        "every replica has said within 30 s that it is ready",
        "see `kubectl postern sync`, and the log of the pod that is not",
    ),
    check(
        "PCK104",
        "builds",
        "all replicas are of one version",
        "wait until the roll-out has ended; if it does not, `kubectl rollout status`",
    ),
    check(
        "PCK105",
        "agreement",
        "replicas that have read the same serve the same",
        "report it, with `kubectl postern bundle`; delete the pod that differs",
    ),
    check(
        "PCK106",
        "clock",
        "no replica's clock is ahead of yours",
        "set the clocks of the nodes by NTP: certificates and Leases depend on them",
    ),
    check(
        "PCK107",
        "listeners",
        "some Listener is served",
        "make a Listener in Postern's namespace, or delete all of them to get 8080 and 8443",
    ),
    check(
        "PCK108",
        "settings",
        "objects that settle something for everybody have no errors",
        "see `kubectl postern status -A`",
    ),
    check(
        "PCK109",
        "certificates",
        "no certificate that is served has ended, or ends within 14 days",
        "renew it, or find out why nothing does: `kubectl postern certs`",
    ),
    check(
        "PCK110",
        "kubernetes",
        "the API server is of a version that the chart supports, 1.32 or newer",
        "upgrade Kubernetes",
    ),
    check(
        "PCK111",
        "grants",
        "the account of the pods may do what Postern does",
        "install the roles of the chart (`rbac.create`), or `helm/rbac.yaml` for that account",
    ),
    check(
        "PCK112",
        "secrets",
        "the account of the pods may not read every Secret of the cluster",
        "`rbac.secrets: namespaces` or `named`: see the guide on hardening",
    ),
    check(
        "PCK113",
        "pods",
        "every pod of Postern is ready",
        "`kubectl describe pod`, and its log",
    ),
    check(
        "PCK114",
        "restarts",
        "no container has restarted within the last hour",
        "`kubectl logs --previous`; after OOMKilled raise `resources.limits.memory`",
    ),
    check(
        "PCK115",
        "images",
        "all pods run one image",
        "wait until the roll-out has ended, and use a digest or a tag that does not move",
    ),
    check(
        "PCK116",
        "count",
        "there are at least two replicas",
        "`replicas: 2` or `autoscaling.enabled`",
    ),
    check(
        "PCK117",
        "spread",
        "the replicas are not all on one node",
        "check `topologySpreadConstraints`, and whether other nodes have room",
    ),
    check(
        "PCK118",
        "disruption",
        "a PodDisruptionBudget covers the pods, and lets one go",
        "`podDisruptionBudget.enabled`; one that lets none go blocks the drain of a node",
    ),
    check(
        "PCK119",
        "probe",
        "the readiness probe asks `/ready`",
        "set `probes.readiness` as the chart has it: without it, traffic comes before the configuration",
    ),
    check(
        "PCK120",
        "grace",
        "the grace period of the pods is longer than the drain",
        "raise `terminationGracePeriodSeconds` above `--drain-delay` and `--drain-timeout` together",
    ),
    check(
        "PCK121",
        "state",
        "the last good set is kept in memory",
        "`state.enabled`; the volume must be an emptyDir with `medium: Memory`, because keys are in it",
    ),
    check(
        "PCK122",
        "memory",
        "the container has a request for CPU and a limit for memory",
        "`resources`: see the guide on production",
    ),
    check(
        "PCK123",
        "confined",
        "the container is no root, has a read-only root and no capability",
        "`securityContext` and `podSecurityContext` as the chart has them",
    ),
    check(
        "PCK124",
        "service",
        "a Service leads to the pods",
        "`service.enabled`, and compare its selector with the labels of the pods",
    ),
    check(
        "PCK125",
        "ports",
        "a Service leads to the port of every Listener",
        "add the port to `listeners` of the chart, with the Listener's port as `containerPort`",
    ),
    check(
        "PCK126",
        "endpoints",
        "every ready pod is behind the Service",
        "wait a moment; then look at the EndpointSlices of the Service",
    ),
    check(
        "PCK127",
        "address",
        "a Service of type LoadBalancer has its address",
        "see the events of the Service: the cluster may have nothing that gives addresses",
    ),
    check(
        "PCK128",
        "clients",
        "the Service keeps the addresses of clients",
        "`service.externalTrafficPolicy: Local`, or PROXY protocol from the load balancer",
    ),
    check(
        "PCK129",
        "published",
        "the Service that is named by `--publish-service` exists",
        "`publishService`, or leave it empty for the chart's own",
    ),
    check(
        "PCK130",
        "mesh",
        "connections from outside go past a sidecar of Linkerd or Istio",
        "`mesh.provider`: the annotations of the pods must name the ports of all Listeners, and pods be made anew",
    ),
    check(
        "PCK131",
        "mesh-stop",
        "a sidecar that is told to stop with Postern stays longer than the drain",
        "`config.alpha.linkerd.io/proxy-wait-before-exit-seconds` above `--drain-delay` and `--drain-timeout` together",
    ),
    check(
        "PCK132",
        "versions",
        "the program is of the version to upgrade to, and the replicas of one",
        "use the program of the version to upgrade to",
    ),
    check(
        "PCK133",
        "schemas",
        "the CustomResourceDefinitions are those of this program",
        "apply those of the new version before the upgrade",
    ),
    check(
        "PCK134",
        "objects",
        "this version has no new errors for the objects there are",
        "correct them before the upgrade",
    ),
    check(
        "PCK135",
        "traffic",
        "every route leads where it leads now",
        "see the difference that is printed below the table",
    ),
];

const fn check(
    code: &'static str,
    name: &'static str,
    asks: &'static str,
    remedy: &'static str,
) -> Check {
    Check {
        code,
        name,
        asks,
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
            assert!(
                !check.asks.is_empty() && !check.remedy.is_empty(),
                "{check:?}"
            );
        }
    }
}
