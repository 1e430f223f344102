//! Hostile and careless clients beside a bystander: no request of the bystander fails, and memory is bounded.

use std::{fs, io, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Handle,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    changes::{HOSTNAME, place, write_routes},
    connection::{Place, Speech},
    harness::{
        gateway::{Gateway, PROGRAM},
        manifest::object,
        process,
        text::{grouped, mebibytes, milliseconds},
        usage,
    },
    load::{Client, Load},
};

const GARBAGE: usize = 8 << 20;
const GARBAGE_CONNECTIONS: usize = 64;
const SLOW_CLIENTS: usize = 200;
/// A slow client sends a byte of a header this often, for this long at most.
const SLOW_PAUSE: Duration = Duration::from_millis(250);
const SLOW_LIMIT: Duration = Duration::from_secs(20);
const IDLE_FOR: Duration = Duration::from_secs(5);
const CHUNK: usize = 256 << 10;
/// What a body that is whole ends with.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
const BODY_LIMIT: Duration = Duration::from_mins(10);
/// Whatever the clients do, the gateway has no more than this.
const RESIDENT_LIMIT: u64 = 256 << 20;

/// The gateway under attack.
struct Scene {
    gateway: Gateway,
    place: Place,
}

/// Proves it with two bodies of this size, one each way, and this many idle connections.
pub(super) fn prove(body: u64, idle: usize, runtime: &Handle) -> Result<String> {
    let folder = tempfile::tempdir()?;
    write_routes(folder.path())?;
    let spec = format!(
        "{{hostname: {HOSTNAME}, prefix: /big/, service: \"web:80\", timeoutMs: 600000, maxRequestBodyBytes: {body}}}"
    );
    fs::write(
        folder.path().join("big.yaml"),
        object("Mapping", "big", &spec),
    )?;
    let path = folder.path().display().to_string();
    let mut gateway = Gateway::launch(process::tied(PROGRAM), &[&path, "--echo"])?;
    gateway.wait_until_ready(Duration::from_secs(30))?;
    let place = place(&gateway)?;
    let scene = Scene { gateway, place };

    let load = Load::start(runtime, &scene.place, &bystanders(), 1);
    let attacked = runtime.block_on(scene.attack(body, idle));
    let tally = load.stop(runtime);
    let figures = attacked?;

    let failed = tally.count(|tally| &tally.failed);
    let dropped = tally.count(|tally| &tally.dropped);
    let answered = tally.count(|tally| &tally.answered);
    let peak = usage::peak_resident_bytes(scene.gateway.pid())?;
    let line = format!(
        "{figures}; bystander: {} requests, {failed} failed, {dropped} connections dropped, p50 {}, p99 {}, most {}; peak RSS {}",
        grouped(answered),
        milliseconds(tally.percentile(0.5)),
        milliseconds(tally.percentile(0.99)),
        milliseconds(tally.percentile(1.0)),
        mebibytes(peak),
    );
    ensure!(answered > 0 && failed == 0, "{line}: {}", tally.told());
    ensure!(dropped == 0, "{line}");
    ensure!(peak <= RESIDENT_LIMIT, "too much memory: {line}");
    Ok(line)
}

fn bystanders() -> Vec<Client> {
    let speeches = [(false, false), (false, true), (true, false), (true, true)];
    let kept = speeches.map(|(tls, http2)| (Speech { tls, http2 }, false));
    let fresh = [false, true].map(|tls| (Speech { tls, http2: false }, true));
    let all = kept.into_iter().chain(fresh);
    all.map(|(speech, fresh)| Client {
        speech,
        fresh,
        path: "/stable/a",
        pause: Duration::from_millis(5),
    })
    .collect()
}

// === impl Scene ===

impl Scene {
    /// Everything that is not nice. Returns the figures.
    async fn attack(&self, body: u64, idle: usize) -> Result<String> {
        let before = self.resident()?;
        // Slow clients stay throughout.
        let mut slow = JoinSet::new();
        for _ in 0..SLOW_CLIENTS {
            slow.spawn(trickle(self.place.cleartext));
        }
        let (sent, refused) = self.garbage().await?;
        let (held, idle_bytes) = self.idle(idle).await?;
        let up = self.upload(body).await.context("the large body, upwards")?;
        let down = self
            .download(body)
            .await
            .context("the large body, downwards")?;
        let mut ended = Vec::new();
        while let Some(slow) = slow.join_next().await {
            ended.extend(slow?);
        }
        let first = ended.iter().min().copied().unwrap_or_default();
        sleep(Duration::from_secs(2)).await;
        Ok(format!(
            "{} of garbage on {GARBAGE_CONNECTIONS} connections, {refused} of them ended by the gateway; {} of {SLOW_CLIENTS} slow-header \
             clients ended, the first after {:.1} s; {} idle connections, {idle_bytes} bytes each; a body of {} up in {:.1} s, down \
             in {:.1} s; RSS {} before, {} after",
            mebibytes(sent),
            ended.len(),
            first.as_secs_f64(),
            grouped(held as u64),
            mebibytes(body),
            up.as_secs_f64(),
            down.as_secs_f64(),
            mebibytes(before),
            mebibytes(self.resident()?),
        ))
    }

