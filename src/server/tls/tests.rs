use super::*;
use rcgen::{CertifiedKey as Made, generate_simple_self_signed};

/// A folder with a certificate and key, and what serves it.
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
        self.renewal.take(self.files.read().map_err(Arc::new));
    }

    /// The certificate that a new connection gets now.
    fn serves(&self) -> Vec<u8> {
        self.certificate.current.read().cert[0].to_vec()
    }
}

fn pair() -> Made<rcgen::KeyPair> {
    generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a pair")
}

/// A pair that expires 2,000,000,000 s after 1970, less 12,800 s.
fn expiring() -> Made<rcgen::KeyPair> {
    let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    parameters.not_after = rcgen::date_time_ymd(2033, 5, 18);
    let signing_key = rcgen::KeyPair::generate().expect("a key");
    Made { cert: parameters.self_signed(&signing_key).expect("a certificate"), signing_key }
}

#[test]
fn expiry_and_failures_are_told() {
    let mut served = Served::start();
    let health = served.certificate.health();
    let new = expiring();
    write(&served.files, &new, &new);
    served.look();
    served.look();
    assert_eq!((health.expiration(), health.failures()), (1_999_987_200, 0));
    fs::write(&served.files.key, "").expect("written");
    for _ in 0..4 {
        served.look();
    }
    assert_eq!((health.expiration(), health.failures()), (1_999_987_200, 1), "each failure once");
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
    assert!(
        matches!(served.renewal.settled.as_ref().map_err(|error| &**error), Err(TlsError::Key { .. }))
            && served.serves() == before,
        "no key"
    );
    let good = pair();
    write(&served.files, &good, &good);
    served.look();
    served.look();
    assert_eq!(served.serves(), good.cert.der().to_vec());
}

/// The kubelet replaces a mounted Secret like this: each file is a link through a link to a folder.
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
    let load = || chain(&Certificate::load(served.files.clone()).map(|_| ()).expect_err("bad"));
    fs::write(&served.files.key, pair().signing_key.serialize_pem()).expect("written");
    assert!(load().ends_with("the key is not the certificate's"), "{}", load());
    fs::write(&served.files.key, "").expect("written");
    assert!(load().starts_with("--tls-key-file") && load().ends_with("no private key in it"), "{}", load());
    fs::write(&served.files.certificate, "").expect("written");
    assert!(load().starts_with("--tls-cert-file") && load().ends_with("no certificate in it"), "{}", load());
    fs::remove_file(&served.files.certificate).expect("there");
    assert!(load().starts_with("--tls-cert-file") && load().contains("No such file"), "{}", load());
}
