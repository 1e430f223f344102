//! Names outside the cluster: asked for on a thread of their own, and kept for as long as the answer says.
//!
//! All workers share one bounded cache. A name is asked for once, however many wait for it. When the name servers fail, what
//! they last said is used for a while longer: an upstream must not go away because its name server does.

mod system;

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::watch, time::Instant};

pub(super) use system::System;

/// Names in the cache, beyond which those nearest to their end are forgotten.
const MAX_NAMES: usize = 1024;
/// Addresses of one name that are used: no more are tried before the next answer.
const MAX_ADDRESSES: usize = 64;
/// An answer is used this long at least: a TTL of zero must not mean a query for every connection.
const MIN_TTL: Duration = Duration::from_secs(1);
/// An answer is used this long at most.
const MAX_TTL: Duration = Duration::from_hours(1);
/// "No such name" is believed this long at most: somebody may be about to create it.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(10);
/// After a failure of the name servers nothing is asked for this long.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
/// How long after its end an answer may stand in for one that does not come.
const MAX_STALE: Duration = Duration::from_hours(1);

/// Why a name leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    #[error("no such name, or it has no address")]
    NotFound,
    #[error("name servers failed: {0}")]
    Failed(Arc<str>),
    /// Too many names are being asked for.
    #[error("too many names at once")]
    Busy,
}

pub(super) type Answer = Result<Arc<[IpAddr]>, DnsError>;

/// Whoever can be asked for a name.
pub(super) trait Lookup: Send + Sync + 'static {
    fn lookup(&self, name: Arc<str>) -> BoxFuture<'static, Result<Found, Missing>>;
}

/// What name servers say.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ttl: Duration,
}

/// That there is nothing to say.
#[derive(Clone, Debug)]
pub(super) enum Missing {
    /// The name servers are sure of it, for so long.
    NotThere(Option<Duration>),
    /// They could not be asked.
    Failed(Arc<str>),
}

/// Answers for all workers.
pub(super) struct Resolver {
    lookup: Arc<dyn Lookup>,
    names: Arc<Mutex<HashMap<Arc<str>, Entry>>>,
    helper: Handle,
}

/// What is known of a name.
#[derive(Debug, Default)]
struct Entry {
    answer: Option<Known>,
    /// Set while it is being asked for.
    pending: Option<watch::Receiver<Option<Answer>>>,
}

#[derive(Clone, Debug)]
struct Known {
    answer: Answer,
    until: Instant,
    /// For how long the addresses may stand in for an answer that does not come.
    stale_until: Instant,
}

// === impl Resolver ===

impl Resolver {
    pub(super) fn new(lookup: impl Lookup, helper: Handle) -> Self {
        Self {
            lookup: Arc::new(lookup),
            names: Arc::default(),
            helper,
        }
    }

    /// The addresses of a name, those of IPv4 first. Waits as long as the name servers do: the caller has the clock.
    pub(super) async fn addresses(&self, name: &Arc<str>) -> Answer {
        let mut pending = match self.known_or_pending(name) {
            Ok(answer) => return answer,
            Err(pending) => pending,
        };
        match pending.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone().unwrap_or(Err(DnsError::Busy)),
            Err(_) => Err(DnsError::Failed("look-up was given up".into())),
        }
    }

    fn known_or_pending(&self, name: &Arc<str>) -> Result<Answer, watch::Receiver<Option<Answer>>> {
        let now = Instant::now();
        let mut names = self.names.lock();
        if let Some(entry) = names.get(name) {
            if let Some(known) = entry.answer.as_ref().filter(|known| now < known.until) {
                return Ok(known.answer.clone());
            }
            // A look-up that died without a word is no longer pending.
            if let Some(pending) = entry.pending.as_ref().filter(|p| p.has_changed().is_ok()) {
                return Err(pending.clone());
            }
        } else if names.len() >= MAX_NAMES && !make_room(&mut names) {
            return Ok(Err(DnsError::Busy));
        }
        let (told, pending) = watch::channel(None);
        names.entry(name.clone()).or_default().pending = Some(pending.clone());
        drop(names);
        self.ask(name.clone(), told);
        Err(pending)
    }

    fn ask(&self, name: Arc<str>, told: watch::Sender<Option<Answer>>) {
        let asked = self.lookup.lookup(name.clone());
        let names = self.names.clone();
        self.helper.spawn(async move {
            let said = asked.await;
            let mut names = names.lock();
            let entry = names.entry(name).or_default();
            let known = Known::new(said, entry.answer.as_ref(), Instant::now());
            entry.pending = None;
            entry.answer = Some(known.clone());
            told.send_replace(Some(known.answer));
        });
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resolver({} names)", self.names.lock().len())
    }
}

// === impl Known ===

impl Known {
    fn new(said: Result<Found, Missing>, before: Option<&Self>, now: Instant) -> Self {
        match said {
            Ok(found) if !found.addresses.is_empty() => {
                let until = now + found.ttl.clamp(MIN_TTL, MAX_TTL);
                let mut addresses = found.addresses;
                addresses.sort_by_key(IpAddr::is_ipv6);
                addresses.truncate(MAX_ADDRESSES);
                Self {
                    answer: Ok(addresses.into()),
                    until,
                    stale_until: until + MAX_STALE,
                }
            }
            Ok(_) => Self::none(DnsError::NotFound, now + MIN_TTL),
            Err(Missing::NotThere(ttl)) => {
                let ttl = ttl.unwrap_or(MAX_NEGATIVE_TTL);
                let until = now + ttl.clamp(MIN_TTL, MAX_NEGATIVE_TTL);
                Self::none(DnsError::NotFound, until)
            }
            Err(Missing::Failed(why)) => match before {
                Some(known) if known.answer.is_ok() && now < known.stale_until => Self {
                    until: now + FAILURE_PAUSE,
                    ..known.clone()
                },
                Some(_) | None => Self::none(DnsError::Failed(why), now + FAILURE_PAUSE),
            },
        }
    }

    fn none(error: DnsError, until: Instant) -> Self {
        Self {
            answer: Err(error),
            until,
            stale_until: until,
        }
    }
}

/// Forgets a quarter of the names, those first that end first. False if none can be forgotten: all are being asked for.
fn make_room(names: &mut HashMap<Arc<str>, Entry>) -> bool {
    let mut ends: Vec<_> = names
        .iter()
        .filter(|(_, entry)| entry.pending.is_none())
        .map(|(name, entry)| (entry.answer.as_ref().map(|known| known.until), name.clone()))
        .collect();
    ends.sort_unstable();
    ends.truncate(MAX_NAMES / 4);
    for (_, name) in &ends {
        names.remove(name);
    }
    !ends.is_empty()
}

#[cfg(test)]
mod tests;
