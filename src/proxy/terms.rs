//! The terms of a handshake, in the words of the TLS library.

use std::sync::Arc;

use rustls::{
    CipherSuite, NamedGroup, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    version::{TLS12, TLS13},
};

use crate::graph::{Group, Suite, Terms, Versions};

/// What there is to choose among.
pub(super) fn provider(terms: &Terms) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    if let Some(suites) = &terms.suites {
        let named: Vec<_> = suites.iter().map(|suite| code(*suite)).collect();
        provider
            .cipher_suites
            .retain(|suite| suite.tls13().is_some() || named.contains(&suite.suite()));
    }
    if let Some(groups) = &terms.groups {
        let groups = groups.iter().filter_map(|group| {
            let name = named_group(*group);
            let mut all = aws_lc_rs::ALL_KX_GROUPS.iter();
            all.find(|known| known.name() == name).copied()
        });
        provider.kx_groups = groups.collect();
    }
    Arc::new(provider)
}

pub(super) fn versions(terms: &Terms) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match terms.versions {
        Versions::Both => &BOTH,
        Versions::Only12 => &BOTH[1..],
        Versions::Only13 => &BOTH[..1],
    }
}

fn code(suite: Suite) -> CipherSuite {
    match suite {
        Suite::EcdsaAes128 => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        Suite::RsaAes128 => CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        Suite::EcdsaAes256 => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        Suite::RsaAes256 => CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        Suite::EcdsaChacha20 => CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        Suite::RsaChacha20 => CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    }
}

fn named_group(group: Group) -> NamedGroup {
    match group {
        Group::X25519 => NamedGroup::X25519,
        Group::P256 => NamedGroup::secp256r1,
        Group::P384 => NamedGroup::secp384r1,
        Group::X25519MlKem768 => NamedGroup::X25519MLKEM768,
        Group::P256MlKem768 => NamedGroup::secp256r1MLKEM768,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_has_everything_that_can_be_asked_for() {
        let all = Terms {
            suites: Some(Suite::ALL.into()),
            groups: Some(Group::ALL.into()),
            ..Terms::default()
        };
        let provider = provider(&all);
        assert_eq!(provider.kx_groups.len(), Group::ALL.len());
        let tls12 = provider.cipher_suites.iter();
        let tls12 = tls12.filter(|suite| suite.tls13().is_none());
        assert_eq!(tls12.count(), Suite::ALL.len());
    }
}
