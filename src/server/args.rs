//! Flags of the endpoint.

use super::{Auth, ServerSettings, TlsFiles};
use crate::flags::FlagErrors;
use std::{net::AddrParseError, path::PathBuf};

/// The addresses to listen on.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// Address and port of the page, the API, /metrics, /healthz and /readyz. Port 0 uses a free port and logs it.
    #[arg(long, value_name = "ADDRESS", env = "ENDPOINTLAG_LISTEN", default_value = "0.0.0.0:10911")]
    listen: String,

    /// Serve TLS with the certificate chain in this PEM file. The daemon reads the file again when it changes.
    #[arg(long, value_name = "FILE", env = "ENDPOINTLAG_TLS_CERT_FILE")]
    tls_cert_file: Option<PathBuf>,

    /// Private key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", env = "ENDPOINTLAG_TLS_KEY_FILE")]
    tls_key_file: Option<PathBuf>,

    /// Separate address and port for /healthz and /readyz, without TLS and without authorization. Default: the address of
    /// --listen, also without authorization.
    #[arg(long, value_name = "ADDRESS", env = "ENDPOINTLAG_PROBE_LISTEN")]
    probe_listen: Option<String>,

    /// Host name that requests may use if the daemon listens on a loopback address without --auth, besides localhost and IP
    /// addresses; repeat for several. Other names get 421, so that no web page can read the data by DNS rebinding.
    #[arg(long = "allow-host", value_name = "NAME", env = "ENDPOINTLAG_ALLOW_HOST", value_delimiter = ',')]
    allowed_hosts: Vec<String>,
}

/// Who may read, if there is a cluster that can answer this.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct AuthArgs {
    /// Who may read: everyone, or users that the API server allows, by TokenReview and SubjectAccessReview. The second needs
    /// TLS, and the permissions in deploy/kubernetes/rbac-auth.yaml.
    #[arg(long, value_name = "KIND", env = "ENDPOINTLAG_AUTH", default_value = "none")]
    pub(crate) auth: Auth,
}

// === impl Args ===

impl Args {
    /// Checks these flags for an endpoint whose readers `auth` decides.
    pub(crate) fn settings(&self, auth: Auth, errors: &mut FlagErrors) -> Option<ServerSettings> {
        let say = |error: AddrParseError| format!("{error}; write it like 0.0.0.0:10911");
        let listen = errors.parse("--listen", &self.listen, say);
        let probe_listen = self.probe_listen.as_deref().map(|text| errors.parse("--probe-listen", text, say));
        let tls = match (self.tls_cert_file.clone(), self.tls_key_file.clone()) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => {
                if auth == Auth::Kubernetes {
                    let needs =
                        "kubernetes needs --tls-cert-file and --tls-key-file, otherwise tokens are sent unencrypted";
                    errors.add("--auth", needs.to_owned());
                }
                None
            }
            (Some(_), None) => {
                errors.add("--tls-key-file", "is missing, but --tls-cert-file is given".to_owned());
                None
            }
            (None, Some(_)) => {
                errors.add("--tls-cert-file", "is missing, but --tls-key-file is given".to_owned());
                None
            }
        };
        let probe_listen = match probe_listen {
            None => None,
            Some(parsed) => Some(parsed?),
        };
        let allowed_hosts = self.allowed_hosts.clone();
        Some(ServerSettings { listen: listen?, probe_listen, tls, auth, allowed_hosts })
    }
}
