//! TLS of a client that does not ask who signed a certificate: the proofs make their own.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{ClientConfig, crypto::aws_lc_rs, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::client::AnySigner;

/// A handshake with this name and protocol.
pub(super) async fn connect(
    address: SocketAddr,
    name: &str,
    protocol: &[u8],
) -> io::Result<TlsStream<TcpStream>> {
    let provider = aws_lc_rs::default_provider();
    let verifier = Arc::new(AnySigner(provider));
    let mut config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}
