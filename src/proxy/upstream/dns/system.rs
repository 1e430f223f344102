//! The name servers of the machine, and its hosts file.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use hickory_resolver::{
    ResolverBuilder, TokioResolver,
    config::LookupIpStrategy,
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::rr::Name,
};
use tokio::sync::OnceCell;

use super::{Found, Lookup, Missing};

/// Asks the servers that `/etc/resolv.conf` names, read when the first name is asked for.
#[derive(Clone, Default)]
pub(in crate::proxy::upstream) struct System {
    resolver: Arc<OnceCell<TokioResolver>>,
}

impl System {
    async fn ask(self, name: Arc<str>) -> Result<Found, Missing> {
        // The name as it is, without the search list: what reaches us is no name of the cluster, and `ndots:5` would have
        // five others tried before it.
        let mut name = Name::from_utf8(&*name).map_err(|_| Missing::NotThere(None))?;
        name.set_fqdn(true);
        let resolver = self
            .resolver
            .get_or_try_init(|| async { TokioResolver::builder_tokio().and_then(build) })
            .await
            .map_err(|error| failed(&error))?;
        let answers = resolver.lookup_ip(name).await.map_err(missing)?;
        let records = answers.as_lookup().answers();
        let ttl = records.iter().map(|record| record.ttl).min().unwrap_or(0);
        Ok(Found {
            addresses: answers.iter().collect(),
            ttl: Duration::from_secs(ttl.into()),
        })
    }

    #[cfg(test)]
    pub(super) fn of(resolver: TokioResolver) -> Self {
        Self {
            resolver: Arc::new(OnceCell::new_with(Some(resolver))),
        }
    }
}

impl Lookup for System {
    fn lookup(&self, name: Arc<str>) -> BoxFuture<'static, Result<Found, Missing>> {
        Box::pin(self.clone().ask(name))
    }
}

/// A resolver with our cache in front instead of its own, and both families asked for at once.
pub(super) fn build(
    mut builder: ResolverBuilder<TokioRuntimeProvider>,
) -> Result<TokioResolver, NetError> {
    let options = builder.options_mut();
    options.cache_size = 0;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}

fn failed(error: &NetError) -> Missing {
    Missing::Failed(error.to_string().into())
}

fn missing(error: NetError) -> Missing {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            Missing::NotThere(none.negative_ttl.map(|ttl| Duration::from_secs(ttl.into())))
        }
        error => failed(&error),
    }
}
