//! A Deployment with the manifest shape of Emissary-ingress, in which only the image is another.

use std::{fs, net::SocketAddr, thread, time::Duration};

use serde_json::Value;
use tokio::time::Instant;

use super::cluster::{Cluster, shared};
use crate::client::{Answer, Request};

/// Namespace, rights, Deployment and Service as the chart of Emissary-ingress has them; of Postern's there is the image, and one
/// variable. Postern's own kinds are installed here, and its role cannot read them.
const INSTALLATION: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: old-edge}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: emissary-ingress, namespace: old-edge}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: old-edge}
rules:
- {apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [get, list, watch, delete]}
- {apiGroups: [''], resources: [namespaces, services, secrets, configmaps, endpoints], verbs: [get, list, watch]}
- {apiGroups: [getambassador.io], resources: ['*'], verbs: [get, list, watch, update, patch, create, delete]}
- {apiGroups: [networking.k8s.io], resources: [ingresses, ingressclasses], verbs: [get, list, watch]}
- {apiGroups: [networking.k8s.io], resources: [ingresses/status], verbs: [update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: old-edge}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: old-edge}
subjects: [{kind: ServiceAccount, name: emissary-ingress, namespace: old-edge}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: emissary-ingress, namespace: old-edge}
spec:
  replicas: 1
  selector: {matchLabels: {service: old-edge}}
  template:
    metadata: {labels: {service: old-edge}}
    spec:
      serviceAccountName: emissary-ingress
      securityContext: {runAsUser: 8888}
      containers:
      - name: emissary-ingress
        image: IMAGE
        imagePullPolicy: IfNotPresent
        env:
        - {name: POSTERN_COMPAT, value: emissary}
        - {name: AMBASSADOR_ID, value: old-edge}
        - {name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
        - {name: AMBASSADOR_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
        ports:
        - {name: http, containerPort: 8080}
        - {name: https, containerPort: 8443}
        - {name: admin, containerPort: 8877}
        livenessProbe:
          httpGet: {path: /ambassador/v0/check_alive, port: admin}
          initialDelaySeconds: 1
          periodSeconds: 3
          failureThreshold: 3
        readinessProbe:
          httpGet: {path: /ambassador/v0/check_ready, port: admin}
          initialDelaySeconds: 1
          periodSeconds: 3
          failureThreshold: 3
        resources: {requests: {cpu: 20m, memory: 32Mi}, limits: {memory: 256Mi}}
        securityContext: {allowPrivilegeEscalation: false}
---
apiVersion: v1
kind: Service
metadata: {name: emissary-ingress, namespace: old-edge}
spec:
  selector: {service: old-edge}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: https, port: 443, targetPort: 8443}
---
apiVersion: v1
kind: Service
metadata: {name: emissary-ingress-admin, namespace: old-edge}
spec:
  selector: {service: old-edge}
  ports: [{name: admin, port: 8877, targetPort: admin}]
---
apiVersion: v1
kind: Service
metadata:
  name: configuration
  namespace: quickstart
  annotations:
    getambassador.io/config: |
      ---
      apiVersion: ambassador/v0
      kind: Mapping
      name: old_edge_v0
      ambassador_id: old-edge
      prefix: /v0/
      service: quote
      ---
      apiVersion: ambassador/v1
      kind: Mapping
      name: old_edge_v1
      ambassador_id: old-edge
      host: v1.example.com
      prefix: /v1/
      service: quote.quickstart
      ---
      apiVersion: getambassador.io/v2
      kind: Mapping
      metadata: {name: old-edge-v2}
      spec: {ambassador_id: [old-edge], prefix: /v2/, rewrite: '', service: 'quote:80', add_request_headers: {x-old: 'yes'}}
spec: {ports: [{port: 80}]}
";

#[test]
fn a_deployment_of_emissary_with_our_image_answers_as_before_and_its_probes_pass() {
    let cluster = shared();
    let deployment = cluster.get(&["deployment", "postern", "-n", "postern"]);
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    let manifests = INSTALLATION.replace("IMAGE", image.as_str().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("old-edge.yaml");
    fs::write(&file, manifests).unwrap();
    let file = file.to_str().unwrap();
    cluster.kubectl(&["apply", "-f", file]);

    // The kubelet says so only when the probe for readiness passes.
    until_available(&cluster);
    let traffic = address(&cluster, "emissary-ingress", 80);
    let admin = address(&cluster, "emissary-ingress-admin", 8877);
    for (url, path) in [
        ("http://any.example.com/v0/a", "/a"),
        ("http://v1.example.com/v1/b", "/b"),
        ("http://any.example.com/v2/c", "/v2/c"),
    ] {
        let answer = until(&cluster, traffic, url, 200);
        assert_eq!(answer.told()["path"], path, "{url}");
        assert_eq!(answer.header("server"), Some("envoy"), "{url}");
    }
    until(&cluster, traffic, "http://other.example.com/v1/b", 404);
    for check in ["check_alive", "check_ready"] {
        let url = format!("http://any/ambassador/v0/{check}");
        until(&cluster, traffic, &url, 200);
        until(&cluster, admin, &url, 200);
    }
    until(&cluster, admin, "http://any/metrics", 200);
    let diagnostics = until(
        &cluster,
        admin,
        "http://any/ambassador/v0/diag/?json=true",
        200,
    );
    assert!(diagnostics.told()["errors"].is_array(), "{diagnostics:?}");

    let pods = cluster.get(&["pods", "-n", "old-edge", "-l", "service=old-edge"]);
    let status = &pods["items"][0]["status"]["containerStatuses"][0];
    assert_eq!(status["restartCount"], Value::from(0), "{status:#}");
    cluster.kubectl(&["delete", "-f", file, "--wait=false"]);
}

fn until_available(cluster: &Cluster) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let deployment = cluster.get(&["deployment", "emissary-ingress", "-n", "old-edge"]);
        if deployment["status"]["availableReplicas"] == 1 {
            return;
        }
        if Instant::now() > deadline {
            let log = ["logs", "deployment/emissary-ingress", "-n", "old-edge"];
            panic!("{deployment:#}\n{}", cluster.kubectl(&log));
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn address(cluster: &Cluster, service: &str, port: u16) -> SocketAddr {
    let service = cluster.get(&["service", service, "-n", "old-edge"]);
    let ip = service["spec"]["clusterIP"].as_str().unwrap();
    SocketAddr::new(ip.parse().unwrap(), port)
}

/// The answer, once it is as wanted: a pod is ready a moment before kube-proxy leads to it.
fn until(cluster: &Cluster, address: SocketAddr, url: &str, status: u16) -> Answer {
    let request = Request::get(url);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = cluster.inside(|| request.try_send(address));
        match answer {
            Ok(answer) if answer.status == status => return answer,
            other => assert!(Instant::now() < deadline, "{url}: {other:?}"),
        }
        thread::sleep(Duration::from_millis(100));
    }
}
