//! What a watch has to tell, and what becomes of it.

use serde_json::json;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Hub;
use crate::{
    resource::{Group, Kind, Unavailable},
    source::{
        Change,
        kube::{
            Kube,
            found::Found,
            request::Failure,
            resource::{self, Resource},
            running,
            watch::{Heard, Message},
        },
    },
};

impl Hub {
    pub(super) fn hear(&mut self, message: Message, batch: &mut Vec<Change>) {
        // A watch that was ended may have had something in the inbox.
        let Some(running) = self.watches.get_mut(&message.watch) else {
            return;
        };
        let name = running.name.clone();
        if !matches!(message.heard, Heard::Failed(_)) {
            self.recovery.answered(Instant::now());
        }
        match message.heard {
            Heard::Failed(failure) => {
                self.recovery.failed(&failure);
                self.kube.metrics.failed(&name);
                self.failed(message.watch, &failure, batch);
                return;
            }
            Heard::Alive => running.alive(),
            Heard::Listed { found, version } => {
                debug!(watch = %name, objects = found.len(), version = %version, "Listed");
                running.alive();
                running.listed = true;
                let kind = running.resource.kind;
                self.available(kind, None, batch);
                let running = &self.watches[&message.watch];
                if running.resource.kind == Kind::Secret {
                    batch.extend(self.bodies.list(&name, found, version));
                } else {
                    if let Some(keeper) = &mut self.keeper {
                        keeper.list(&name, &found);
                    }
                    batch.extend(self.known.list(&name, found));
                    batch.push(Change::Version(name.clone(), version));
                }
            }
            Heard::Changed { events, version } => {
                running.alive();
                if running.resource.kind == Kind::Secret {
                    batch.extend(self.bodies.change(&name, events, version));
                } else {
                    if let Some(keeper) = &mut self.keeper {
                        keeper.change(&name, &events);
                    }
                    batch.extend(self.known.change(&name, events));
                    batch.push(Change::Version(name.clone(), version));
                }
            }
        }
        self.kube.metrics.alive(&name);
    }

    fn failed(&mut self, watch: u64, failure: &Failure, batch: &mut Vec<Change>) {
        let is_news = running::is_news(&self.watches, failure);
        let Some(running) = self.watches.get_mut(&watch) else {
            return;
        };
        // What everybody goes on without is said once, with what is lost by it.
        let is_forbidden = matches!(failure, Failure::Forbidden(_));
        let is_dispensable =
            is_dispensable(running.resource.kind) || is_spared(&self.kube, &running.resource);
        let is_news = is_news && !(is_forbidden && is_dispensable);
        running.failed(failure, is_news);
        match failure {
            Failure::NotFound if resource::is_installed(running.resource.group) => {
                self.nudge.notify_one();
            }
            Failure::Forbidden(_) if !running.listed => self.excuse(watch, batch),
            _ => {}
        }
    }

    /// Goes on without the list of a kind that may be forbidden, and is then known to be incomplete.
    fn excuse(&mut self, watch: u64, batch: &mut Vec<Change>) {
        let Some(running) = self.watches.get_mut(&watch) else {
            return;
        };
        match running.resource.kind {
            // Whoever gave the list of namespaces has said that they exist.
            Kind::Namespace if !self.namespaces.is_empty() => {
                running.listed = true;
                let (name, resource) = (running.name.clone(), running.resource);
                let found = self.namespaces.iter().map(|namespace| {
                    let manifest = json!({"metadata": {"name": &**namespace}});
                    Found::with_document(&resource, manifest)
                });
                let found: Vec<_> = found.collect();
                if let Some(keeper) = &mut self.keeper {
                    keeper.list(&name, &found);
                }
                batch.extend(self.known.list(&name, found));
                warn!(
                    "Namespaces may not be read, so no RouteClaim is for a namespace by its labels"
                );
                self.available(Kind::Namespace, Some(Unavailable::Forbidden), batch);
            }
            // Who can read claims has built walls, and how high they are is in the settings.
            Kind::GatewaySettings
                if is_spared(&self.kube, &running.resource)
                    && !self.unavailable.contains_key(&Kind::RouteClaim) => {}
            // In the place of another gateway its permissions are enough.
            kind if is_spared(&self.kube, &running.resource) => {
                running.excuse();
                if !std::mem::replace(&mut self.spares_own_kinds, true) {
                    warn!(
                        "Kinds of postern.dev are installed and may not be read, so their objects are as if they were not there: \
                         no RouteClaim holds here, and hostnames and paths belong to who came first; allow get, list and \
                         watch of them for that"
                    );
                }
                if matches!(kind, Kind::RouteClaim | Kind::GatewaySettings) {
                    self.available(kind, Some(Unavailable::Forbidden), batch);
                }
            }
            // Whoever reads some namespaces only may not be let read what is for all of them.
            Kind::RouteClaim if !self.namespaces.is_empty() => {
                running.listed = true;
                warn!(
                    "RouteClaims may not be read, so none holds here: hostnames and paths belong to who came first"
                );
                self.available(Kind::RouteClaim, Some(Unavailable::Forbidden), batch);
            }
            // Each costs one ability, and what needs it says so.
            kind if is_dispensable(kind) => {
                running.excuse();
                warn!(
                    resource = %running.resource.watch_name(None),
                    "May not be read, so {}; allow get, list and watch of it for that",
                    lost(kind)
                );
                self.available(kind, Some(Unavailable::Forbidden), batch);
            }
            Kind::Secret => {
                running.listed = true;
                let name = running.name.clone();
                batch.extend(self.bodies.denied(&name));
            }
            _ => {}
        }
    }

    /// Tells whether the objects of a kind can be read, if that is news.
    pub(super) fn available(
        &mut self,
        kind: Kind,
        why: Option<Unavailable>,
        batch: &mut Vec<Change>,
    ) {
        if self.unavailable.get(&kind).copied() == why {
            return;
        }
        match why {
            Some(why) => self.unavailable.insert(kind, why),
            None => self.unavailable.remove(&kind),
        };
        batch.push(Change::Unavailable(kind, why));
    }
}

/// Whether the kind is Postern's own, and the installation serves without those.
fn is_spared(kube: &Kube, resource: &Resource) -> bool {
    kube.spares_own_kinds && resource.group == Group::Postern
}

/// Whether an installation that may not read the objects of a kind serves what it can without them.
fn is_dispensable(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Ingress | Kind::EndpointSlice | Kind::ReferenceGrant
    )
}

/// What cannot be done without the objects of a kind.
fn lost(kind: Kind) -> &'static str {
    match kind {
        Kind::Ingress => "nothing in the annotations of Ingresses is served",
        Kind::EndpointSlice => "Services without a ClusterIP have no address",
        Kind::ReferenceGrant => "nothing that needs a grant is referred to",
        _ => "its objects are as if they were not there",
    }
}
