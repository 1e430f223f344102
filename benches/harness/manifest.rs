//! Manifests that the measurements serve.

use anyhow::{Context, Result};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// A fresh self-signed ECDSA certificate.
pub(crate) fn certificate(names: &[&str]) -> Result<Pair> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("making a key")?;
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names)
        .and_then(|parameters| parameters.self_signed(&key))
        .context("making a certificate")?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// A document of our group.
pub(crate) fn object(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: postern.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

pub(crate) fn mapping(name: &str, hostname: &str, prefix: &str, service: &str) -> String {
    let spec = format!("{{hostname: {hostname:?}, prefix: {prefix:?}, service: {service:?}}}");
    object("Mapping", name, &spec)
}

/// `hosts` times `paths` Mappings: `h0.example.com/p0/` and so on, all to one Service.
pub(crate) fn mappings(hosts: usize, paths: usize, service: &str) -> String {
    let one = |host: usize, path: usize| {
        let name = format!("h{host}-p{path}");
        let hostname = format!("h{host}.example.com");
        mapping(&name, &hostname, &format!("/p{path}/"), service)
    };
    let all = (0..hosts).flat_map(|host| (0..paths).map(move |path| (host, path)));
    all.map(|(host, path)| one(host, path))
        .collect::<Vec<_>>()
        .concat()
}

/// So many claims, four a host: on all of it, and on its first paths.
pub(crate) fn claims(number: usize) -> String {
    let one = |number: usize| {
        let (host, part) = (number / 4, number % 4);
        let path = if part == 0 {
            "/".to_owned()
        } else {
            format!("/p{part}")
        };
        let spec = format!(
            "{{hostnames: [h{host}.example.com], paths: [{path}], namespaces: {{names: [default]}}}}"
        );
        object("RouteClaim", &format!("h{host}-{part}"), &spec)
    };
    (0..number).map(one).collect::<Vec<_>>().concat()
}

/// A TLS Secret.
pub(crate) fn secret(name: &str, pair: &Pair) -> String {
    let field = |name: &str, pem: &str| {
        let lines: Vec<_> = pem.lines().map(|line| format!("    {line}\n")).collect();
        format!("  {name}: |\n{}", lines.concat())
    };
    let head = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/tls\nstringData:\n"
    );
    head + &field("tls.crt", &pair.certificate) + &field("tls.key", &pair.key)
}

/// A Host that serves TLS with that Secret, and cleartext too.
pub(crate) fn host(name: &str, hostname: &str, secret: &str) -> String {
    let spec = format!(
        "{{hostname: {hostname:?}, tlsSecret: {{name: {secret}}}, requestPolicy: {{insecure: {{action: Route}}}}}}"
    );
    object("Host", name, &spec)
}
