//! Certificates that clients show: who must have signed them, and what upstreams are told of them.

use std::{fmt, sync::Arc};

/// What a Host asks of its clients in the handshake.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// Of all that follows: equal digests ask for the same.
    pub digest: Arc<str>,
    /// DER of the authorities.
    pub authorities: Arc<[Arc<[u8]>]>,
    /// DER of the lists of what the authorities have revoked. Where there is one, every certificate of a chain must be
    /// covered by one.
    pub revoked: Arc<[Arc<[u8]>]>,
    /// Who shows no certificate is not let in; otherwise only what is shown must be right.
    pub required: bool,
}

impl fmt::Debug for ClientCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCertificates({self})")
    }
}

impl fmt::Display for ClientCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = if self.required {
            "required"
        } else {
            "optional"
        };
        let plural = |number: usize| if number == 1 { "y" } else { "ies" };
        let number = self.authorities.len();
        write!(f, "{asked}, {number} authorit{}", plural(number))?;
        match self.revoked.len() {
            0 => Ok(()),
            1 => f.write_str(", 1 list of revoked certificates"),
            lists => write!(f, ", {lists} lists of revoked certificates"),
        }
    }
}

/// What becomes of X-Forwarded-Client-Cert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForwardedCert {
    pub mode: ForwardMode,
    pub details: CertDetails,
}

/// Who may write the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardMode {
    /// Nobody: it is taken out of every request.
    #[default]
    Sanitize,
    /// Clients that have shown a certificate.
    ForwardOnly,
    /// The same, and the gateway adds what they have shown.
    AppendForward,
    /// Only the gateway, of clients that have shown a certificate.
    SanitizeSet,
    /// Everybody.
    AlwaysForwardOnly,
}

/// What the field tells beside the digest of the certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is asked for alone")]
pub struct CertDetails {
    pub subject: bool,
    /// The certificate itself.
    pub cert: bool,
    /// The certificate with what came with it.
    pub chain: bool,
    pub dns: bool,
    pub uri: bool,
}

impl ForwardedCert {
    /// What is not as usual, for people.
    pub fn told(self) -> Option<String> {
        let CertDetails {
            subject,
            cert,
            chain,
            dns,
            uri,
        } = self.details;
        let details = [
            (cert, "cert"),
            (chain, "chain"),
            (subject, "subject"),
            (uri, "uri"),
            (dns, "dns"),
        ];
        let told = details
            .into_iter()
            .filter(|(on, _)| *on && self.mode.tells());
        let told: Vec<_> = std::iter::once(self.mode.name())
            .chain(told.map(|(_, name)| name))
            .collect();
        (self.mode != ForwardMode::Sanitize).then(|| told.join(" "))
    }
}

impl ForwardMode {
    /// Whether what the client says goes on.
    pub fn keeps(self, has_certificate: bool) -> bool {
        match self {
            Self::Sanitize | Self::SanitizeSet => false,
            Self::ForwardOnly | Self::AppendForward => has_certificate,
            Self::AlwaysForwardOnly => true,
        }
    }

    /// Whether the gateway says something itself.
    pub fn tells(self) -> bool {
        matches!(self, Self::AppendForward | Self::SanitizeSet)
    }

    pub const ALL: [(&'static str, Self); 5] = [
        ("SANITIZE", Self::Sanitize),
        ("FORWARD_ONLY", Self::ForwardOnly),
        ("APPEND_FORWARD", Self::AppendForward),
        ("SANITIZE_SET", Self::SanitizeSet),
        ("ALWAYS_FORWARD_ONLY", Self::AlwaysForwardOnly),
    ];

    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, mode)| *mode == self);
        found.map_or("", |(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_say_what_a_client_has_shown() {
        for (mode, with, without, tells) in [
            ("SANITIZE", false, false, false),
            ("FORWARD_ONLY", true, false, false),
            ("APPEND_FORWARD", true, false, true),
            ("SANITIZE_SET", false, false, true),
            ("ALWAYS_FORWARD_ONLY", true, true, false),
        ] {
            let found = ForwardMode::ALL.iter().find(|(name, _)| *name == mode);
            let found = found.unwrap().1;
            assert_eq!(
                (found.keeps(true), found.keeps(false)),
                (with, without),
                "{mode}"
            );
            assert_eq!(found.tells(), tells, "{mode}");
            assert_eq!(found.name(), mode);
        }
    }
}
