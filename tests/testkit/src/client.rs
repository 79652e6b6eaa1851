//! Hand-written HTTP, over TCP or TLS: a client library would hide what these tests are about.

use anyhow::{Context, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Longer than 200 scrapes at once take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// The answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: String,
}

/// An address, and how to connect to it.
#[derive(Clone, Debug)]
pub struct Client {
    address: String,
    trusted: Option<CertificateDer<'static>>,
}

impl Client {
    /// Without TLS.
    pub fn plain(address: &str) -> Self {
        Self { address: address.to_owned(), trusted: None }
    }

    /// With TLS, if the server has exactly this certificate.
    pub fn tls(address: &str, trusted: CertificateDer<'static>) -> Self {
        Self { address: address.to_owned(), trusted: Some(trusted) }
    }

    /// Fetches a page.
    ///
    /// # Errors
    /// No connection, a certificate that is not trusted, or no complete answer in time.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.ask("localhost", path, "").await
    }

    /// Fetches a page with a bearer token.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn get_as(&self, token: &str, path: &str) -> Result<Answer> {
        self.ask("localhost", path, &format!("authorization: Bearer {token}\r\n")).await
    }

    /// Fetches a page with this name as the host.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn get_by(&self, host: &str, path: &str) -> Result<Answer> {
        self.ask(host, path, "").await
    }

    async fn ask(&self, host: &str, path: &str, headers: &str) -> Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n");
        let exchange = async {
            let stream = TcpStream::connect(&self.address).await.context("connecting")?;
            match &self.trusted {
                None => exchange(stream, &request).await,
                Some(trusted) => exchange(secure(stream, trusted.clone()).await?, &request).await,
            }
        };
        tokio::time::timeout(LIMIT, exchange).await.context("no answer in time")?
    }
}

async fn secure(stream: TcpStream, trusted: CertificateDer<'static>) -> Result<impl AsyncRead + AsyncWrite + Unpin> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost")?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.context("the TLS handshake")
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Result<Answer> {
    stream.write_all(request.as_bytes()).await.context("asking")?;
    // TLS may still buffer it.
    stream.flush().await.context("asking")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.context("reading the answer")?;
    let answer = String::from_utf8(answer).context("an answer that is text")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer with an end of its head")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("a status")?;
    Ok(Answer { status, body: body.to_owned() })
}
