//! TLS from two files, which may be renewed while it is served from.

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

/// How often the files are looked at. They are small, and two looks that see the same are needed for a renewal.
const LOOK: Duration = Duration::from_secs(5);

/// Where the certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those between it and the authority, in PEM.
    pub certificate: PathBuf,
    /// The private key of the first, in PEM.
    pub key: PathBuf,
}

/// The files cannot be served from.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of the certificate cannot be read, or holds none.
    #[error("--tls-cert-file {}", file.display())]
    Certificate {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: PemError,
    },
    /// The file of the key cannot be read, or holds none that can be used.
    #[error("--tls-key-file {}", file.display())]
    Key {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: PemError,
    },
    /// The key is another certificate's, or the certificate of a kind that cannot be served.
    #[error("--tls-cert-file {} and --tls-key-file {}", files.certificate.display(), files.key.display())]
    Pair {
        /// Which files.
        files: TlsFiles,
        /// Why.
        source: PairError,
    },
}

/// A file does not hold what it should.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no PEM.
    #[error(transparent)]
    Pem(#[from] pem::Error),
    /// It is PEM of something else.
    #[error("no {0} in it")]
    Nothing(&'static str),
}

/// A certificate and a key cannot be served together.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// They do not belong together.
    #[error("the key is not the certificate's")]
    Strangers,
    /// They are of a kind that cannot be served.
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

/// How the certificate is doing, for the metrics.
#[derive(Debug, Default)]
pub struct TlsHealth {
    /// When it expires, in seconds since 1970, or one between it and the authority does; 0 if it does not say.
    expiration: AtomicI64,
    failures: AtomicU64,
}

/// What the files held at a look, or why they could not be read.
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
    /// What the last look saw.
    last: Look,
    /// What was acted upon, so that each renewal is, and each failure is logged once.
    settled: Look,
}

// === impl Certificate ===

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// If they are no pair to serve from.
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

    /// How it is doing, now and later.
    pub(super) fn health(&self) -> Arc<TlsHealth> {
        self.health.clone()
    }

    /// Makes TLS of connections that speak this protocol, each with the certificate of its time.
    ///
    /// # Errors
    /// If the cryptography lacks what TLS needs.
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
        // Without the key.
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

// === impl TlsHealth ===

impl TlsHealth {
    /// When the certificate that is served expires, in seconds since 1970, or one between it and the authority does.
    pub fn expiration(&self) -> i64 {
        self.expiration.load(Relaxed)
    }

    /// Times that the files changed and could not be served from.
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
    /// Follows the files for ever, and takes them at once at a hangup.
    pub(super) async fn run(mut self, mut hangups: Hangups) {
        loop {
            let told = tokio::select! {
                () = tokio::time::sleep(LOOK) => false,
                () = hangups.next() => true,
            };
            let files = self.certificate.files.clone();
            // A volume that hangs must not hold up connections.
            if let Ok(look) = tokio::task::spawn_blocking(move || files.read()).await {
                let look = look.map_err(Arc::new);
                if told {
                    // Whoever says so has written both. What is broken is said, even if it was before.
                    self.last = look.clone();
                    self.settle(look);
                } else {
                    self.take(look);
                }
            }
        }
    }

    /// Takes a look into account. The files may be read while they are written, or one before and one after both are
    /// replaced, so they must have been the same for two looks.
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

/// Whether two looks saw the same. An error of the system is the same if it says the same.
fn is_same(one: &Look, other: &Look) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => one == other,
        (Err(one), Err(other)) => chain(one) == chain(other),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
