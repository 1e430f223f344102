//! From which addresses requests are taken: lists of the GatewaySettings, or of Emissary's Module (emissary.md, section 2.18). What cannot be read closes everything: a list with a hole
//! in it would let in whom it was to keep out.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::{finding::Findings, settings::Settings};
use crate::{
    crd::GatewaySettingsSpec,
    graph::access::{Access, Principal, Whose},
    report::Code,
};

pub(super) fn allow(value: &Value, settings: &mut Settings) -> Result<(), String> {
    read(value, true, settings)
}

pub(super) fn deny(value: &Value, settings: &mut Settings) -> Result<(), String> {
    read(value, false, settings)
}

/// What the GatewaySettings say. A list that cannot be read closes everything.
pub(super) fn of_settings(
    spec: &GatewaySettingsSpec,
    settings: &mut Settings,
    findings: &mut Findings,
) {
    const FIELD: &str = "spec.access";
    let mut close = |why: String, findings: &mut Findings| {
        settings.refusal.get_or_insert(
            format!("`access` of the GatewaySettings cannot be honoured: {why}").into(),
        );
        if !findings.is_unreadable(FIELD) {
            findings.push(
                Code::InvalidValue,
                FIELD,
                format!("{why}; until it is mended, every Mapping answers 503"),
                "Write one list, `allow` or `deny`, of {peer: CIDR} and {remote: CIDR}",
            );
        }
    };
    if findings.is_unreadable(FIELD) {
        return close("it cannot be read".to_owned(), findings);
    }
    let (list, allow) = match spec.access.as_ref().map(|all| (&all.allow, &all.deny)) {
        None | Some((None, None)) => return,
        Some((Some(_), Some(_))) => {
            return close("there are `allow` and `deny`".to_owned(), findings);
        }
        Some((Some(list), None)) => (list, true),
        Some((None, Some(list))) => (list, false),
    };
    let list = list.iter().map(|entry| match (&entry.peer, &entry.remote) {
        (Some(text), None) => net(text, Whose::Peer),
        (None, Some(text)) => net(text, Whose::Remote),
        _ => None,
    });
    let list: Option<_> = list.collect();
    match list {
        Some(list) => settings.access = Some(Access { allow, list }),
        None => close(
            "an entry has not exactly one address or network".to_owned(),
            findings,
        ),
    }
}

fn read(value: &Value, allow: bool, settings: &mut Settings) -> Result<(), String> {
    if settings.access.is_some() {
        return Err("ip_allow and ip_deny cannot both be there".to_owned());
    }
    let list = value
        .as_array()
        .ok_or_else(|| "the value is not a list".to_owned())?;
    let list = list.iter().map(principal).collect::<Result<_, _>>()?;
    settings.access = Some(Access { allow, list });
    Ok(())
}

/// `{peer: CIDR}` or `{remote: CIDR}`; an address stands for itself alone.
fn principal(value: &Value) -> Result<Principal, String> {
    let wrong = || format!("{value} is neither {{peer: CIDR}} nor {{remote: CIDR}}");
    let fields = value.as_object().filter(|fields| fields.len() == 1);
    let (whose, text) = fields
        .and_then(|fields| fields.iter().next())
        .ok_or_else(wrong)?;
    let whose = match &**whose {
        "peer" => Whose::Peer,
        "remote" => Whose::Remote,
        _ => return Err(wrong()),
    };
    let text = text.as_str().ok_or_else(wrong)?;
    net(text, whose).ok_or_else(wrong)
}

fn net(text: &str, whose: Whose) -> Option<Principal> {
    let text = text.trim();
    let alone = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let net = text.parse().ok().or_else(alone)?;
    Some(Principal { whose, net })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_entry_is_an_address_of_somebody() {
        for (value, wanted) in [
            (json!({"peer": "192.0.2.0/24"}), Some("192.0.2.0/24")),
            (json!({"remote": "192.0.2.7"}), Some("192.0.2.7/32")),
            (json!({"remote": "2001:db8::/32"}), Some("2001:db8::/32")),
            (json!({"peer": "192.0.2.0/33"}), None),
            (json!({"peer": "1.2.3.4", "remote": "1.2.3.4"}), None),
            (json!({"client": "1.2.3.4"}), None),
            (json!("peer: 1.2.3.4"), None),
            (json!({"peer": 7}), None),
        ] {
            let read = principal(&value).map(|principal| principal.net.to_string());
            assert_eq!(read.ok().as_deref(), wanted, "{value}");
        }
    }
}
