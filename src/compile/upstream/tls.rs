//! How TLS is spoken to an upstream, and with whose authority it is verified.

use std::sync::Arc;

use super::{Dial, Resolver};
use crate::{
    compile::{
        finding::Findings,
        mapping::{DialPlan, TlsPlan},
    },
    graph::{Terms, UpstreamTls, tls::Roots},
    report::Code,
    resource::ObjectKey,
};

impl Resolver<'_> {
    /// TLS towards the upstream: None, with a finding, when what is asked for cannot be had.
    #[expect(
        clippy::option_option,
        reason = "no TLS is not the same as TLS that failed"
    )]
    pub(super) fn tls(
        &self,
        from: &ObjectKey,
        plan: &DialPlan,
        dial: Option<&Dial>,
        findings: &mut Findings,
    ) -> Option<Option<UpstreamTls>> {
        let own_name = || dial.map_or_else(|| "".into(), |dial| Arc::clone(&dial.host));
        let name = match &plan.tls {
            TlsPlan::Off => return Some(None),
            TlsPlan::On => {
                if self.settings.verifies_with_authority_only {
                    unverified("spec.service", findings);
                }
                return Some(Some(UpstreamTls {
                    server_name: own_name(),
                    verify: !self.settings.verifies_with_authority_only,
                    roots: Roots::System,
                    client: None,
                    terms: Terms::default(),
                    revoked: Arc::default(),
                }));
            }
            TlsPlan::Context(name) => name,
        };
        let context = self.contexts.find(name, &from.namespace, self.settings);
        let Some(context) = context.filter(|context| !context.broken) else {
            let message = match context {
                Some(context) => format!("{} has an error of its own", context.key),
                None => format!(
                    "There is no TLSContext {name} in namespace {}",
                    from.namespace
                ),
            };
            findings.push(
                Code::TlsContextNotFound,
                "spec.tls",
                message,
                "Create or correct the TLSContext, or its name here",
            );
            return None;
        };
        // A context that asks for verification itself, by its authority, has it.
        let without_authority =
            self.settings.verifies_with_authority_only && context.roots == Roots::System;
        if !context.verify {
            findings.push(
                Code::UpstreamNotVerified,
                "spec.tls",
                format!(
                    "As {} says, the certificate of the upstream is not verified",
                    context.key
                ),
                "",
            );
        }
        if context.verify && without_authority {
            unverified("spec.tls", findings);
        }
        Some(Some(UpstreamTls {
            server_name: context.server_name.clone().unwrap_or_else(own_name),
            verify: context.verify && !without_authority,
            roots: context.roots.clone(),
            client: context.client.clone(),
            terms: context.terms.clone(),
            revoked: Arc::clone(&context.revoked),
        }))
    }
}

/// Says whose decision it is that a certificate is not verified.
fn unverified(field: &str, findings: &mut Findings) {
    findings.push(
        Code::UpstreamNotVerified,
        field,
        "As the GatewaySettings say, the certificate of the upstream is not verified",
        "Name its authority in the `caSecret` of a TLSContext, or have `upstreamTls.verification: Always` set",
    );
}
