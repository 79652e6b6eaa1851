//! TLS from two files, which may be renewed while it is served from.

use std::{
    fmt, fs,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The file of the certificate cannot be read, or holds none.
    #[error("--tls-cert-file {}: {cause}", file.display())]
    Certificate {
        /// Which file.
        file: PathBuf,
        /// Why.
        cause: String,
    },
    /// The file of the key cannot be read, or holds none that can be used.
    #[error("--tls-key-file {}: {cause}", file.display())]
    Key {
        /// Which file.
        file: PathBuf,
        /// Why.
        cause: String,
    },
    /// The key is another certificate's, or the certificate of a kind that cannot be served.
    #[error("--tls-cert-file {} and --tls-key-file {}: {cause}", files.certificate.display(), files.key.display())]
    Pair {
        /// Which files.
        files: TlsFiles,
        /// Why.
        cause: String,
    },
}

/// The certificate that new connections get.
pub(super) struct Certificate {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

/// What the files held at a look, or why they could not be read.
type Look = Result<Pem, TlsError>;

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
        let current = RwLock::new(Arc::new(files.parse(&pem, &provider)?));
        let certificate = Arc::new(Self { files, provider, current });
        let renewal = Renewal { certificate: certificate.clone(), last: Ok(pem.clone()), settled: Ok(pem) };
        Ok((certificate, renewal))
    }

    /// Makes TLS of connections, each with the certificate of its time.
    ///
    /// # Errors
    /// If the cryptography lacks what TLS needs.
    pub(super) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn replace(&self, pem: &Pem) -> Result<(), TlsError> {
        let pair = Arc::new(self.files.parse(pem, &self.provider)?);
        // Nothing panics while it is locked.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = pair;
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key.
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

// === impl TlsFiles ===

impl TlsFiles {
    fn read(&self) -> Look {
        let certificate = fs::read(&self.certificate).map_err(|error| self.bad_certificate(&error))?;
        let key = fs::read(&self.key).map_err(|error| self.bad_key(&error))?;
        Ok(Pem { certificate, key })
    }

    fn parse(&self, pem: &Pem, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem.certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| self.bad_certificate(&error))?;
        if chain.is_empty() {
            return Err(self.bad_certificate(&"no certificate in it"));
        }
        let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => self.bad_key(&"no private key in it"),
            error => self.bad_key(&error),
        })?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| {
            let cause = match error {
                rustls::Error::InconsistentKeys(_) => "the key is not the certificate's".to_owned(),
                error => error.to_string(),
            };
            TlsError::Pair { files: self.clone(), cause }
        })
    }

    fn bad_certificate(&self, cause: &dyn fmt::Display) -> TlsError {
        TlsError::Certificate { file: self.certificate.clone(), cause: cause.to_string() }
    }

    fn bad_key(&self, cause: &dyn fmt::Display) -> TlsError {
        TlsError::Key { file: self.key.clone(), cause: cause.to_string() }
    }
}

// === impl Renewal ===

