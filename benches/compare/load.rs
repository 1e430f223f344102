//! The load: wrk, and h2load for HTTP/2. Both on the core that is not the proxy's.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{
    backend::{self, CORE},
    harness::process::{output, pinned},
    scenario::{Body, Protocol, Routes, Scenario},
};

/// Asks for a random route each time, from requests that are made before the clock starts.
const RANDOM_ROUTES: &str = r#"
local requests = {}
function init(args)
  math.randomseed(42)
  for i = 1, 20000 do
    local host = "h" .. math.random(0, HOSTS - 1) .. ".example.com"
    local path = "/p" .. math.random(0, PATHS - 1) .. "/a/b?x=1"
    requests[i] = wrk.format("GET", path, { ["Host"] = host })
  end
end
local number = 0
function request()
  number = number % #requests + 1
  return requests[number]
end
"#;

/// How a load goes against one address.
#[derive(Debug)]
pub(super) struct Load {
    url: String,
    script: Option<PathBuf>,
    protocol: Protocol,
    connections: u32,
    /// What is sent beside what the program sends by itself.
    extra: Vec<String>,
}

/// What the load generator counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    pub(super) requests: u64,
    pub(super) rate: f64,
    pub(super) latency: Option<Latency>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Latency {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

// === impl Load ===

impl Load {
    pub(super) fn new(scenario: &Scenario, address: SocketAddr, folder: &Path) -> Result<Self> {
        let scheme = match scenario.protocol {
            Protocol::Tls => "https",
            Protocol::Http1 | Protocol::Http2 | Protocol::Grpc => "http",
        };
        let script = match scenario.routes {
            Routes::One => None,
            Routes::Many { hosts, paths } => {
                let path = folder.join("random.lua");
                let text = format!("local HOSTS, PATHS = {hosts}, {paths}\n{RANDOM_ROUTES}");
                fs::write(&path, text)?;
                Some(path)
            }
        };
        let mut extra = Vec::new();
        if scenario.body == Body::Text {
            extra = ["-H", "accept-encoding: gzip"].map(str::to_owned).to_vec();
        }
        if scenario.protocol == Protocol::Grpc {
            let call = folder.join("call");
            fs::write(&call, backend::GRPC_MESSAGE)?;
            let call = call.display().to_string();
            let fields = ["content-type: application/grpc", "te: trailers"];
            extra = fields.map(|field| format!("-H{field}")).to_vec();
            extra.extend(["-d".to_owned(), call]);
        }
        Ok(Self {
            extra,
            url: format!("{scheme}://{address}/svc/hello"),
            script,
            protocol: scenario.protocol,
            connections: scenario.connections,
        })
    }

    /// Runs it. An answer that is not a success is a failure of the whole measurement.
    pub(super) fn run(&self, seconds: u32) -> Result<Served> {
        match self.protocol {
            Protocol::Http1 | Protocol::Tls => self.wrk(seconds),
            Protocol::Http2 | Protocol::Grpc => self.h2load(seconds),
        }
    }

    fn wrk(&self, seconds: u32) -> Result<Served> {
        let mut command = pinned(CORE, "wrk");
        command.args(["-t1", "--latency", "--timeout", "30s"]);
        command.arg(format!("-c{}", self.connections));
        command.arg(format!("-d{seconds}s"));
        if let Some(script) = &self.script {
            command.arg("-s").arg(script);
        }
        command.args(&self.extra);
        let text = output(command.arg(&self.url))?;
        for trouble in ["Non-2xx", "Socket errors"] {
            if text.contains(trouble) {
                bail!("requests failed:\n{text}");
            }
        }
        let requests = word_before(&text, " requests in ").context("wrk told no count")?;
        let rate = word_after(&text, "Requests/sec:").context("wrk told no rate")?;
        let (_, distribution) = text
            .split_once("Latency Distribution")
            .context("wrk told no latency")?;
        let percentile = |name| {
            word_after(distribution, name)
                .and_then(duration)
                .context("wrk told no latency")
        };
        Ok(Served {
            requests: requests.parse()?,
            rate: rate.parse()?,
            latency: Some(Latency {
                p50: percentile("50%")?,
                p99: percentile("99%")?,
            }),
        })
    }

    fn h2load(&self, seconds: u32) -> Result<Served> {
        let mut command = pinned(CORE, "h2load");
        command.args(["-t1", "-m10", &format!("-c{}", self.connections)]);
        command.args(&self.extra);
        let text = output(command.args(["-D", &seconds.to_string(), &self.url]))?;
        let number = |name| {
            let word = word_before(&text, name).context("h2load told no count")?;
            word.parse::<u64>().context("h2load counted no number")
        };
        let (requests, failed) = (number(" succeeded")?, number(" failed")?);
        if requests == 0 || failed > 0 || number(" 2xx")? < requests {
            bail!("requests failed:\n{text}");
        }
        let rate = word_before(&text, " req/s").context("h2load told no rate")?;
        Ok(Served {
            requests,
            rate: rate.parse()?,
            latency: None,
        })
    }
}

fn word_before<'t>(text: &'t str, mark: &str) -> Option<&'t str> {
    let (before, _) = text.split_once(mark)?;
    before.split_whitespace().next_back()
}

fn word_after<'t>(text: &'t str, mark: &str) -> Option<&'t str> {
    let (_, after) = text.split_once(mark)?;
    after.split_whitespace().next()
}

/// As wrk writes it: `812.00us`, `1.33ms`, `2.00s`.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * scale).ok()
}
