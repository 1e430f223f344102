//! Watches a decision and keeps what was looked at.

use super::EntryAnswer;
use crate::graph::{Region, Route, decide::Entry, matching::Explain};

/// More than a person reads: a table with more routes for one path is cut off here.
const MAX_SEEN: usize = 1000;

/// What was looked at.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) entry: Option<EntryAnswer>,
    pub(super) region: Option<String>,
    /// Routes whose host and path fit, with the condition that did not hold.
    pub(super) seen: Vec<(Route, Option<&'static str>)>,
}

impl Explain for Recorder {
    const SHOWS_SHADOWED: bool = true;

    fn entry(&mut self, secure: bool, entry: Entry) {
        let action = match entry {
            Entry::Route => "route",
            Entry::Redirect => "redirect",
            Entry::RedirectMatched => "redirectMatched",
            Entry::NotFound => "reject",
        };
        self.entry = Some(EntryAnswer {
            secure,
            action: action.to_owned(),
        });
    }

    fn region(&mut self, region: &Region) {
        self.region = Some(region.name.to_string());
    }

    fn candidate(&mut self, route: &Route, failed: Option<&'static str>) {
        self.see(route, failed);
    }

    fn shadowed(&mut self, route: &Route) {
        self.see(route, None);
    }
}

impl Recorder {
    fn see(&mut self, route: &Route, failed: Option<&'static str>) {
        if self.seen.len() < MAX_SEEN {
            self.seen.push((route.clone(), failed));
        }
    }
}
