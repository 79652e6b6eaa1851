//! Certificates that sign themselves.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use tokio_rustls::rustls::pki_types::CertificateDer;

/// A certificate for the host that tests ask for, and its key.
pub struct Pair {
    certificate: rcgen::Certificate,
    key: rcgen::KeyPair,
}

/// Where the daemon looks for one.
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Pair {
    pub fn make() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).context("making a certificate")?;
        Ok(Self { certificate: made.cert, key: made.signing_key })
    }

    /// What a client is told to trust.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// Writes both over what the files held.
    pub fn write(&self, files: &Files) -> Result<()> {
        fs::write(&files.certificate, self.certificate.pem()).context("writing the certificate")?;
        fs::write(&files.key, self.key.serialize_pem()).context("writing the key")
    }
}

impl Files {
    pub fn inside(folder: &Path) -> Self {
        Self { certificate: folder.join("tls.crt"), key: folder.join("tls.key") }
    }

    /// The daemon's flags that name them.
    pub fn flags(&self) -> Vec<String> {
        vec![
            format!("--tls-cert-file={}", self.certificate.display()),
            format!("--tls-key-file={}", self.key.display()),
        ]
    }
}
