//! One watch: a list, then what changes, for ever.
//!
//! ```text
//!          ┌── 410, 404, garbage ──┐
//!          v                       │
//!  ──> list, page by page ──> watch for 50 s ──┐
//!          ^   │                   ^           │
//!          └───┘ back-off          └───────────┘ from where it was, after a back-off if it failed
//! ```

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::{
    backoff::Backoff,
    found::{self, Event, Found},
    recovery::Back,
    request::{self, Failure, Form},
    resource::Resource,
};
use crate::resource::Kind;

/// The API server ends a watch after this, so that a watch that does not end is known to be dead.
const WATCH_SECONDS: u64 = 50;
/// Nobody waits for an end longer than this.
const DEAD_AFTER: Duration = Duration::from_secs(55);
/// A watch that lived as long was a good one.
const LIVED: Duration = Duration::from_secs(1);
const PAGE: usize = 500;
/// A server that answers and refuses the same watch as often is asked for a list.
const MAX_REFUSALS: u32 = 4;

/// What a watch tells the hub.
#[derive(Debug)]
pub(super) struct Message {
    /// Which watch; no two of a process have the same number.
    pub(super) watch: u64,
    pub(super) heard: Heard,
}

/// What a watch has to tell.
#[derive(Debug)]
pub(super) enum Heard {
    /// The API server answers.
    Alive,
    /// All that there is.
    Listed {
        found: Vec<Found>,
        version: Arc<str>,
    },
    /// What happened since, and how far that reaches.
    Changed {
        events: Vec<Event>,
        version: Arc<str>,
    },
    /// It goes on by itself, some time later.
    Failed(Failure),
}

/// A watch of one resource, in one namespace or in all.
pub(super) struct Watch {
    pub(super) id: u64,
    pub(super) client: kube::Client,
    pub(super) resource: Resource,
    pub(super) namespace: Option<Arc<str>>,
    /// Whether the documents of objects are wanted too.
    pub(super) keeps: bool,
    pub(super) hub: mpsc::Sender<Message>,
    pub(super) back: Back,
}

/// Nobody listens any more.
struct HubGone;

/// What a few lines of a watch came to.
struct Reading {
    events: Vec<Event>,
    version: Option<Arc<str>>,
    failure: Option<Failure>,
}

// === impl Watch ===

