//! The access log: one line for each request, written by a thread of its own.
//!
//! A line is made on the worker and handed over through a bounded channel; when the writer cannot keep up, lines are dropped
//! and counted, and no request waits. The query is never written: it is where secrets are.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;

use super::{StartError, limits};
use crate::config::AccessLog;

/// What is told of a request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line<'l> {
    pub(super) time: Timestamp,
    pub(super) method: &'l str,
    pub(super) authority: &'l str,
    /// Canonical, without the query; as it came when it was refused for its path.
    pub(super) path: &'l str,
    pub(super) protocol: &'static str,
    pub(super) status: u16,
    pub(super) reason: &'static str,
    pub(super) duration_ms: f64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) route: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upstream: Option<&'l str>,
    /// Where the request went: of an endpoint, or the ClusterIP. When no connection came about, what was tried last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upstream_address: Option<SocketAddr>,
    pub(super) client: SocketAddr,
    pub(super) listener: &'l str,
    pub(super) request_id: &'l str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Text,
}

/// Where workers put their lines; clones write to the same place.
#[derive(Clone, Debug)]
pub(super) struct Logger {
    format: Format,
    lines: SyncSender<String>,
    dropped: Arc<AtomicU64>,
}

impl Logger {
    /// None when the access log is off. An error when its file cannot be opened.
    pub(super) fn start(
        to: &AccessLog,
        dropped: Arc<AtomicU64>,
    ) -> Result<Option<Self>, StartError> {
        let (format, writer): (_, Box<dyn Write + Send>) = match to {
            AccessLog::Off => return Ok(None),
            AccessLog::Json => (Format::Json, Box::new(io::stdout())),
            AccessLog::Text => (Format::Text, Box::new(io::stdout())),
            AccessLog::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                let file = file.map_err(|source| StartError::AccessLog {
                    path: path.clone(),
                    source,
                })?;
                (Format::Json, Box::new(file))
            }
        };
        let (logger, lines) = Self::new(format, dropped.clone());
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_all(&lines, writer, &dropped))
            .map_err(StartError::Threads)?;
        Ok(Some(logger))
    }

    fn new(format: Format, dropped: Arc<AtomicU64>) -> (Self, Receiver<String>) {
        let (sender, lines) = sync_channel(limits::ACCESS_LOG_LINES);
        let logger = Self {
            format,
            lines: sender,
            dropped,
        };
        (logger, lines)
    }

    pub(super) fn write(&self, line: &Line<'_>) {
        let text = match self.format {
            Format::Json => serde_json::to_string(line).unwrap_or_default(),
            Format::Text => line.to_text(),
        };
        if self.lines.try_send(text).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// Milliseconds with three digits after the point.
pub(super) fn milliseconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1e3
}

/// Ends when all loggers are gone. Lines are flushed when no more are waiting; those that cannot be written are counted as
/// dropped, though some of them may have been.
fn write_all(lines: &Receiver<String>, writer: impl Write, dropped: &AtomicU64) {
    let mut writer = BufWriter::new(writer);
    let mut lost = 0;
    while let Ok(first) = lines.recv() {
        let waiting = std::iter::once(first).chain(std::iter::from_fn(|| lines.try_recv().ok()));
        let (mut count, mut result) = (0, Ok(()));
        for line in waiting.take(limits::ACCESS_LOG_LINES) {
            result = result.and_then(|()| writeln!(writer, "{line}"));
            count += 1;
        }
        match result.and_then(|()| writer.flush()) {
            Ok(()) if lost > 0 => {
                tracing::info!(lines.lost = lost, "The access log is written again");
                lost = 0;
            }
            Ok(()) => {}
            Err(error) => {
                // Said once, until it works again: the metric counts on.
                if lost == 0 {
                    tracing::warn!(%error, "The access log cannot be written");
                }
                lost += count;
                dropped.fetch_add(count, Relaxed);
                // A disk that is full may have room later: what is buffered is given up, or it would grow.
                let (inner, _) = writer.into_parts();
                writer = BufWriter::new(inner);
            }
        }
    }
}