    /// Random bytes, alone and after the beginning of something that looks like sense. Returns the bytes that were taken, and
    /// how many connections the gateway ended.
    async fn garbage(&self) -> Result<(u64, usize)> {
        const BEGINNINGS: [&[u8]; 4] = [
            b"",
            b"GET /stable/a HTTP/1.1\r\nhost: app.example.com\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"POST /stable/a HTTP/1.1\r\nhost: app.example.com\r\ntransfer-encoding: chunked\r\n\r\n",
        ];
        let mut connections = JoinSet::new();
        for number in 0..GARBAGE_CONNECTIONS {
            let address = if number % 8 < 6 {
                self.place.cleartext
            } else {
                self.place.tls
            };
            let mut bytes = BEGINNINGS
                .get(number % 4)
                .copied()
                .unwrap_or_default()
                .to_vec();
            let seed = u64::try_from(number)?;
            let mut random = fastrand::Rng::with_seed(seed);
            bytes.extend((0..GARBAGE / GARBAGE_CONNECTIONS).map(|_| random.u8(..)));
            connections.spawn(pour(address, bytes));
        }
        let (mut sent, mut ended) = (0, 0);
        while let Some(connection) = connections.join_next().await {
            let (bytes, closed) = connection??;
            sent += bytes;
            ended += usize::from(closed);
        }
        Ok((sent, ended))
    }

    /// Connections that say nothing. Returns how many were there at once, and what each cost the gateway.
    async fn idle(&self, count: usize) -> Result<(usize, u64)> {
        let before = self.resident()?;
        let mut connections = Vec::with_capacity(count);
        for number in 0..count {
            let stream = TcpStream::connect(self.place.cleartext)
                .await
                .with_context(|| format!("opening idle connection {number}"))?;
            connections.push(stream);
        }
        sleep(IDLE_FOR).await;
        let grown = self.resident()?.saturating_sub(before);
        Ok((connections.len(), grown / (count.max(1) as u64)))
    }

    /// Sends a body, which the echo server counts.
    async fn upload(&self, size: u64) -> Result<Duration> {
        let begun = Instant::now();
        let head = format!(
            "POST /big/count HTTP/1.1\r\nhost: {HOSTNAME}\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n"
        );
        let mut stream = self.open(&head).await?;
        let mut left = size;
        let chunk = vec![b'x'; CHUNK];
        while left > 0 {
            let length = usize::try_from(left.min(CHUNK as u64))?;
            let chunk = chunk.get(..length).unwrap_or_default();
            // An early answer says why it is one.
            if timeout(BODY_LIMIT, stream.write_all(chunk)).await?.is_err() {
                break;
            }
            left -= length as u64;
        }
        let mut answer = Vec::new();
        let reading = timeout(BODY_LIMIT, stream.read_to_end(&mut answer)).await?;
        let answer = String::from_utf8_lossy(&answer);
        let wanted = format!("\"bytes\": {size}");
        ensure!(
            answer.contains(&wanted),
            "{reading:?}, with {left} bytes unsent: {answer}"
        );
        Ok(begun.elapsed())
    }

    /// Asks for a body of that size, and counts it.
    async fn download(&self, size: u64) -> Result<Duration> {
        let begun = Instant::now();
        let head = format!(
            "GET /big/filler?size={size} HTTP/1.1\r\nhost: {HOSTNAME}\r\nconnection: close\r\n\r\n"
        );
        let mut stream = self.open(&head).await?;
        let mut buffer = vec![0; CHUNK];
        let (mut counted, mut end) = (0, Vec::<u8>::new());
        loop {
            let length = timeout(BODY_LIMIT, stream.read(&mut buffer)).await??;
            if length == 0 {
                break;
            }
            let bytes = buffer.get(..length).unwrap_or_default();
            counted += length as u64;
            end.extend(bytes.iter().skip(length.saturating_sub(LAST_CHUNK.len())));
            end.drain(..end.len().saturating_sub(LAST_CHUNK.len()));
        }
        // Head and sizes of chunks come on top.
        ensure!(
            (size..size + size / 512 + 4096).contains(&counted) && end == LAST_CHUNK,
            "{counted} bytes came of {size}"
        );
        Ok(begun.elapsed())
    }

    async fn open(&self, head: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.place.cleartext).await?;
        stream.write_all(head.as_bytes()).await?;
        Ok(stream)
    }

    fn resident(&self) -> Result<u64> {
        usage::resident_bytes(self.gateway.pid())
    }
}

/// Sends bytes for as long as somebody takes them. Returns how many, and whether the other side ended the connection.
async fn pour(address: SocketAddr, bytes: Vec<u8>) -> io::Result<(u64, bool)> {
    const ANSWER: Duration = Duration::from_secs(5);
    let mut stream = TcpStream::connect(address).await?;
    let mut sent = 0;
    for chunk in bytes.chunks(4096) {
        match timeout(ANSWER, stream.write_all(chunk)).await {
            Ok(Ok(())) => sent += chunk.len() as u64,
            Ok(Err(_)) => return Ok((sent, true)),
            Err(_) => return Ok((sent, false)),
        }
    }
    let mut answer = Vec::new();
    let reading = timeout(ANSWER, stream.read_to_end(&mut answer)).await;
    Ok((sent, reading.is_ok()))
}

/// Sends a header that has no end. Returns how long that went well, if the gateway ended it.
async fn trickle(address: SocketAddr) -> Option<Duration> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).await.ok()?;
    let head = format!("GET /stable/a HTTP/1.1\r\nhost: {HOSTNAME}\r\nx-slow: ");
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut answer = [0; 1024];
    while begun.elapsed() < SLOW_LIMIT {
        if stream.write_all(b"a").await.is_err() {
            return Some(begun.elapsed());
        }
        // An answer, or the end of the connection: both are the gateway's last word.
        if timeout(SLOW_PAUSE, stream.read(&mut answer)).await.is_ok() {
            return Some(begun.elapsed());
        }
    }
    None
}
