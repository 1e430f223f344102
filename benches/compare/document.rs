//! The findings as Markdown, for the terminal and for `docs/reference/performance.md`.

use std::{fmt::Write, time::Duration};

use super::{
    compiling::Figure,
    harness::{
        kept::Figures,
        text::{grouped, mebibytes, microseconds, milliseconds},
    },
    instructions::Instructions,
    machine::Machine,
    measure::{Lengths, Measured, Outcome, Sample},
};

/// More of the proxy's core in other hands than this, and the figures say so.
const QUIET: f64 = 0.06;

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) machine: Machine,
    pub(super) lengths: Lengths,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) instructions: Vec<Instructions>,
    /// The same without claims and with them.
    pub(super) claimed: Vec<Instructions>,
    pub(super) compiling: Vec<Figure>,
    /// Of a replica with an API server.
    pub(super) cluster_memory: Option<Figures>,
}

// === impl Findings ===

impl Findings {
    /// The page of the reference.
    pub(super) fn page(&self) -> String {
        let Lengths { seconds, runs } = self.lengths;
        format!(
            "<!-- Written by `make bench`. -->\n# Performance\n\n\
             What a request through Postern costs, beside nginx and HAProxy doing the same on the same machine at the same \
             time.\n\n{}\n{}\n{METHOD}\n\
             This page: `make bench SECONDS={seconds} RUNS={runs}`.\n",
            self.facts(),
            self.tables()
        )
    }

    /// All tables.
    pub(super) fn tables(&self) -> String {
        let tables = [
            self.cpu(),
            self.speed(),
            self.memory(),
            self.cluster_memory(),
            self.counted(),
            self.compiled(),
        ];
        let tables = tables.into_iter().filter(|table| !table.is_empty());
        let mut text = tables.collect::<Vec<_>>().join("\n");
        if self.is_busy() {
            // Writing to a string cannot fail.
            let _written = writeln!(
                text,
                "\n**The machine was busy**: other programs had {:.0} % of the proxy's core in the median run. Trust the \
                 ratios, and the absolute figures only roughly.",
                self.foreign() * 100.0
            );
        }
        text
    }

    /// Whether others had more of the proxy's core than figures for a reference bear.
    pub(super) fn is_busy(&self) -> bool {
        self.foreign() > QUIET
    }

    fn facts(&self) -> String {
        let machine = &self.machine;
        format!(
            "Measured on {}: {}, {} cores, Linux {}; {}. Runs of {} s, median of {}.\n",
            machine.date,
            machine.cpu,
            machine.cores,
            machine.kernel,
            machine.programs.join(", "),
            self.lengths.seconds,
            self.lengths.runs,
        )
    }

    fn cpu(&self) -> String {
        let compared = self.names().any(|name| name == "postern");
        let others = || {
            self.names()
                .filter(move |name| compared && *name != "postern")
        };
        let mut head = self.head("CPU time per request");
        head.extend(others().map(|other| format!("postern : {other}")));
        let rows = self.outcomes.iter().map(|outcome| {
            let cpu = |peer: &Measured| format!("{:.1} µs", peer.middle(|s| s.cpu_micros));
            let mut row = outcome.row(cpu);
            let own = outcome.of("postern");
            let ratios = others().filter_map(|other| Some(own?.ratio(outcome.of(other)?)));
            row.extend(ratios.map(|ratio| format!("{ratio:.2}")));
            row
        });
        table(&head, rows)
    }

    fn speed(&self) -> String {
        let head = self.head("Requests a second (p50, p99), saturated");
        let rows = self.outcomes.iter().map(|outcome| outcome.row(speed_of));
        table(&head, rows)
    }

    #[expect(clippy::cast_precision_loss, reason = "for people, three digits do")]
    fn memory(&self) -> String {
        let outcomes = self.outcomes.iter();
        let plain: Vec<_> = outcomes.filter(|o| o.scenario.instructions).collect();
        let mut rows: Vec<_> = plain
            .iter()
            .map(|outcome| outcome.row(|peer| mebibytes(peer.resident_bytes)))
            .collect();
        if let [one, many] = *plain {
            let added = many.scenario.routes.count() - one.scenario.routes.count();
            let each = one.peers.iter().zip(&many.peers).map(|(one, many)| {
                let bytes = many.resident_bytes as f64 - one.resident_bytes as f64;
                format!("{:.2} KiB", bytes / 1024.0 / added as f64)
            });
            let mut row = vec!["for each more route".to_owned()];
            row.extend(each);
            rows.push(row);
        }
        table(&self.head("Resident memory after the runs"), rows)
    }

    #[expect(clippy::cast_precision_loss, reason = "for people, three digits do")]
    fn cluster_memory(&self) -> String {
        let figures = self.cluster_memory.as_ref();
        let figure = |name| figures.and_then(|figures| figures.get(name)).copied();
        let (Some(one), Some(many), Some(mappings)) =
            (figure("one"), figure("many"), figure("mappings"))
        else {
            return String::new();
        };
        let added = mappings.saturating_sub(1).max(1);
        let each = many.saturating_sub(one) as f64 / 1024.0 / added as f64;
        let rows = [
            ("one Mapping".to_owned(), mebibytes(one)),
            (format!("{} Mappings", grouped(mappings)), mebibytes(many)),
            ("for each more".to_owned(), format!("{each:.2} KiB")),
        ];
        let head = [
            "Resident memory with an API server",
            "the replica that leads",
        ];
        table(
            &head.map(str::to_owned),
            rows.map(|(title, size)| vec![title, size]),
        )
    }

