//! The real binary as a child process, serving a folder of manifests.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use super::client::{Answer, Request};

/// For anything the gateway should do soon: far more than it takes, on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running `postern serve`.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    folder: TempDir,
    log: Arc<Log>,
}

/// What the child has logged so far.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<Value>>,
    more: Condvar,
}

impl Gateway {
    /// Serves `manifests` with an echo server for every Service, and waits until it is ready.
    pub(crate) fn start(manifests: &str) -> Self {
        Self::with_flags(manifests, &["--echo"])
    }

    pub(crate) fn with_flags(manifests: &str, flags: &[&str]) -> Self {
        let gateway = Self::launch(manifests, flags);
        gateway.wait_until_ready();
        gateway
    }

    /// Starts it without waiting for anything.
    pub(crate) fn launch(manifests: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("case.yaml"), manifests).unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        let mut arguments = vec![path.as_str()];
        arguments.extend(flags);
        Self::spawn(folder, &arguments)
    }

    /// The same in an environment of which it takes more than it is told by flags.
    pub(crate) fn of_cluster_in(
        kubeconfig: &Path,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut arguments = vec!["--kubeconfig", kubeconfig.to_str().unwrap()];
        arguments.extend(flags);
        Self::spawn_in(tempfile::tempdir().unwrap(), &arguments, environment)
    }

    /// Starts it with what an API server holds.
    pub(crate) fn of_cluster(kubeconfig: &Path, flags: &[&str]) -> Self {
        let mut arguments = vec!["--kubeconfig", kubeconfig.to_str().unwrap()];
        arguments.extend(flags);
        Self::spawn(tempfile::tempdir().unwrap(), &arguments)
    }

    fn spawn(folder: TempDir, arguments: &[&str]) -> Self {
        Self::spawn_in(folder, arguments, &[])
    }

    fn spawn_in(folder: TempDir, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_postern"))
            .arg("serve")
            .envs(environment.iter().copied())
            .args(arguments)
            .args(["--log-format", "json", "--admin-address", "127.0.0.1:0"])
            .args(["--diagnostics-address", "127.0.0.1:0"])
            .args(["--bind", "8080=127.0.0.1:0,8443=127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::<Log>::default();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn({
            let log = log.clone();
            move || {
                for line in stderr.lines().map_while(Result::ok) {
                    let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                    log.lines.lock().push(value);
                    log.more.notify_all();
                }
            }
        });
        Self { child, folder, log }
    }

    pub(crate) fn wait_until_ready(&self) {
        let admin = self.admin();
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::new();
        while Instant::now() < deadline {
            match Request::get("http://admin/ready").try_send(admin) {
                Ok(answer) if answer.status == 200 => return,
                Ok(answer) => last = answer.text(),
                Err(error) => last = error.to_string(),
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("not ready after {PATIENCE:?}: {last}\n{}", self.logged());
    }

    /// Sends a request to the Listener of the URL's scheme.
    pub(crate) fn send(&self, request: &Request) -> Answer {
        request
            .try_send(self.address(request.port()))
            .unwrap_or_else(|error| panic!("{request:?}: {error}\n{}", self.logged()))
    }

    pub(crate) fn get(&self, url: &str) -> Answer {
        self.send(&Request::get(url))
    }

    /// Sends a request until its answer is as wanted.
    pub(crate) fn send_until(&self, request: &Request, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.send(request);
            if wanted(&answer) {
                return answer;
            }
            assert!(
                Instant::now() < deadline,
                "still {answer:?} for {request:?} after {PATIENCE:?}\n{}",
                self.logged()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Tries until it is well, or nobody has patience any more.
    pub(crate) fn eventually(
        &self,
        mut attempt: impl FnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match attempt() {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(format!("{error}\n{}", self.logged()));
                }
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Where the Listeners with this port are bound.
    pub(crate) fn address(&self, port: u16) -> SocketAddr {
        self.told("Listening", |line| line["listener.port"] == port)
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.told("Listening for operators", |line| line["port"] == "Health")
    }

    pub(crate) fn diagnostics(&self) -> SocketAddr {
        self.told("Listening for operators", |line| {
            line["port"] == "Diagnostics"
        })
    }

    /// A page of the diagnostics port.
    pub(crate) fn ask(&self, path: &str) -> Value {
        let url = format!("http://localhost{path}");
        let answer = Request::get(&url).try_send(self.diagnostics()).unwrap();
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// The metrics, by name with labels.
    pub(crate) fn metrics(&self) -> BTreeMap<String, f64> {
        let answer = Request::get("http://admin/metrics")
            .try_send(self.admin())
            .unwrap();
        answer
            .text()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a file at once, as careful programs do.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.file(&format!(".{name}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, self.file(name)).unwrap();
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "still running after {PATIENCE:?}\n{}",
                self.logged()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything logged, for a failure's message.
    pub(crate) fn logged(&self) -> String {
        let lines = self.log.lines.lock();
        let texts: Vec<_> = lines.iter().map(ToString::to_string).collect();
        texts.join("\n")
    }

    /// The address in the last such log line.
    fn told(&self, message: &str, fits: impl Fn(&Value) -> bool) -> SocketAddr {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock();
        loop {
            // A Listener that went away and is there again has another address than before.
            let found = lines
                .iter()
                .rfind(|line| line["message"] == message && fits(line));
            if let Some(line) = found {
                return line["server.addr"].as_str().unwrap().parse().unwrap();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !self.log.more.wait_for(&mut lines, left).timed_out(),
                "nothing logged {message:?} in {PATIENCE:?}: {lines:#?}"
            );
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
