//! A running `postern serve`.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use parking_lot::{Condvar, Mutex};
use rustix::process::Signal;
use serde_json::Value;
use tokio::time::Instant;

use super::process::Owned;

/// The binary under test, built by cargo with the same profile.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_postern");

/// What the image sets in the environment, is set for what is measured too.
const IMAGE: &str = include_str!("../../Dockerfile");

/// How long a page of the admin port may take.
const PAGE_LIMIT: Duration = Duration::from_secs(20);
/// Lines of the log that are kept: of the beginning, where addresses are, and of the end, where trouble is.
const LOG_LINES: usize = 200;

/// The gateway, ended when dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    process: Owned,
    log: Arc<Log>,
}

#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    first: Vec<Value>,
    last: VecDeque<Value>,
}

// === impl Gateway ===

impl Gateway {
    /// Starts it, in the environment of the image. `command` ends with the program; everything after is added here, and every
    /// port is the system's choice. There is no access log unless the arguments say so.
    pub(crate) fn launch(mut command: Command, arguments: &[&str]) -> Result<Self> {
        let is_logged = arguments.contains(&"--access-log");
        let log: &[&str] = if is_logged {
            &[]
        } else {
            &["--access-log", "off"]
        };
        let environment = IMAGE.lines().filter_map(|line| line.strip_prefix("ENV "));
        command
            .envs(environment.filter_map(|set| set.split_once('=')))
            .args(["serve", "--log-format", "json"])
            .args(log)
            .args(["--admin-address", "127.0.0.1:0"])
            .args(["--diagnostics-address", "127.0.0.1:0"])
            .args(["--bind", "8080=127.0.0.1:0,8443=127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = Owned::start("postern", &mut command)?;
        let stderr = process.child().stderr.take().context("stderr is piped")?;
        let log = Arc::<Log>::default();
        thread::spawn({
            let log = log.clone();
            move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    log.push(serde_json::from_str(&line).unwrap_or(Value::String(line)));
                }
            }
        });
        Ok(Self { process, log })
    }

    /// Waits until it says that it is ready.
    pub(crate) fn wait_until_ready(&mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let page = self
                .admin(patience)
                .and_then(|admin| page(admin, "/ready", PAGE_LIMIT));
            if page.as_ref().is_ok_and(|(status, _)| *status == 200) {
                return Ok(());
            }
            if let Some(status) = self.process.child().try_wait()? {
                bail!("postern ended with {status}:\n{}", self.last_words());
            }
            if Instant::now() >= deadline {
                let told = page.map_or_else(|error| error.to_string(), |(_, text)| text);
                bail!(
                    "postern is not ready after {patience:?}: {told}\n{}",
                    self.last_words()
                );
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let status = self.process.wait(patience);
        status.with_context(|| self.last_words())
    }

    /// Where the Listeners with this port are bound.
    pub(crate) fn address(&self, port: u16) -> Result<SocketAddr> {
        self.told("Listening", PAGE_LIMIT, |line| {
            line["listener.port"] == port
        })
    }

    pub(crate) fn diagnostics(&self) -> Result<SocketAddr> {
        self.told("Listening for operators", PAGE_LIMIT, |line| {
            line["port"] == "Diagnostics"
        })
    }

    pub(crate) fn metric(&self, name: &str) -> Result<f64> {
        let (_, text) = page(self.admin(PAGE_LIMIT)?, "/metrics", PAGE_LIMIT)?;
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.with_context(|| format!("no metric {name}"))?;
        Ok(value.trim().parse()?)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// The end of the log, for the message of a failure.
    pub(crate) fn last_words(&self) -> String {
        let lines = self.log.lines.lock();
        let all: Vec<_> = lines.first.iter().chain(&lines.last).collect();
        let from = all.len().saturating_sub(20);
        let last = all.iter().skip(from).map(ToString::to_string);
        last.collect::<Vec<_>>().join("\n")
    }

    fn admin(&self, patience: Duration) -> Result<SocketAddr> {
        self.told("Listening for operators", patience, |line| {
            line["port"] == "Health"
        })
    }

    /// The address in a line of the beginning of the log.
    fn told(
        &self,
        message: &str,
        patience: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<SocketAddr> {
        let deadline = Instant::now() + patience;
        let mut lines = self.log.lines.lock();
        loop {
            let mut first = lines.first.iter();
            if let Some(line) = first.find(|line| line["message"] == message && fits(line)) {
                let address = line["server.addr"].as_str().context("no address logged")?;
                return Ok(address.parse()?);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.log.more.wait_for(&mut lines, left).timed_out() {
                drop(lines);
                bail!(
                    "postern has not logged {message:?} after {patience:?}:\n{}",
                    self.last_words()
                );
            }
        }
    }
}

impl Log {
    fn push(&self, line: Value) {
        let mut lines = self.lines.lock();
        if lines.first.len() < LOG_LINES {
            lines.first.push(line);
        } else {
            if lines.last.len() == LOG_LINES {
                lines.last.pop_front();
            }
            lines.last.push_back(line);
        }
        self.more.notify_all();
    }
}

/// Status and text of a page, on a connection of its own.
pub(crate) fn page(address: SocketAddr, path: &str, limit: Duration) -> Result<(u16, String)> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    exchange(address, &head, limit)
}

/// Status and what follows the head, of an answer that ends with its connection.
pub(crate) fn exchange(
    address: SocketAddr,
    request: &str,
    limit: Duration,
) -> Result<(u16, String)> {
    let (head, body) = answer(address, request, limit)?;
    let status = head.split(' ').nth(1).context("no status line")?;
    Ok((status.parse()?, String::from_utf8_lossy(&body).into_owned()))
}

/// Head and body, as they came, of an answer that ends with its connection.
pub(crate) fn answer(
    address: SocketAddr,
    request: &str,
    limit: Duration,
) -> Result<(String, Vec<u8>)> {
    const END: &[u8] = b"\r\n\r\n";
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(END.len()).position(|bytes| bytes == END);
    let body = answer.split_off(end.context("no whole answer")? + END.len());
    Ok((String::from_utf8_lossy(&answer).into_owned(), body))
}
