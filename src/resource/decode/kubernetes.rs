//! Kubernetes' own kinds: only the fields that Postern needs, read leniently, because the API server has checked
//! them; in a folder what is wrong is told.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use k8s_openapi::ByteString;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::field;
use crate::{
    crd::schema::Problem,
    resource::{ClusterIp, EndpointSlice, Grant, SecretBytes, SecretData, Service, ServicePort},
};

type Fields = Map<String, Value>;

/// The label that says to which Service an EndpointSlice belongs.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

pub(super) fn service(document: &Fields, problems: &mut Vec<Problem>) -> Service {
    let empty = Fields::new();
    let spec = field::object(document, "spec", "", problems).unwrap_or(&empty);
    let is_external = field::text(spec, "type", "spec", problems) == Some("ExternalName");
    let external_name = field::text(spec, "externalName", "spec", problems);
    let ports = field::objects(spec, "ports", "spec", problems);
    Service {
        cluster_ip: if is_external {
            ClusterIp::None
        } else {
            cluster_ip(spec, problems)
        },
        external_name: external_name.filter(|_| is_external).map(str::to_owned),
        ports: ports
            .into_iter()
            .filter_map(|(path, port)| service_port(port, &path, problems))
            .collect(),
    }
}

fn cluster_ip(spec: &Fields, problems: &mut Vec<Problem>) -> ClusterIp {
    let several = match spec.get("clusterIPs") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
            list.iter().filter_map(Value::as_str).collect()
        }
        Some(_) => {
            problems.push(field::wrong_type("spec.clusterIPs", "a list of strings"));
            Vec::new()
        }
    };
    let written = if several.is_empty() {
        field::text(spec, "clusterIP", "spec", problems)
            .into_iter()
            .filter(|address| !address.is_empty())
            .collect()
    } else {
        several
    };
    if written.contains(&"None") {
        return ClusterIp::Headless;
    }
    let addresses: Vec<IpAddr> = written
        .iter()
        .filter_map(|address| address.parse().ok())
        .collect();
    if addresses.len() < written.len() {
        problems.push(field::invalid(
            "spec.clusterIP",
            "the value must be an IP address",
        ));
    }
    if addresses.is_empty() {
        ClusterIp::None
    } else {
        ClusterIp::Addresses(addresses)
    }
}

fn service_port(port: &Fields, path: &str, problems: &mut Vec<Problem>) -> Option<ServicePort> {
    let protocol = field::text(port, "protocol", path, problems);
    Some(ServicePort {
        name: field::text(port, "name", path, problems)
            .unwrap_or_default()
            .to_owned(),
        port: field::port(port, "port", path, problems)?,
        app_protocol: field::text(port, "appProtocol", path, problems).map(str::to_owned),
        tcp: protocol.is_none_or(|protocol| protocol == "TCP"),
    })
}

pub(super) fn endpoint_slice(document: &Fields, problems: &mut Vec<Problem>) -> EndpointSlice {
    let labels = document
        .get("metadata")
        .and_then(|metadata| metadata.get("labels"));
    let service = labels.and_then(|labels| labels.get(SERVICE_NAME));
    let ports = field::objects(document, "ports", "", problems)
        .into_iter()
        .filter_map(|(path, port)| service_port(port, &path, problems))
        .filter(|port| port.tcp)
        .map(|port| (port.name, port.port))
        .collect();
    // Names are not dialled, and may be there.
    let has_names = document.get("addressType").and_then(Value::as_str) == Some("FQDN");
    let (mut ready, mut draining, mut not_ready) = (Vec::new(), Vec::new(), Vec::new());
    let mut zones = BTreeMap::new();
    for (path, endpoint) in field::objects(document, "endpoints", "", problems) {
        let found = if has_names {
            Vec::new()
        } else {
            addresses(endpoint, &path, problems)
        };
        let list = if is_ready(endpoint) {
            &mut ready
        } else if is_draining(endpoint) {
            &mut draining
        } else {
            &mut not_ready
        };
        let meant_for = for_zones(endpoint, &path, problems);
        if !meant_for.is_empty() {
            zones.extend(found.iter().map(|address| (*address, meant_for.clone())));
        }
        list.extend(found);
    }
    for list in [&mut ready, &mut draining, &mut not_ready] {
        list.sort_unstable();
        list.dedup();
    }
    EndpointSlice {
        service: service.and_then(Value::as_str).unwrap_or_default().into(),
        ports,
        ready,
        draining,
        not_ready,
        zones,
    }
}

