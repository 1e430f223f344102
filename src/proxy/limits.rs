//! Every limit of the proxy that no resource and no flag can change, in one place; `docs/architecture/proxy.md` lists them.

use std::time::Duration;

/// Connections of the whole process, divided among the workers: two open files each, and what hyper buffers for them.
pub(super) const CONNECTIONS: usize = 16_384;

/// Connections that wait in the kernel until a worker takes them, for each worker and Listener.
pub(super) const BACKLOG: i32 = 1_024;

/// Between two attempts to accept when the process is out of open files.
pub(super) const ACCEPT_BACK_OFF: Duration = Duration::from_millis(50);

/// Between two attempts to bind a Listener.
pub(super) const BIND_RETRY: Duration = Duration::from_secs(2);

/// From the first byte of a connection to the end of its TLS handshake.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);

/// The first message of a TLS handshake, where its name is read before anybody makes the handshake.
pub(super) const CLIENT_HELLO: usize = 32 * 1024;

/// From the first byte of a request's head to its last; for the first request from the start of the connection.
pub(super) const HEAD: Duration = Duration::from_secs(10);

/// Without a request.
pub(super) const IDLE: Duration = Duration::from_mins(1);

/// Without the client taking a byte of what is ready for it.
pub(super) const WRITE_STALL: Duration = Duration::from_mins(1);

/// Without a byte of any body on an HTTP/2 connection that has streams.
pub(super) const STREAM_STALL: Duration = Duration::from_mins(10);

/// How often a connection looks at its own clock: timeouts of connections are late by as much. One timer for each connection
/// costs nothing between two looks, a timer for each request does.
pub(super) const TICK: Duration = Duration::from_secs(5);

/// Requests on one connection: then it is closed in good order, so that no client sticks to a worker for ever.
pub(super) const REQUESTS_PER_CONNECTION: u64 = 100_000;

/// Age of one connection, for the same reason.
pub(super) const CONNECTION_AGE: Duration = Duration::from_hours(1);

/// The head of a request, in bytes as they are on the wire; 431 above.
pub(super) const HEAD_BYTES: usize = 32 * 1024;

/// Header fields of a request, each cookie of an HTTP/2 request counted; 431 above.
pub(super) const HEAD_FIELDS: usize = 100;

/// Path and query; 414 above.
pub(super) const URI_BYTES: usize = 16 * 1024;

/// What hyper buffers of one HTTP/1 connection in either direction.
pub(super) const HTTP1_BUFFER: usize = 64 * 1024;

/// Bytes of one HTTP/2 stream that the client may send ahead.
pub(super) const STREAM_WINDOW: u32 = 64 * 1024;

/// Bytes of all streams of a connection that the client may send ahead.
pub(super) const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Bytes that wait in one HTTP/2 stream for the client.
pub(super) const STREAM_SEND_BUFFER: usize = 256 * 1024;

/// Streams that the client has reset and the proxy has not looked at yet; more close the connection (CVE-2023-44487).
pub(super) const PENDING_RESETS: usize = 20;

/// Streams that the proxy had to reset for the client's errors; more close the connection (CVE-2025-8671).
pub(super) const LOCAL_RESETS: usize = 256;

/// Between two HTTP/2 pings, and until the answer of one.
pub(super) const PING: Duration = Duration::from_secs(30);

/// Bytes of requests that a worker holds back together until they are whole, where that is asked for; 503 beyond.
pub(super) const BUFFERED: usize = 64 * 1024 * 1024;

/// Bytes that the encoders of a worker take together, for the responses that it compresses; beyond, they go as they are.
pub(super) const ENCODERS: usize = 64 * 1024 * 1024;

/// Lines of the access log that wait to be written; more are dropped and counted.
pub(super) const ACCESS_LOG_LINES: usize = 8_192;

/// Without a byte in either direction of a tunnel, where the route says nothing.
pub(super) const TUNNEL_IDLE: Duration = Duration::from_hours(1);

/// When a worker drains, an idle HTTP/1 connection stays open for as long: its client may have sent a request already.
pub(super) const DRAIN_IDLE: Duration = Duration::from_millis(500);

/// When a worker drains, a client that has begun a handshake or the head of a request has as long to finish it, and one of
/// HTTP/2 to say that it has heard of the end.
pub(super) const DRAIN_BEGUN: Duration = Duration::from_secs(2);
