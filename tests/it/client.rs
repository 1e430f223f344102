//! A small HTTP/1 client that sends exactly what a test says, over TCP or TLS, and reads the answer.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    version::{TLS12, TLS13},
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

/// A request to be sent on a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    /// The name for SNI where it is another than the URL's; empty for none.
    pub(crate) sni: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) handshake: Handshake,
}

/// What a client shows.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// How TLS is spoken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handshake {
    pub(crate) identity: Option<Arc<Identity>>,
    /// The only one, `1.2` or `1.3`.
    pub(crate) version: Option<String>,
    pub(crate) alpn: Vec<String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A connection over TCP or TLS.
pub(crate) trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

impl Request {
    pub(crate) fn get(url: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            url: url.to_owned(),
            sni: None,
            headers: Vec::new(),
            body: Vec::new(),
            handshake: Handshake::default(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = body.as_bytes().to_vec();
        self
    }

    fn is_tls(&self) -> bool {
        self.url.starts_with("https://")
    }

    /// The port of the Listener for the URL's scheme.
    pub(crate) fn port(&self) -> u16 {
        if self.is_tls() { 8443 } else { 8080 }
    }

    /// Authority, and path with query.
    fn parts(&self) -> (&str, &str) {
        let rest = self
            .url
            .split_once("://")
            .map_or(&*self.url, |(_, rest)| rest);
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        (authority, if path.is_empty() { "/" } else { path })
    }

    /// Sends it to `address`, whatever the URL's host is.
    pub(crate) fn try_send(&self, address: SocketAddr) -> io::Result<Answer> {
        let (authority, path) = self.parts();
        let mut stream: Box<dyn Stream> = if self.is_tls() {
            let name = authority.split(':').next().unwrap_or_default();
            let name = self.sni.as_deref().unwrap_or(name);
            Box::new(tls_with(address, name, &self.handshake)?)
        } else {
            Box::new(tcp(address)?)
        };
        let mut head = format!("{} {path} HTTP/1.1\r\n", self.method).into_bytes();
        let names = |name: &str| {
            self.headers
                .iter()
                .any(|(n, _)| n.eq_ignore_ascii_case(name))
        };
        if !names("host") {
            write!(head, "host: {authority}\r\n").unwrap();
        }
        if !names("connection") {
            head.extend(b"connection: close\r\n");
        }
        if !self.body.is_empty() && !names("content-length") && !names("transfer-encoding") {
            write!(head, "content-length: {}\r\n", self.body.len()).unwrap();
        }
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        head.extend(b"\r\n");
        head.extend(&self.body);
        stream.write_all(&head)?;
        Answer::read(&mut *stream, &self.method)
    }
}

impl Answer {
    /// Reads one answer, passing over interim ones.
    pub(crate) fn read(stream: &mut dyn Stream, method: &str) -> io::Result<Self> {
        loop {
            let head = read_head(stream)?;
            let mut lines = head.split("\r\n");
            let status = lines
                .next()
                .and_then(|line| line.split(' ').nth(1)?.parse().ok())
                .ok_or_else(|| io::Error::other(format!("no status line in {head:?}")))?;
            if status != 101 && status < 200 {
                continue;
            }
            let headers: Vec<_> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let mut answer = Self {
                status,
                headers,
                body: Vec::new(),
            };
            if method != "HEAD" && !matches!(status, 101 | 204 | 304) {
                answer.body = answer.read_body(stream)?;
            }
            return Ok(answer);
        }
    }

    fn read_body(&self, stream: &mut dyn Stream) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if let Some(length) = self.header("content-length") {
            body.resize(length.parse().map_err(io::Error::other)?, 0);
            stream.read_exact(&mut body)?;
        } else if self.header("transfer-encoding").is_some() {
            loop {
                let line = read_line(stream)?;
                let size = line.split(';').next().unwrap_or_default();
                let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
                let start = body.len();
                body.resize(start + size, 0);
                stream.read_exact(&mut body[start..])?;
                // The end of the chunk, or of the trailers.
                while !read_line(stream)?.is_empty() && size == 0 {}
                if size == 0 {
                    break;
                }
            }
        } else {
            stream.read_to_end(&mut body)?;
        }
        Ok(body)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What the echo server told.
    pub(crate) fn told(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?} of {self:?}", self.text()))
    }
}

fn read_head(stream: &mut dyn Stream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    head.truncate(head.len() - 4);
    String::from_utf8(head).map_err(io::Error::other)
}

fn read_line(stream: &mut dyn Stream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).map_err(io::Error::other)
}

pub(crate) fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Begins a handshake with this SNI, and reads no answer.
pub(crate) fn hello(stream: &mut TcpStream, sni: &str) -> io::Result<()> {
    let mut connection = handshake(sni, &Handshake::default())?;
    connection.write_tls(stream)?;
    Ok(())
}

/// A TLS connection with this SNI (none when empty), whatever certificate the other side has.
pub(crate) fn tls(
    address: SocketAddr,
    sni: &str,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    tls_with(address, sni, &Handshake::default())
}

fn tls_with(
    address: SocketAddr,
    sni: &str,
    how: &Handshake,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let connection = handshake(sni, how)?;
    let mut stream = StreamOwned::new(connection, tcp(address)?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

fn handshake(sni: &str, how: &Handshake) -> io::Result<ClientConnection> {
    let versions: &[_] = match how.version.as_deref() {
        Some("1.2") => &[&TLS12],
        Some("1.3") => &[&TLS13],
        _ => &[&TLS13, &TLS12],
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnySigner(aws_lc_rs::default_provider())));
    let mut config = match &how.identity {
        Some(identity) => builder
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(io::Error::other)?,
        None => builder.with_no_client_auth(),
    };
    let alpn = how.alpn.iter();
    config.alpn_protocols = alpn.map(|name| name.clone().into_bytes()).collect();
    config.enable_sni = !sni.is_empty();
    let name = if sni.is_empty() {
        "nobody.invalid"
    } else {
        sni
    };
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)
}

/// Takes whoever signed the certificate; the tests look at names where they care.
#[derive(Debug)]
pub(crate) struct AnySigner(pub(crate) CryptoProvider);

impl ServerCertVerifier for AnySigner {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // That the server holds the key of the certificate that it shows is looked at: a reload must never mix two pairs.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
