//! The record of a decision: what `why` prints.

use serde::Serialize;

use super::{
    Region, Route, VirtualHost,
    decide::{Entry, HostChoice},
    matching::Explain,
};

/// Records each step of a decision in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trace {
    pub steps: Vec<Step>,
}

/// One step of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "camelCase")]
pub enum Step {
    /// The Host that has the request.
    Host {
        id: String,
        hostname: String,
    },
    /// No Host has it.
    NoHost,
    /// The connection was made for another Host.
    Misdirected,
    /// Whether the request counts as secure, and what the Host does with such a one.
    Entry {
        secure: bool,
        action: &'static str,
    },
    Region {
        name: String,
    },
    /// A route whose host and path fit: it has the request, or `failed` is the condition that did not hold.
    Candidate {
        #[serde(flatten)]
        route: Shown,
        #[serde(skip_serializing_if = "Option::is_none")]
        failed: Option<&'static str>,
    },
    /// A route whose host and path fit, after the one that has the request.
    Shadowed {
        #[serde(flatten)]
        route: Shown,
    },
}

/// What is shown of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// As the Mapping says it.
    pub path: String,
    pub precedence: i32,
    pub members: Vec<String>,
}

impl Explain for Trace {
    const SHOWS_SHADOWED: bool = true;

    fn host(&mut self, choice: &HostChoice<'_>) {
        self.steps.push(match choice {
            HostChoice::Host(host) => {
                let VirtualHost { id, pattern, .. } = &***host;
                Step::Host {
                    id: id.to_string(),
                    hostname: pattern.to_string(),
                }
            }
            HostChoice::None => Step::NoHost,
            HostChoice::Misdirected => Step::Misdirected,
        });
    }

    fn entry(&mut self, secure: bool, entry: Entry) {
        let action = match entry {
            Entry::Route => "route",
            Entry::Redirect => "redirect",
            Entry::RedirectMatched => "redirectMatched",
            Entry::NotFound => "reject",
        };
        self.steps.push(Step::Entry { secure, action });
    }

    fn region(&mut self, region: &Region) {
        self.steps.push(Step::Region {
            name: region.name.to_string(),
        });
    }

    fn candidate(&mut self, route: &Route, failed: Option<&'static str>) {
        self.steps.push(Step::Candidate {
            route: Shown::of(route),
            failed,
        });
    }

    fn shadowed(&mut self, route: &Route) {
        self.steps.push(Step::Shadowed {
            route: Shown::of(route),
        });
    }
}

impl Shown {
    fn of(route: &Route) -> Self {
        Self {
            path: route.rank.prefix.to_string(),
            precedence: route.rank.precedence,
            members: route
                .members
                .iter()
                .map(|member| member.id.to_string())
                .collect(),
        }
    }
}