fn addresses(endpoint: &Fields, path: &str, problems: &mut Vec<Problem>) -> Vec<IpAddr> {
    let list = match endpoint.get("addresses") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(list)) => list,
        Some(_) => {
            problems.push(field::wrong_type(format!("{path}.addresses"), "a list"));
            return Vec::new();
        }
    };
    let mut found = Vec::with_capacity(list.len());
    for (index, written) in list.iter().enumerate() {
        match written.as_str().and_then(|address| address.parse().ok()) {
            Some(address) => found.push(address),
            None => problems.push(field::invalid(
                format!("{path}.addresses[{index}]"),
                "the value must be an IP address",
            )),
        }
    }
    found
}

/// The API server lets no more through for one endpoint.
const MOST_ZONES: usize = 8;

fn for_zones(endpoint: &Fields, path: &str, problems: &mut Vec<Problem>) -> Vec<Arc<str>> {
    let Some(hints) = field::object(endpoint, "hints", path, problems) else {
        return Vec::new();
    };
    let zones = field::objects(hints, "forZones", &format!("{path}.hints"), problems);
    let names = zones
        .into_iter()
        .take(MOST_ZONES)
        .filter_map(|(path, zone)| {
            let name = field::text(zone, "name", &path, problems)?;
            (!name.is_empty()).then(|| name.into())
        });
    names.collect()
}

/// An endpoint that does not say is ready, as the API has it.
fn is_ready(endpoint: &Fields) -> bool {
    condition(endpoint, "ready").unwrap_or(true)
}

/// One that ends, and takes requests meanwhile.
fn is_draining(endpoint: &Fields) -> bool {
    condition(endpoint, "serving") == Some(true) && condition(endpoint, "terminating") == Some(true)
}

fn condition(endpoint: &Fields, name: &str) -> Option<bool> {
    endpoint.get("conditions")?.get(name)?.as_bool()
}

pub(super) fn secret(document: &Fields, problems: &mut Vec<Problem>) -> SecretData {
    let kind = match document.get("type") {
        Some(Value::String(kind)) if !kind.is_empty() => kind,
        _ => "Opaque",
    };
    let mut data = BTreeMap::new();
    if let Some(encoded) = field::object(document, "data", "", problems) {
        for (name, value) in encoded {
            match bytes(value) {
                Some(bytes) => drop(data.insert(name.clone(), bytes)),
                None => problems.push(field::invalid(
                    format!("data.{name}"),
                    "the value must be a string in base64",
                )),
            }
        }
    }
    if let Some(plain) = field::object(document, "stringData", "", problems) {
        for name in plain.keys() {
            if let Some(text) = field::text(plain, name, "stringData", problems) {
                data.insert(name.clone(), SecretBytes(text.as_bytes().into()));
            }
        }
    }
    SecretData {
        kind: kind.to_owned(),
        data,
    }
}

/// The bytes of a value in base64; line breaks in it mean nothing, as for the API server.
fn bytes(value: &Value) -> Option<SecretBytes> {
    if value.is_null() {
        return Some(SecretBytes::default());
    }
    let text = value.as_str()?.replace(['\r', '\n'], "");
    let bytes = ByteString::deserialize(Value::String(text)).ok()?;
    Some(SecretBytes(bytes.0.into()))
}

pub(super) fn grant(document: &Fields, problems: &mut Vec<Problem>) -> Grant {
    let empty = Fields::new();
    let spec = field::object(document, "spec", "", problems).unwrap_or(&empty);
    let mut grant = Grant::default();
    for (path, from) in field::objects(spec, "from", "spec", problems) {
        let group = required(from, "group", &path, problems);
        let kind = required(from, "kind", &path, problems);
        let namespace = required(from, "namespace", &path, problems);
        if let (Some(group), Some(kind), Some(namespace)) = (group, kind, namespace) {
            grant.from.push((group, kind, namespace));
        }
    }
    for (path, to) in field::objects(spec, "to", "spec", problems) {
        let group = required(to, "group", &path, problems);
        let kind = required(to, "kind", &path, problems);
        // A name that cannot be read must not become "every name".
        let name = match to.get("name") {
            None | Some(Value::Null) => Some(None),
            Some(_) => required(to, "name", &path, problems)
                .filter(|name| !name.is_empty())
                .map(Some),
        };
        if let (Some(group), Some(kind), Some(name)) = (group, kind, name) {
            grant.to.push((group, kind, name));
        }
    }
    grant
}

fn required(
    fields: &Fields,
    name: &str,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let found = fields.get(name).and_then(Value::as_str);
    if found.is_none() {
        problems.push(field::wrong_type(format!("{path}.{name}"), "a string"));
    }
    found.map(str::to_owned)
}
