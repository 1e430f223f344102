//! How HTTP is spoken with clients, as others read it.

use serde::{Deserialize, Serialize};

use crate::graph::{ClientPolicy, compression::Compression};

/// What is spoken beyond the usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientsView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<CompressionView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_head: Option<u32>,
    pub grpc_web: bool,
    pub http10: bool,
    pub title_case: bool,
    pub strips_own_port: bool,
    pub keeps_request_ids: bool,
    /// What becomes of X-Forwarded-Client-Cert, and what it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_cert: Option<String>,
}

/// Which responses are compressed, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CompressionView {
    /// `gzip 6`
    pub coders: Vec<String>,
    pub min_length: u64,
    pub content_types: Vec<String>,
    pub leaves_etags: bool,
    pub hides_codings: bool,
}

impl ClientsView {
    pub(super) fn of(policy: &ClientPolicy) -> Self {
        Self {
            compression: policy.compression.as_deref().map(CompressionView::of),
            buffer: policy.buffer,
            max_head: policy.max_head,
            grpc_web: policy.grpc_web,
            http10: policy.http10,
            title_case: policy.title_case,
            strips_own_port: policy.strips_own_port,
            keeps_request_ids: policy.keeps_request_ids,
            forwarded_cert: policy.forwarded_cert.told(),
        }
    }

    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl CompressionView {
    fn of(compression: &Compression) -> Self {
        let coders = compression.coders.iter();
        let types = compression.content_types.iter();
        Self {
            coders: coders
                .map(|coder| format!("{} {}", coder.coding.token(), coder.level))
                .collect(),
            min_length: compression.min_length,
            content_types: types.map(ToString::to_string).collect(),
            leaves_etags: compression.leaves_etags,
            hides_codings: compression.hides_codings,
        }
    }
}