impl Watch {
    /// Runs until nobody listens any more.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut page = PAGE;
        loop {
            let ended = match self.list(&mut page).await {
                Ok((found, version)) => self.begin(found, version, &mut backoff).await,
                Err(Failure::Gone) => Ok(()),
                Err(failure) => self.tell(Heard::Failed(failure)).await,
            };
            if ended.is_err() {
                return;
            }
            backoff.wait(&mut self.back).await;
        }
    }

    /// All pages of the list. A page that is too large is asked for in smaller ones.
    async fn list(&self, page: &mut usize) -> Result<(Vec<Found>, Arc<str>), Failure> {
        let path = self.resource.path(self.namespace.as_deref());
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let query = token
                .as_deref()
                .map_or_else(String::new, |token| format!("&continue={}", escaped(token)));
            let uri = format!("{path}?limit={page}{query}");
            let form = self.form(Form::Whole, Form::MetadataList);
            let mut list = match request::get(&self.client, &uri, form).await {
                Err(Failure::TooLarge) if *page > 1 => {
                    *page /= 2;
                    continue;
                }
                list => list?,
            };
            let version = found::version(&list).map(Arc::from);
            token = list
                .pointer("/metadata/continue")
                .and_then(Value::as_str)
                .filter(|token| !token.is_empty())
                .map(str::to_owned);
            match list.get_mut("items").map(Value::take) {
                Some(Value::Array(items)) => {
                    let items = items.into_iter();
                    found.extend(items.map(|item| self.found(item)));
                }
                // So the API server writes an empty list of metadata.
                Some(Value::Null) => {}
                _ => return Err(Failure::Garbage("the list has no items".to_owned())),
            }
            match (&token, version) {
                (Some(_), _) => {}
                (None, Some(version)) => return Ok((found, version)),
                (None, None) => {
                    return Err(Failure::Garbage("the list has no version".to_owned()));
                }
            }
        }
    }

    async fn begin(
        &mut self,
        found: Vec<Found>,
        version: Arc<str>,
        backoff: &mut Backoff,
    ) -> Result<(), HubGone> {
        let listed = Heard::Listed {
            found,
            version: version.clone(),
        };
        self.tell(listed).await?;
        self.follow(version, backoff).await
    }

    /// Watches until another list is needed.
    async fn follow(
        &mut self,
        mut version: Arc<str>,
        backoff: &mut Backoff,
    ) -> Result<(), HubGone> {
        let mut refusals = 0;
        loop {
            let started = Instant::now();
            let failure = self.watch(&mut version, started).await?;
            if started.elapsed() >= LIVED {
                backoff.reset();
                refusals = 0;
            }
            if let Some(failure) = failure {
                let again = failure.needs_list() || refusals >= MAX_REFUSALS;
                refusals += u32::from(matches!(failure, Failure::Refused(..)));
                if !matches!(failure, Failure::Gone) {
                    self.tell(Heard::Failed(failure)).await?;
                }
                if again {
                    return Ok(());
                }
            } else if started.elapsed() >= LIVED {
                continue;
            }
            backoff.wait(&mut self.back).await;
        }
    }

    /// One request. None: it has ended as it should.
    async fn watch(
        &self,
        version: &mut Arc<str>,
        started: Instant,
    ) -> Result<Option<Failure>, HubGone> {
        let uri = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={}",
            self.resource.path(self.namespace.as_deref()),
            escaped(version),
        );
        let form = self.form(Form::Whole, Form::Metadata);
        let mut lines = match request::open(&self.client, &uri, form).await {
            Ok(lines) => lines,
            Err(failure) => return Ok(Some(failure)),
        };
        self.tell(Heard::Alive).await?;
        loop {
            let ready = match timeout_at(started + DEAD_AFTER, lines.ready()).await {
                Err(_) => return Ok(Some(Failure::Silent(DEAD_AFTER))),
                Ok(Err(failure)) => return Ok(Some(failure)),
                Ok(Ok(ready)) if ready.is_empty() => return Ok(None),
                Ok(Ok(ready)) => ready,
            };
            let reading = self.read(&ready);
            if let Some(reached) = reading.version {
                *version = reached.clone();
                let changed = Heard::Changed {
                    events: reading.events,
                    version: reached,
                };
                self.tell(changed).await?;
            }
            if reading.failure.is_some() {
                return Ok(reading.failure);
            }
        }
    }

    /// The events before the first line that is not one.
    fn read(&self, lines: &[Bytes]) -> Reading {
        let mut reading = Reading {
            events: Vec::with_capacity(lines.len()),
            version: None,
            failure: None,
        };
        for line in lines {
            if let Err(failure) = self.event(line, &mut reading) {
                reading.failure = Some(failure);
                break;
            }
        }
        reading
    }

    fn event(&self, line: &[u8], reading: &mut Reading) -> Result<(), Failure> {
        let mut event: Value =
            serde_json::from_slice(line).map_err(|error| Failure::Garbage(error.to_string()))?;
        let object = event.get_mut("object").map(Value::take).unwrap_or_default();
        let kind = event
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if kind == "ERROR" {
            return Err(Failure::of_status(&object));
        }
        let nameless = || Failure::Garbage(format!("an event `{kind}` without name or version"));
        let version = Arc::from(found::version(&object).ok_or_else(nameless)?);
        match kind {
            "ADDED" | "MODIFIED" => {
                reading.events.push(Event::Put(self.found(object)));
            }
            "DELETED" => {
                let key = self.resource.key(&object).ok_or_else(nameless)?;
                reading.events.push(Event::Gone(key));
            }
            "BOOKMARK" => {}
            _ => return Err(Failure::Garbage(format!("an event of the type `{kind}`"))),
        }
        reading.version = Some(version);
        Ok(())
    }

    fn found(&self, manifest: Value) -> Found {
        if self.keeps {
            Found::with_document(&self.resource, manifest)
        } else {
            Found::new(&self.resource, manifest)
        }
    }

    async fn tell(&self, heard: Heard) -> Result<(), HubGone> {
        let message = Message {
            watch: self.id,
            heard,
        };
        self.hub.send(message).await.map_err(|_| HubGone)
    }

    /// Of Secrets, nothing but the metadata is ever listed or watched; of Ingresses nothing else is read.
    fn form(&self, whole: Form, metadata: Form) -> Form {
        if matches!(self.resource.kind, Kind::Secret | Kind::Ingress) {
            metadata
        } else {
            whole
        }
    }
}

/// A value for a query: everything but what is never special.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            for digit in [byte >> 4, byte & 15] {
                let digit = char::from_digit(u32::from(digit), 16);
                escaped.extend(digit.map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
