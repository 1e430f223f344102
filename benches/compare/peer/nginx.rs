//! nginx, configured for speed as its own documentation says.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};

use super::{CORE, Job, Peer, Running};
use crate::{
    harness::process::{self, Owned},
    scenario::{Body, Protocol, Routes},
};

const PROGRAM: &str = "/usr/sbin/nginx";

#[derive(Debug)]
pub(super) struct Nginx;

impl Peer for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn version(&self) -> Result<String> {
        // It writes to standard error.
        let output = Command::new(PROGRAM).arg("-v").output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let version = text.split('/').nth(1).context("nginx has no version")?;
        Ok(format!("nginx {}", version.trim()))
    }

    fn start(&self, job: &Job<'_>, folder: &Path) -> Result<Running> {
        let address = process::local(process::free_port()?);
        fs::write(folder.join("cert.pem"), &job.pair.certificate)?;
        fs::write(folder.join("key.pem"), &job.pair.key)?;
        fs::write(
            folder.join("nginx.conf"),
            configuration(job, address.port()),
        )?;
        let mut command = process::pinned(CORE, PROGRAM);
        command
            .arg("-p")
            .arg(folder)
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stdin(Stdio::null());
        let mut owned = Owned::start("nginx", &mut command)?;
        owned.wait_for(address, Duration::from_secs(30))?;
        Ok(Running {
            pid: owned.pid(),
            address,
            _keeper: Box::new(owned),
        })
    }
}

fn configuration(job: &Job<'_>, port: u16) -> String {
    let listen = match job.scenario.protocol {
        Protocol::Http1 => format!("listen 127.0.0.1:{port};"),
        Protocol::Http2 | Protocol::Grpc => format!("listen 127.0.0.1:{port} http2;"),
        Protocol::Tls => format!("listen 127.0.0.1:{port} ssl;"),
    };
    // The default spills large answers to temporary files, at three times the cost.
    let buffers = match job.scenario.body {
        Body::Small => "",
        Body::Text => "gzip on; gzip_comp_level 1; gzip_proxied any; gzip_types application/json;",
        Body::Large => {
            "proxy_buffer_size 16k; proxy_buffers 16 16k; proxy_busy_buffers_size 64k; proxy_max_temp_file_size 0;"
        }
    };
    let server = |name: &str, locations: &str| {
        format!("server {{ {listen} server_name {name};\n{locations}}}\n")
    };
    let location = |prefix: &str| match job.scenario.protocol {
        // With gRPC the path is rewritten by itself, and the headers have another directive.
        Protocol::Grpc => format!(
            "location {prefix} {{ rewrite ^{prefix}(.*)$ /$1 break; grpc_set_header X-Forwarded-For $proxy_add_x_forwarded_for; \
             grpc_set_header X-Request-Id $request_id; grpc_pass grpc://be; }}\n"
        ),
        Protocol::Http1 | Protocol::Tls | Protocol::Http2 => {
            format!("location {prefix} {{ proxy_pass http://be/; }}\n")
        }
    };
    let servers = match job.scenario.routes {
        Routes::One => server("_", &location("/svc/")),
        Routes::Many { hosts, paths } => {
            let locations: Vec<_> = (0..paths)
                .map(|path| location(&format!("/p{path}/")))
                .collect();
            let locations = locations.concat();
            let servers =
                (0..hosts).map(|host| server(&format!("h{host}.example.com"), &locations));
            servers.collect::<Vec<_>>().concat()
        }
    };
    format!(
        "worker_processes 1;
daemon off;
user root;
pid nginx.pid;
error_log error.log error;
events {{ worker_connections 8192; }}
http {{
access_log off;
client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
keepalive_requests 1000000000;
server_names_hash_max_size 4096;
server_names_hash_bucket_size 128;
ssl_certificate cert.pem;
ssl_certificate_key key.pem;
ssl_protocols TLSv1.3;
upstream be {{ server {}; keepalive 256; keepalive_requests 1000000000; }}
proxy_http_version 1.1;
proxy_set_header Connection \"\";
proxy_set_header Host $host;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_set_header X-Request-Id $request_id;
{buffers}
{servers}}}
",
        job.upstream
    )
}
