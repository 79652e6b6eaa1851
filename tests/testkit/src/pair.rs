//! Self-signed certificates.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate for the host of the tests, and its key.
#[derive(Debug)]
pub struct Pair {
    certificate: rcgen::Certificate,
    key: rcgen::KeyPair,
}

/// The files in which the daemon looks for them.
#[derive(Debug)]
pub struct Files {
    /// Of the certificate.
    pub certificate: PathBuf,
    /// Of the key.
    pub key: PathBuf,
}

impl Pair {
    /// A new pair.
    ///
    /// # Errors
    /// None in practice.
    pub fn make() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).context("making a certificate")?;
        Ok(Self { certificate: made.cert, key: made.signing_key })
    }

    /// The certificate that a client must trust.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// The same, in the format of a file.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A server with this certificate, which speaks HTTP/2 if a client offers it.
    ///
    /// # Errors
    /// None in practice.
    pub fn acceptor(&self) -> Result<TlsAcceptor> {
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Overwrites both files.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(&self, files: &Files) -> Result<()> {
        fs::write(&files.certificate, self.certificate.pem()).context("writing the certificate")?;
        fs::write(&files.key, self.key.serialize_pem()).context("writing the key")
    }
}

impl Files {
    /// In this folder.
    pub fn inside(folder: &Path) -> Self {
        Self { certificate: folder.join("tls.crt"), key: folder.join("tls.key") }
    }

    /// The daemon's flags for these files.
    pub fn flags(&self) -> Vec<String> {
        vec![
            format!("--tls-cert-file={}", self.certificate.display()),
            format!("--tls-key-file={}", self.key.display()),
        ]
    }
}
