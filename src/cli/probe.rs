//! `postern probe`: asks a URL, for an image that has no other program to ask with.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use http::{StatusCode, Uri};
use tokio::time::Instant;

use crate::config::value::duration;

/// More of an answer is not looked at.
const MOST: u64 = 64 * 1024;

const AFTER_HELP: &str = "\
Example:
  postern probe http://postern.postern.svc/quote/ --status 200

Exit codes: 0 the answer is as expected, 1 it is not, or there is none.";

#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Probe {
    /// The URL, without TLS
    url: Uri,

    /// The status that is expected. Without it: any below 500
    #[arg(long, value_name = "CODE")]
    status: Option<StatusCode>,

    /// How long it may take, until the end of the answer
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "DURATION")]
    timeout: Duration,

    /// Ask again until the answer is as expected, this long
    #[arg(long, default_value = "0s", value_parser = duration, value_name = "DURATION")]
    retry: Duration,
}

impl Probe {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let started = Instant::now();
        let answer = loop {
            match self.ask() {
                Ok(answer) => break answer,
                Err(error) if started.elapsed() >= self.retry => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        };
        io::stdout().write_all(&answer)?;
        Ok(ExitCode::SUCCESS)
    }

    /// The answer, if it is as expected.
    fn ask(&self) -> Result<Vec<u8>> {
        let answer = self
            .exchange()
            .with_context(|| format!("asking {}", self.url))?;
        let status = status(&answer).context("what answered does not speak HTTP/1")?;
        let is_expected = match self.status {
            Some(expected) => status == expected,
            None => status < StatusCode::INTERNAL_SERVER_ERROR,
        };
        if !is_expected {
            bail!(
                "{} was answered with {}",
                self.url,
                String::from_utf8_lossy(&answer)
            );
        }
        Ok(answer)
    }

    fn exchange(&self) -> Result<Vec<u8>> {
        ensure!(
            self.url.scheme_str() == Some("http"),
            "only http:// can be asked"
        );
        let authority = self.url.authority().context("the URL has no host")?;
        let host = authority.host().trim_matches(['[', ']']);
        let port = authority.port_u16().unwrap_or(80);
        let mut addresses = (host, port).to_socket_addrs()?;
        let address = addresses.next().context("the host has no address")?;
        let mut stream = TcpStream::connect_timeout(&address, self.timeout)?;
        stream.set_read_timeout(Some(self.timeout))?;
        stream.set_write_timeout(Some(self.timeout))?;
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let head = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(MOST).read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// The status of an answer.
fn status(answer: &[u8]) -> Option<StatusCode> {
    let line = answer.strip_prefix(b"HTTP/1.1 ")?;
    StatusCode::from_bytes(line.get(..3)?).ok()
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// Asks a server that gives this answer once.
    fn asked(answer: &'static str, status: Option<u16>) -> Result<Vec<u8>> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/path?query", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 1024];
            let length = stream.read(&mut head).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&head[..length]).into_owned()
        });
        let probe = Probe {
            url: url.parse().unwrap(),
            status: status.map(|code| StatusCode::from_u16(code).unwrap()),
            timeout: Duration::from_secs(5),
            retry: Duration::ZERO,
        };
        let answer = probe.ask();
        let head = server.join().unwrap();
        assert!(head.starts_with("GET /path?query HTTP/1.1\r\n"), "{head}");
        answer
    }

    #[test]
    fn an_answer_is_expected_by_its_status() {
        const FOUND: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        const MISSING: &str = "HTTP/1.1 404 Not Found\r\n\r\n";
        const BROKEN: &str = "HTTP/1.1 503 Service Unavailable\r\n\r\n";
        let cases = [
            (FOUND, None, true),
            (FOUND, Some(200), true),
            (FOUND, Some(404), false),
            (MISSING, None, true),
            (MISSING, Some(404), true),
            (BROKEN, None, false),
            (BROKEN, Some(503), true),
            ("SSH-2.0", None, false),
            ("", None, false),
        ];
        for (answer, status, is_expected) in cases {
            let said = asked(answer, status);
            assert_eq!(said.is_ok(), is_expected, "{answer:?} {status:?}: {said:?}");
        }
    }
}
