//! On which terms TLS is spoken: versions, cipher suites, key exchanges and protocols.

use std::{fmt, sync::Arc};

/// Terms of a handshake. By default all that the TLS library has, and nothing that is not safe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Terms {
    pub versions: Versions,
    /// For TLS 1.2 only: those of TLS 1.3 cannot be chosen among. None for all of them.
    pub suites: Option<Arc<[Suite]>>,
    /// The first is liked best. None for all of them.
    pub groups: Option<Arc<[Group]>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Versions {
    #[default]
    Both,
    Only12,
    Only13,
}

/// Protocols that clients are offered in the handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Offer {
    /// HTTP/2 and HTTP/1.1.
    #[default]
    Both,
    OnlyHttp1,
    OnlyHttp2,
}

macro_rules! named {
    ($(#[$doc:meta])* $kind:ident { $($name:ident: $first:literal $(, $other:literal)*;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $kind {
            $($name,)*
        }

        impl $kind {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// By one of the names that people have for it, without regard to case.
            pub fn named(text: &str) -> Option<Self> {
                $(
                    if [$first $(, $other)*].iter().any(|name| name.eq_ignore_ascii_case(text)) {
                        return Some(Self::$name);
                    }
                )*
                None
            }

            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $first,)*
                }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named! {
    /// A cipher suite of TLS 1.2, by OpenSSL's name and that of IANA.
    Suite {
        EcdsaAes128: "ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
        RsaAes128: "ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
        EcdsaAes256: "ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
        RsaAes256: "ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384";
        EcdsaChacha20: "ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
        RsaChacha20: "ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256";
    }
}

named! {
    /// A way to exchange keys.
    Group {
        X25519: "X25519";
        P256: "P-256", "secp256r1", "prime256v1";
        P384: "P-384", "secp384r1";
        X25519MlKem768: "X25519MLKEM768";
        P256MlKem768: "SecP256r1MLKEM768", "P256MLKEM768";
    }
}

impl Terms {
    /// What is not as usual, for people.
    pub fn told(&self) -> Vec<String> {
        let mut told = Vec::new();
        match self.versions {
            Versions::Both => {}
            Versions::Only12 => told.push("TLS 1.2 only".to_owned()),
            Versions::Only13 => told.push("TLS 1.3 only".to_owned()),
        }
        if let Some(suites) = &self.suites {
            told.push(format!("suites {}", listed(suites)));
        }
        if let Some(groups) = &self.groups {
            told.push(format!("groups {}", listed(groups)));
        }
        told
    }
}

impl Offer {
    pub fn protocols(self) -> &'static [&'static str] {
        match self {
            Self::Both => &["h2", "http/1.1"],
            Self::OnlyHttp1 => &["http/1.1"],
            Self::OnlyHttp2 => &["h2"],
        }
    }
}

fn listed<T: fmt::Display>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    items.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_people_have_is_known() {
        for suite in Suite::ALL {
            assert_eq!(Suite::named(suite.name()), Some(*suite));
        }
        let iana = "tls_ecdhe_rsa_with_aes_128_gcm_sha256";
        assert_eq!(Suite::named(iana), Some(Suite::RsaAes128));
        assert_eq!(Suite::named("AES128-SHA"), None);
        for name in ["P-256", "prime256v1", "SECP256R1"] {
            assert_eq!(Group::named(name), Some(Group::P256), "{name}");
        }
        assert_eq!(Group::named("P-521"), None);
    }

    #[test]
    fn only_what_is_not_as_usual_is_told() {
        assert!(Terms::default().told().is_empty());
        let terms = Terms {
            versions: Versions::Only13,
            suites: None,
            groups: Some([Group::P384, Group::X25519].into()),
        };
        assert_eq!(terms.told(), ["TLS 1.3 only", "groups P-384, X25519"]);
    }
}
