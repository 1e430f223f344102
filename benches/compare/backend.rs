//! The upstream of every proxy: a process of its own that answers each request with the same bytes.
//!
//! A path that ends in `/seen` is answered with the head of the request instead, so that it can be checked that every proxy
//! sends the same.

use std::{process::Stdio, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::harness::process::{self, Owned};

/// The core of load and backend; the proxy has the other.
pub(super) const CORE: usize = 1;

const SMALL_BODY: &[u8] = b"{\"message\":\"hello from a small, fast service\"}";
const LARGE_BODY: usize = 100 * 1024;
/// A request head may be this long; more than any of the proxies makes of ours.
const MAX_HEAD: usize = 64 * 1024;

/// The running backend.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) small: u16,
    pub(super) large: u16,
    _process: Owned,
}

impl Backend {
    pub(super) fn start() -> Result<Self> {
        let (small, large) = (process::free_port()?, process::free_port()?);
        let program = std::env::current_exe().context("finding this program")?;
        let mut command = process::pinned(CORE, program);
        command
            .args(["--backend", &small.to_string(), &large.to_string()])
            .stdin(Stdio::null());
        let mut process = Owned::start("the backend", &mut command)?;
        for port in [small, large] {
            process.wait_for(process::local(port), Duration::from_secs(10))?;
        }
        Ok(Self {
            small,
            large,
            _process: process,
        })
    }
}

/// Answers on these ports until the process is ended.
pub(super) fn run(small: u16, large: u16) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let small = serve(small, answer(SMALL_BODY));
        let large = serve(large, answer(&vec![b'x'; LARGE_BODY]));
        tokio::try_join!(small, large).map(drop)
    })
}

fn answer(body: &[u8]) -> Arc<[u8]> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend(body);
    answer.into()
}

async fn serve(port: u16, answer: Arc<[u8]>) -> Result<()> {
    let listener = TcpListener::bind(process::local(port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        tokio::spawn(async move {
            // A client that goes away is not worth a word.
            let _gone = converse(stream, &answer).await;
        });
    }
}

/// Answers every head on a connection. No request of ours has a body.
async fn converse(mut stream: TcpStream, fixed: &[u8]) -> std::io::Result<()> {
    const END: &[u8] = b"\r\n\r\n";
    let mut seen = Vec::with_capacity(4096);
    while seen.len() < MAX_HEAD && stream.read_buf(&mut seen).await? > 0 {
        let mut done = 0;
        while let Some(length) = find(seen.get(done..).unwrap_or_default(), END) {
            let head = seen.get(done..done + length + END.len());
            let head = head.unwrap_or_default();
            if is_question(head) {
                stream.write_all(&answer(head)).await?;
            } else {
                stream.write_all(fixed).await?;
            }
            done += head.len();
        }
        seen.drain(..done);
    }
    Ok(())
}

fn is_question(head: &[u8]) -> bool {
    let path = head.split(|byte| *byte == b' ').nth(1);
    path.is_some_and(|path| path.ends_with(b"/seen"))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}
