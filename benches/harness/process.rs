//! Child processes that end when whoever started them does.

use std::{
    ffi::OsStr,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, ExitStatus},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

/// Between looks at a child that should end or listen.
const PAUSE: Duration = Duration::from_millis(2);
/// How long a child may take to end by itself when it is not wanted any more.
const FAREWELL: Duration = Duration::from_secs(3);

/// A child process. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Owned {
    name: String,
    child: Child,
}

// === impl Owned ===

impl Owned {
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("starting {name} by {}", command.get_program().display()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
        })
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits until the process ends by itself.
    pub(crate) fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                bail!("{} still runs after {patience:?}", self.name);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Waits until something listens at `address`, and fails when the process ends before.
    pub(crate) fn wait_for(&mut self, address: SocketAddr, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while TcpStream::connect_timeout(&address, PAUSE * 50).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended before it listened: {status}", self.name);
            }
            if Instant::now() >= deadline {
                bail!("{} does not listen after {patience:?}", self.name);
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("a child must have a process id")?;
        kill_process(pid, signal).with_context(|| format!("sending a signal to {}", self.name))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // A stopped process hears nothing but these two.
            let asked = self.signal(Signal::CONT).and(self.signal(Signal::TERM));
            if asked.is_err() || self.wait(FAREWELL).is_err() {
                // It may have ended in between.
                let _ended = self.child.kill();
            }
        }
        let _reaped = self.child.wait();
    }
}

/// A command for `program` that is told to end when this process does, however that ends. Only for the main thread: it is
/// the thread that the kernel watches.
pub(crate) fn tied(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(program);
    command
}

/// The same on one core only.
pub(crate) fn pinned(core: usize, program: impl AsRef<OsStr>) -> Command {
    let mut command = tied("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// What a finished command printed on standard output; an error holds what it printed at all.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let output = command
        .output()
        .with_context(|| format!("running {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed: {text}{complaint}", program.display());
    }
    Ok(text)
}

/// A port of this machine that is free now.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// That port on loopback.
pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
