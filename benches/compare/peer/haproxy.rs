//! HAProxy, configured for speed as its own documentation says.

use std::{fmt::Write, fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result};

use super::{CORE, Job, Peer, Running};
use crate::{
    harness::process::{self, Owned},
    scenario::{Body, Protocol, Routes},
};

const PROGRAM: &str = "/usr/sbin/haproxy";

#[derive(Debug)]
pub(super) struct Haproxy;

impl Peer for Haproxy {
    fn name(&self) -> &'static str {
        "haproxy"
    }

    fn version(&self) -> Result<String> {
        let text = process::output(std::process::Command::new(PROGRAM).arg("-v"))?;
        let version = text.split_whitespace().nth(2);
        Ok(format!(
            "HAProxy {}",
            version.context("HAProxy has no version")?
        ))
    }

    fn start(&self, job: &Job<'_>, folder: &Path) -> Result<Running> {
        let address = process::local(process::free_port()?);
        let both = format!("{}{}", job.pair.certificate, job.pair.key);
        fs::write(folder.join("both.pem"), both)?;
        fs::write(folder.join("routes.map"), map(job.scenario.routes))?;
        let file = folder.join("haproxy.cfg");
        fs::write(&file, configuration(job, address.port(), folder))?;
        let mut command = process::pinned(CORE, PROGRAM);
        command.arg("-q").arg("-db").arg("-f").arg(file);
        let mut owned = Owned::start("haproxy", command.stdin(Stdio::null()))?;
        owned.wait_for(address, Duration::from_secs(30))?;
        Ok(Running {
            pid: owned.pid(),
            address,
            _keeper: Box::new(owned),
        })
    }
}

/// Host and prefix of each route, with its backend.
fn map(routes: Routes) -> String {
    let mut text = String::new();
    if let Routes::Many { hosts, paths } = routes {
        for host in 0..hosts {
            for path in 0..paths {
                // Writing to a string cannot fail.
                let _written = writeln!(text, "h{host}.example.com/p{path}/ be");
            }
        }
    }
    text
}

fn configuration(job: &Job<'_>, port: u16, folder: &Path) -> String {
    let folder = folder.display();
    let bind = match job.scenario.protocol {
        Protocol::Http1 => String::new(),
        Protocol::Http2 | Protocol::Grpc => "proto h2".to_owned(),
        Protocol::Tls => format!("ssl crt {folder}/both.pem ssl-min-ver TLSv1.3"),
    };
    // Larger buffers were tried as well: they cost twice the time.
    let body = match job.scenario.body {
        Body::Small => "",
        Body::Large => "option splice-response",
        Body::Text => "compression algo gzip\n  compression type application/json",
    };
    let server = match job.scenario.protocol {
        Protocol::Grpc => "proto h2",
        Protocol::Http1 | Protocol::Tls | Protocol::Http2 => "",
    };
    let choose = match job.scenario.routes {
        Routes::One => "use_backend be if { path_beg /svc/ }".to_owned(),
        Routes::Many { .. } => format!(
            "http-request set-var(txn.be) base,map_beg({folder}/routes.map)\n  use_backend %[var(txn.be)]"
        ),
    };
    format!(
        "global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
  option forwardfor
  {body}
  unique-id-format %[uuid()]
  unique-id-header X-Request-Id
frontend all
  bind 127.0.0.1:{port} {bind}
  {choose}
backend be
  http-request set-path /%[path,field(3,/,0)]
  server one {} {server}
",
        job.upstream
    )
}