impl Line<'_> {
    fn to_text(&self) -> String {
        let mut text = String::with_capacity(160);
        let route = self.route.unwrap_or("-");
        let upstream = self.upstream.unwrap_or("-");
        let address = { self.upstream_address }.map_or_else(|| "-".to_owned(), |a| a.to_string());
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{} {} {} {}{} {} {} {} {}ms in={} out={} route={route} upstream={upstream} address={address} listener={} id={}",
            self.time,
            self.client.ip(),
            Plain(self.method),
            Plain(self.authority),
            Plain(self.path),
            self.protocol,
            self.status,
            self.reason,
            self.duration_ms,
            self.bytes_in,
            self.bytes_out,
            self.listener,
            Plain(self.request_id),
        );
        text
    }
}

/// Text from outside in a line of text: what could end the line or hide something in it is escaped.
struct Plain<'l>(&'l str);

impl std::fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        for character in self.0.chars() {
            match character {
                '!'..='~' => f.write_char(character)?,
                _ => write!(f, "{}", character.escape_unicode())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(path: &str) -> Line<'_> {
        Line {
            time: Timestamp::UNIX_EPOCH,
            method: "GET",
            authority: "a.example.com",
            path,
            protocol: "HTTP/1.1",
            status: 200,
            reason: "upstream",
            duration_ms: milliseconds(Duration::from_micros(1234)),
            bytes_in: 1,
            bytes_out: 2,
            route: Some("mapping/apps/quote"),
            upstream: None,
            upstream_address: None,
            client: SocketAddr::from(([192, 0, 2, 1], 4711)),
            listener: "web",
            request_id: "7",
        }
    }

    #[test]
    fn a_line_is_one_line_whatever_is_in_it() {
        let evil = "/\"\n\u{202e}\\";
        let (logger, lines) = Logger::new(Format::Json, Arc::default());
        logger.write(&line(evil));
        let text = lines.recv().unwrap();
        assert!(!text.contains('\n'));
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["path"], evil);
        assert_eq!(read["durationMs"], 1.234);
        assert_eq!(read["route"], "mapping/apps/quote");

        let text = line(evil).to_text();
        assert!(text.is_ascii() && !text.contains('\n'), "{text}");
    }

    #[test]
    fn lines_that_find_no_room_are_dropped_and_counted() {
        let dropped = Arc::new(AtomicU64::new(0));
        let (logger, lines) = Logger::new(Format::Text, dropped.clone());
        for _ in 0..limits::ACCESS_LOG_LINES + 3 {
            logger.write(&line("/"));
        }
        assert_eq!(dropped.load(Relaxed), 3);
        assert_eq!(lines.try_iter().count(), limits::ACCESS_LOG_LINES);
    }

    #[test]
    fn what_waits_is_written_before_the_writer_ends() {
        let (logger, lines) = Logger::new(Format::Text, Arc::default());
        logger.write(&line("/one"));
        logger.write(&line("/two"));
        drop(logger);
        let mut written = Vec::new();
        write_all(&lines, &mut written, &AtomicU64::new(0));
        let text = String::from_utf8(written).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(
            text.contains("a.example.com/two HTTP/1.1 200 upstream 1.234ms"),
            "{text}"
        );
    }

    /// Has no room for a while.
    struct Disk {
        refuses: usize,
        written: Vec<u8>,
    }

    impl Write for &mut Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.refuses > 0 {
                self.refuses -= 1;
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.written.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_a_full_disk_refuses_are_counted_and_those_after_them_written() {
        let dropped = Arc::new(AtomicU64::new(0));
        let (logger, lines) = Logger::new(Format::Text, dropped.clone());
        let mut disk = Disk {
            refuses: 1,
            written: Vec::new(),
        };
        std::thread::scope(|scope| {
            let (disk, count) = (&mut disk, &*dropped);
            scope.spawn(move || write_all(&lines, disk, count));
            logger.write(&line("/lost"));
            while dropped.load(Relaxed) == 0 {
                std::thread::yield_now();
            }
            logger.write(&line("/kept"));
            drop(logger);
        });
        assert_eq!(dropped.load(Relaxed), 1);
        let text = String::from_utf8(disk.written).unwrap();
        assert!(text.contains("/kept") && !text.contains("/lost"), "{text}");
    }
}
