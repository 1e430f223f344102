//! Header edits of a Mapping, with Envoy's format strings as values (emissary.md, section 2.12).

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderName, HeaderValue, Method};

use super::{DialPlan, Findings};
use crate::{
    compile::service::ServiceHost,
    crd::{MappingSpec, mapping::AddedHeader},
    graph::{
        HeaderEdit, HeaderEdits,
        filters::{HeaderText, Part},
    },
    report::Code,
    resource::ObjectKey,
};

/// Headers that frame a message or name whom it is for: the proxy alone writes them.
const FORBIDDEN: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn request(spec: &MappingSpec, findings: &mut Findings) -> HeaderEdits {
    edits(
        spec.remove_request_headers.as_deref(),
        "spec.removeRequestHeaders",
        spec.add_request_headers.as_ref(),
        "spec.addRequestHeaders",
        findings,
    )
}

pub(super) fn response(spec: &MappingSpec, findings: &mut Findings) -> HeaderEdits {
    edits(
        spec.remove_response_headers.as_deref(),
        "spec.removeResponseHeaders",
        spec.add_response_headers.as_ref(),
        "spec.addResponseHeaders",
        findings,
    )
}

fn edits(
    removed: Option<&[String]>,
    removed_field: &str,
    added: Option<&BTreeMap<String, AddedHeader>>,
    added_field: &str,
    findings: &mut Findings,
) -> HeaderEdits {
    if removed.is_none() && added.is_none() {
        return HeaderEdits::default();
    }
    let mut edits = Vec::new();
    for (position, name) in removed.unwrap_or_default().iter().enumerate() {
        match header_name(name) {
            Ok(name) => edits.push(HeaderEdit::Remove(name)),
            Err(message) => invalid(&format!("{removed_field}[{position}]"), &message, findings),
        }
    }
    for (name, header) in added.into_iter().flatten() {
        let field = format!("{added_field}.{name}");
        let text = header_text(header.value.as_deref().unwrap_or_default());
        match (header_name(name), text) {
            (Ok(name), Ok(text)) if header.append == Some(false) => {
                edits.push(HeaderEdit::Set(name, text));
            }
            (Ok(name), Ok(text)) => edits.push(HeaderEdit::Append(name, text)),
            (Err(message), _) | (_, Err(message)) => invalid(&field, &message, findings),
        }
    }
    HeaderEdits {
        edits: edits.into(),
    }
}

/// Tells linkerd for whom a request is, as the Mapping names it (emissary.md, section 5.1).
pub(super) fn name_to_linkerd(dial: &DialPlan, of: &ObjectKey, edits: &mut HeaderEdits) {
    const OVERRIDE: HeaderName = HeaderName::from_static("l5d-dst-override");
    let port = dial.port();
    let name = match dial.dialled() {
        ServiceHost::Name(name) if !name.contains('.') => format!("{name}.{}:{port}", of.namespace),
        host => format!("{host}:{port}"),
    };
    if let Ok(value) = HeaderValue::try_from(name) {
        let edit = HeaderEdit::Set(OVERRIDE, HeaderText::Literal(value));
        edits.edits = { edits.edits.iter().cloned() }.chain([edit]).collect();
    }
}

fn invalid(field: &str, message: &str, findings: &mut Findings) {
    findings.push(
        Code::InvalidHeader,
        field,
        message,
        "Use another header, or mend the value; a literal `%` is written `%%`",
    );
}

/// The name of a header that may be written, or None with a finding.
pub(super) fn name(text: &str, field: &str, findings: &mut Findings) -> Option<HeaderName> {
    let name = header_name(text);
    name.map_err(|message| invalid(field, &message, findings))
        .ok()
}

/// A value in which nothing stands for anything else, or None with a finding.
pub(super) fn literal(text: &str, field: &str, findings: &mut Findings) -> Option<HeaderValue> {
    let value = match header_text(text) {
        Ok(HeaderText::Literal(value)) => Ok(value),
        Ok(HeaderText::Format(_)) => Err("there is no request whose values it could have".into()),
        Err(message) => Err(message),
    };
    value
        .map_err(|message: String| invalid(field, &message, findings))
        .ok()
}

fn header_name(text: &str) -> Result<HeaderName, String> {
    let name: HeaderName = text
        .parse()
        .map_err(|_| format!("{text:?} is not a header name"))?;
    if FORBIDDEN.contains(&name.as_str()) {
        let instead = match name.as_str() {
            "host" => "; `hostRewrite` changes it",
            _ => "",
        };
        return Err(format!("{name} is for the proxy alone to write{instead}"));
    }
    Ok(name)
}

/// A value with `%COMMAND%` parts; `%%` is a literal percent sign.
fn header_text(text: &str) -> Result<HeaderText, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        literal.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            literal.push('%');
            rest = after;
            continue;
        }
        let (command, after) = after
            .split_once('%')
            .ok_or_else(|| format!("{text:?} has a `%` that nothing closes"))?;
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal).into()));
        }
        parts.push(part(command)?);
        rest = after;
    }
    literal.push_str(rest);
    let checked = HeaderValue::from_str(&literal)
        .map_err(|_| format!("{literal:?} has bytes that a header cannot have"))?;
    for part in &parts {
        if let Part::Text(part) = part {
            HeaderValue::from_str(part)
                .map_err(|_| format!("{part:?} has bytes that a header cannot have"))?;
        }
    }
    if parts.is_empty() {
        return Ok(HeaderText::Literal(checked));
    }
    if !literal.is_empty() {
        parts.push(Part::Text(literal.into()));
    }
    Ok(HeaderText::Format(parts.into()))
}

fn part(command: &str) -> Result<Part, String> {
    if let Some(name) = command
        .strip_prefix("REQ(")
        .and_then(|rest| rest.strip_suffix(')'))
    {
        let name = name
            .parse()
            .map_err(|_| format!("`%REQ({name})%` does not name a header"))?;
        return Ok(Part::RequestHeader(name));
    }
    match command {
        "DOWNSTREAM_REMOTE_ADDRESS" => Ok(Part::RemoteAddress),
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Ok(Part::RemoteIp),
        "DOWNSTREAM_LOCAL_ADDRESS" => Ok(Part::LocalAddress),
        "PROTOCOL" => Ok(Part::Protocol),
        "HOSTNAME" => Ok(Part::Hostname),
        other => Err(format!("Postern does not know `%{other}%`")),
    }
}

/// Protocols that may be upgraded to, in lower case.
pub(super) fn upgrades(spec: &MappingSpec, findings: &mut Findings) -> Vec<Arc<str>> {
    let mut upgrades: Vec<Arc<str>> = Vec::new();
    for (position, name) in spec.allow_upgrade.iter().flatten().enumerate() {
        let is_protocol = name.split('/').count() <= 2
            && name
                .split('/')
                .all(|part| Method::from_bytes(part.as_bytes()).is_ok());
        if is_protocol {
            upgrades.push(name.to_ascii_lowercase().into());
        } else {
            findings.push(
                Code::InvalidValue,
                &format!("spec.allowUpgrade[{position}]"),
                format!("{name:?} is not a protocol"),
                "Write a protocol such as `websocket`",
            );
        }
    }
    if spec.use_websocket == Some(true) {
        upgrades.push("websocket".into());
    }
    upgrades.sort();
    upgrades.dedup();
    upgrades
}
