//! TLS from two files that may be renewed while the daemon serves.

use crate::{errors::chain, signals::Hangups};
use parking_lot::RwLock;
use std::{
    fmt, fs, io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::{CryptoProvider, ring},
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject},
        },
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
};

/// How often the files are read. They are small. A renewal needs two reads with the same content.
const LOOK: Duration = Duration::from_secs(5);

/// The paths of the certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by the intermediate certificates, in PEM.
    pub certificate: PathBuf,
    /// The private key of the first certificate, in PEM.
    pub key: PathBuf,
}

/// The files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of the certificate cannot be read, or has no certificate.
    #[error("--tls-cert-file {}", file.display())]
    Certificate {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: PemError,
    },
    /// The file of the key cannot be read, or has no usable key.
    #[error("--tls-key-file {}", file.display())]
    Key {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: PemError,
    },
    /// The key belongs to another certificate, or the certificate has an unsupported kind.
    #[error("--tls-cert-file {} and --tls-key-file {}", files.certificate.display(), files.key.display())]
    Pair {
        /// Which files.
        files: TlsFiles,
        /// Why.
        source: PairError,
    },
}

/// A file does not have the expected content.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not PEM.
    #[error(transparent)]
    Pem(#[from] pem::Error),
    /// It is PEM, but of something else.
    #[error("no {0} in it")]
    Nothing(&'static str),
}

/// A certificate and a key cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// They do not belong together.
    #[error("the key is not the certificate's")]
    Strangers,
    /// Their kind is not supported.
    #[error(transparent)]
    Unusable(#[from] rustls::Error),
}

/// The certificate that new connections get.
pub(super) struct Certificate {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
    health: Arc<TlsHealth>,
}

/// The health of the certificate, for the metrics.
#[derive(Debug, Default)]
pub struct TlsHealth {
    /// The earliest expiration of it and its intermediate certificates, in seconds since 1970; 0 if it is not known.
    expiration: AtomicI64,
    failures: AtomicU64,
}

/// The content of the files at one read, or why they could not be read.
type Look = Result<Pem, Arc<TlsError>>;

/// The content of both files.
#[derive(Clone, PartialEq, Eq)]
struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Follows the files of a certificate.
pub(super) struct Renewal {
    certificate: Arc<Certificate>,
    /// The result of the last read.
    last: Look,
    /// The last result that was applied, so that each renewal and each log line happens once.
    settled: Look,
}

// === impl Certificate ===

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// If the files have no usable certificate and key.
    pub(super) fn load(files: TlsFiles) -> Result<(Arc<Self>, Renewal), TlsError> {
        let provider = Arc::new(ring::default_provider());
        let pem = files.read()?;
        let pair = files.parse(&pem, &provider)?;
        let health = Arc::<TlsHealth>::default();
        health.served(&pair);
        let certificate = Arc::new(Self { files, provider, current: RwLock::new(Arc::new(pair)), health });
        let renewal = Renewal { certificate: certificate.clone(), last: Ok(pem.clone()), settled: Ok(pem) };
        Ok((certificate, renewal))
    }

    /// Its health. The value stays up to date.
    pub(super) fn health(&self) -> Arc<TlsHealth> {
        self.health.clone()
    }

    /// Creates TLS connections with this protocol. Each gets the certificate that is current when it starts.
    ///
    /// # Errors
    /// If the cryptography provider lacks what TLS needs.
    pub(super) fn acceptor(self: &Arc<Self>, protocol: &[u8]) -> Result<TlsAcceptor, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn replace(&self, pem: &Pem) -> Result<(), TlsError> {
        let pair = Arc::new(self.files.parse(pem, &self.provider)?);
        self.health.served(&pair);
        // Nothing panics while it is locked.
        *self.current.write() = pair;
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().clone())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key must not be printed.
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

// === impl TlsHealth ===

impl TlsHealth {
    /// The earliest expiration of the served certificate and its intermediate certificates, in seconds since 1970.
    pub fn expiration(&self) -> i64 {
        self.expiration.load(Relaxed)
    }

    /// How often the files changed and could not be used.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    fn served(&self, pair: &CertifiedKey) {
        let expiration = |certificate: &CertificateDer<'_>| {
            let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
            Some(certificate.validity().not_after.timestamp())
        };
        self.expiration.store(pair.cert.iter().filter_map(expiration).min().unwrap_or_default(), Relaxed);
    }
}

// === impl TlsFiles ===

impl TlsFiles {
    fn read(&self) -> Result<Pem, TlsError> {
        let certificate = fs::read(&self.certificate).map_err(|error| self.bad_certificate(error))?;
        let key = fs::read(&self.key).map_err(|error| self.bad_key(error))?;
        Ok(Pem { certificate, key })
    }

    fn parse(&self, pem: &Pem, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem.certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| self.bad_certificate(error))?;
        if chain.is_empty() {
            return Err(self.bad_certificate(PemError::Nothing("certificate")));
        }
        let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|error| match error {
            pem::Error::NoItemsFound => self.bad_key(PemError::Nothing("private key")),
            error => self.bad_key(error),
        })?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| {
            let source = match error {
                rustls::Error::InconsistentKeys(_) => PairError::Strangers,
                error => PairError::Unusable(error),
            };
            TlsError::Pair { files: self.clone(), source }
        })
    }

    fn bad_certificate(&self, source: impl Into<PemError>) -> TlsError {
        TlsError::Certificate { file: self.certificate.clone(), source: source.into() }
    }

    fn bad_key(&self, source: impl Into<PemError>) -> TlsError {
        TlsError::Key { file: self.key.clone(), source: source.into() }
    }
}

// === impl Renewal ===

impl Renewal {
    /// Follows the files without end. A hangup (SIGHUP) applies them at once.
    pub(super) async fn run(mut self, mut hangups: Hangups) {
        loop {
            let told = tokio::select! {
                () = tokio::time::sleep(LOOK) => false,
                () = hangups.next() => true,
            };
            let files = self.certificate.files.clone();
            // A volume that hangs must not delay connections.
            if let Ok(look) = tokio::task::spawn_blocking(move || files.read()).await {
                let look = look.map_err(Arc::new);
                if told {
                    // The sender of the hangup has written both files. Every error is logged then.
                    self.last = look.clone();
                    self.settle(look);
                } else {
                    self.take(look);
                }
            }
        }
    }

    /// Uses the result of a read. The files may be incomplete when they are read, or only one of them may be replaced.
    /// So two reads must have the same result.
    fn take(&mut self, look: Look) {
        if !is_same(&look, &self.last) {
            self.last = look;
            return;
        }
        if !is_same(&look, &self.settled) {
            self.settle(look);
        }
    }

    fn settle(&mut self, look: Look) {
        self.settled = look;
        let replaced = match &self.settled {
            Ok(pem) => self.certificate.replace(pem).map_err(Arc::new),
            Err(error) => Err(error.clone()),
        };
        match replaced {
            Ok(()) => {
                tracing::info!(file = %self.certificate.files.certificate.display(), "the certificate was renewed")
            }
            Err(error) => {
                self.certificate.health.failures.fetch_add(1, Relaxed);
                tracing::warn!(error = %chain(&error), "the certificate cannot be renewed; the one before stays");
            }
        }
    }
}

/// Whether two reads have the same result. Errors are the same if their texts are the same.
fn is_same(one: &Look, other: &Look) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => one == other,
        (Err(one), Err(other)) => chain(one) == chain(other),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