    fn counted(&self) -> String {
        let head = [
            "User-mode instructions of Postern",
            "a request",
            "requests counted",
        ];
        let pairs = [
            (&self.instructions, "second : first"),
            (&self.claimed, "with claims : without"),
        ];
        let rows = pairs
            .into_iter()
            .flat_map(|(pair, title)| counted(pair, title));
        table(&head.map(str::to_owned), rows)
    }

    fn compiled(&self) -> String {
        let rows = self.compiling.iter().map(|figure| {
            let each = figure.routes.map(|routes| {
                let micros = figure.took.as_secs_f64() * 1e6 / f64::from(routes);
                format!("{micros:.2} µs")
            });
            let took = milliseconds(figure.took);
            vec![figure.title.to_owned(), took, each.unwrap_or_default()]
        });
        table(&["Compile", "in all", "a route"].map(str::to_owned), rows)
    }

    fn head(&self, title: &str) -> Vec<String> {
        let mut head = vec![title.to_owned()];
        head.extend(self.names().map(str::to_owned));
        head
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        let peers = self.outcomes.first().map(|outcome| &*outcome.peers);
        peers.unwrap_or_default().iter().map(|peer| peer.name)
    }

    fn foreign(&self) -> f64 {
        let peers = self.outcomes.iter().flat_map(|outcome| &outcome.peers);
        let shares = peers.map(|peer| peer.middle(|sample: &Sample| sample.foreign));
        super::harness::text::median(shares.collect())
    }
}

// === impl Outcome ===

impl Outcome {
    /// The title, and a cell for each proxy.
    fn row(&self, cell: impl Fn(&Measured) -> String) -> Vec<String> {
        let mut row = vec![self.scenario.title.to_owned()];
        row.extend(self.peers.iter().map(cell));
        row
    }
}

/// A row for each, and one with the ratio of two.
fn counted(pair: &[Instructions], title: &str) -> Vec<Vec<String>> {
    let row = |counted: &Instructions| {
        vec![
            counted.title.to_owned(),
            grouped(counted.per_request),
            grouped(counted.requests),
        ]
    };
    let mut rows: Vec<_> = pair.iter().map(row).collect();
    if let [one, other] = pair {
        let ratio = ratio(other.per_request, one.per_request);
        rows.push(vec![title.to_owned(), format!("{ratio:.3}"), String::new()]);
    }
    rows
}

/// A table in Markdown; nothing when there are no rows.
fn table(head: &[String], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rows: Vec<_> = rows.into_iter().map(|row| line(&row)).collect();
    if rows.is_empty() {
        return String::new();
    }
    let rule = format!("|---|{}\n", "---:|".repeat(head.len().saturating_sub(1)));
    format!("{}{rule}{}", line(head), rows.concat())
}

fn speed_of(peer: &Measured) -> String {
    let rate = peer.middle(|sample| sample.served.rate);
    let middle = |figure: fn(super::load::Latency) -> Duration| {
        let seconds = peer.middle(|sample| {
            let latency = sample.served.latency.map(figure);
            latency.map_or(f64::NAN, |latency| latency.as_secs_f64())
        });
        Duration::try_from_secs_f64(seconds).ok()
    };
    match (middle(|latency| latency.p50), middle(|latency| latency.p99)) {
        (Some(p50), Some(p99)) => {
            format!("{rate:.0} ({}, {})", microseconds(p50), microseconds(p99))
        }
        _ => format!("{rate:.0}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn ratio(one: u64, other: u64) -> f64 {
    one as f64 / other as f64
}

const METHOD: &str = "\
## How it is measured

One proxy at a time has core 0, with one worker; load (wrk, for HTTP/2 and gRPC h2load) and the upstream, which answers every
request with the same bytes (46, 102,400, or 20,480 of JSON; gRPC: one message of 37), share core 1. The runs are interleaved: every proxy once, then every proxy again. CPU per
request is the scheduler time of all threads of the proxy during a run, divided by the requests that were answered; a ratio
is the median of the ratios run by run. Requests a second and latency are for information: they also show what the load
generator could send. Postern runs in the environment that its image sets (`ENV` in `Dockerfile`).

All do the same work, and it is checked before the runs by what reaches the upstream: the prefix is taken off, X-Forwarded-For
and X-Request-Id are added, connections to the upstream are kept, no access log is written. nginx and HAProxy have the
settings that their documentation gives for speed: see `benches/compare/peer/`. gzip is of level 1 in all three, and checked. Everything is on loopback, so the kernel's
share is that of loopback, the same for all.

Instructions are those of the worker in user mode, counted by callgrind in the running gateway while wrk loads it. They hardly depend
on the machine, and so make the better gate. Memory is the resident size of the largest process; with an
API server, which `make soak ARGS='--only memory'` measures, that of the replica which has written all statuses. Compile times are criterion's
medians: `fresh` is a compile from nothing, a change is one by the compiler that made the last snapshot.

## How to repeat it

`make bench` needs Linux and two cores that have little else to do. It installs (on Debian, as root) or names the programs
that it needs, builds with the release profile, measures, prints the tables and writes this page.

";