impl Renewal {
    /// Follows the files for ever.
    pub(super) async fn run(mut self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let files = self.certificate.files.clone();
            // A volume that hangs must not hold up connections.
            if let Ok(look) = tokio::task::spawn_blocking(move || files.read()).await {
                self.take(look);
            }
        }
    }

    /// Takes a look into account. The files may be read while they are written, or one before and one after both are
    /// replaced, so they must have been the same for two looks.
    fn take(&mut self, look: Look) {
        if look != self.last {
            self.last = look;
            return;
        }
        if look == self.settled {
            return;
        }
        self.settled = look;
        let replaced = match &self.settled {
            Ok(pem) => self.certificate.replace(pem),
            Err(error) => Err(error.clone()),
        };
        match replaced {
            Ok(()) => {
                tracing::info!(file = %self.certificate.files.certificate.display(), "the certificate was renewed")
            }
            Err(error) => tracing::warn!(%error, "the certificate cannot be renewed; the one before stays"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey as Made, generate_simple_self_signed};

    /// A folder with a pair in it, and what serves from it.
    struct Served {
        folder: tempfile::TempDir,
        files: TlsFiles,
        certificate: Arc<Certificate>,
        renewal: Renewal,
    }

    impl Served {
        fn start() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let files = TlsFiles { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
            let made = pair();
            write(&files, &made, &made);
            let (certificate, renewal) = Certificate::load(files.clone()).expect("a pair");
            Self { folder, files, certificate, renewal }
        }

        fn look(&mut self) {
            self.renewal.take(self.files.read());
        }

        /// The certificate that a connection would get now.
        fn serves(&self) -> Vec<u8> {
            self.certificate.current.read().expect("no panic").cert[0].to_vec()
        }
    }

    fn pair() -> Made<rcgen::KeyPair> {
        generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a pair")
    }

    fn write(files: &TlsFiles, certificate: &Made<rcgen::KeyPair>, key: &Made<rcgen::KeyPair>) {
        fs::write(&files.certificate, certificate.cert.pem()).expect("written");
        fs::write(&files.key, key.signing_key.serialize_pem()).expect("written");
    }

    #[test]
    fn a_pair_is_replaced_once_both_files_are_still() {
        let mut served = Served::start();
        let (before, new) = (served.serves(), pair());
        fs::write(&served.files.certificate, new.cert.pem()).expect("written");
        served.look();
        fs::write(&served.files.key, new.signing_key.serialize_pem()).expect("written");
        served.look();
        assert_eq!(served.serves(), before, "the key has just been written");
        served.look();
        assert_eq!(served.serves(), new.cert.der().to_vec());
    }

    #[test]
    fn a_broken_replacement_keeps_the_pair_and_a_good_one_mends_it() {
        let mut served = Served::start();
        let before = served.serves();
        write(&served.files, &pair(), &pair());
        served.look();
        served.look();
        assert!(served.renewal.settled.is_ok() && served.serves() == before, "the key of another");
        fs::remove_file(&served.files.key).expect("there");
        served.look();
        served.look();
        assert!(matches!(served.renewal.settled, Err(TlsError::Key { .. })) && served.serves() == before, "no key");
        let good = pair();
        write(&served.files, &good, &good);
        served.look();
        served.look();
        assert_eq!(served.serves(), good.cert.der().to_vec());
    }

    /// As kubelet replaces the files of a mounted Secret: the files are links through a link to a folder.
    #[test]
    fn a_link_that_is_swapped_is_followed() {
        use std::os::unix::fs::symlink;
        let mut served = Served::start();
        let (folder, new) = (served.folder.path(), pair());
        let data = TlsFiles { certificate: folder.join("new/tls.crt"), key: folder.join("new/tls.key") };
        fs::create_dir(folder.join("new")).expect("created");
        write(&data, &new, &new);
        symlink("new", folder.join("..data")).expect("linked");
        for name in ["tls.crt", "tls.key"] {
            fs::remove_file(folder.join(name)).expect("there");
            symlink(format!("..data/{name}"), folder.join(name)).expect("linked");
        }
        served.look();
        served.look();
        assert_eq!(served.serves(), new.cert.der().to_vec());
    }

    #[test]
    fn each_bad_file_is_named_with_its_flag() {
        let served = Served::start();
        let load = || Certificate::load(served.files.clone()).map(|_| ()).expect_err("bad").to_string();
        fs::write(&served.files.key, pair().signing_key.serialize_pem()).expect("written");
        assert!(load().ends_with("the key is not the certificate's"), "{}", load());
        fs::write(&served.files.key, "").expect("written");
        assert!(load().starts_with("--tls-key-file") && load().ends_with("no private key in it"), "{}", load());
        fs::write(&served.files.certificate, "").expect("written");
        assert!(load().starts_with("--tls-cert-file") && load().ends_with("no certificate in it"), "{}", load());
        fs::remove_file(&served.files.certificate).expect("there");
        assert!(load().starts_with("--tls-cert-file") && load().contains("No such file"), "{}", load());
    }
}
