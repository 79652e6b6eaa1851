//! How the components authenticate: tokens, keys, kubeconfigs; and what the API server is to record.

use crate::workspace::Workspace;
use anyhow::{Context, Result};
use rand::distr::{Alphanumeric, SampleString};
use serde_json::json;
use std::path::{Path, PathBuf};

/// User name of the tests themselves. It is in the audit log, and distinguishes the tests' writes from the controllers'.
pub(crate) const ADMIN: &str = "endpointlag-tests";

/// User name of the controller manager.
const CONTROLLERS: &str = "system:kube-controller-manager";

/// All changes from which a delay is computed, with the object after each write, and nothing else.
const AUDIT_POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
omitStages: [RequestReceived]
rules:
- level: RequestResponse
  verbs: [create, update, patch, delete, deletecollection]
  resources:
  - group: ""
    resources: [pods, pods/status, services]
  - group: discovery.k8s.io
    resources: [endpointslices]
- level: None
"#;

/// Secrets and files of one control plane.
#[derive(Debug)]
pub(super) struct Credentials {
    /// Bearer token of [`ADMIN`], who has all rights.
    pub admin_token: String,
    /// Bearer token of [`CONTROLLERS`], who has all rights too: service account tokens for each controller would need
    /// the controllers that make them.
    pub controllers_token: String,
    /// `--token-auth-file` of the API server.
    pub tokens: PathBuf,
    /// Signs service account tokens.
    pub signing_key: PathBuf,
    /// Checks service account tokens.
    pub verifying_key: PathBuf,
    /// `--audit-policy-file` of the API server.
    pub audit_policy: PathBuf,
}

impl Credentials {
    /// Makes new secrets and writes the files.
    ///
    /// # Errors
    /// A file cannot be written, or no key can be made.
    pub fn create(workspace: &Workspace) -> Result<Self> {
        let secret = || Alphanumeric.sample_string(&mut rand::rng(), 32);
        let (admin_token, controllers_token) = (secret(), secret());
        let tokens =
            format!("{admin_token},{ADMIN},1,system:masters\n{controllers_token},{CONTROLLERS},2,system:masters\n");
        let key = rcgen::KeyPair::generate().context("making the service account key")?;
        Ok(Self {
            admin_token,
            controllers_token,
            tokens: workspace.write("tokens.csv", tokens)?,
            signing_key: workspace.write("service-account.key", key.serialize_pem())?,
            verifying_key: workspace.write("service-account.pub", key.public_key_pem())?,
            audit_policy: workspace.write("audit-policy.yaml", AUDIT_POLICY)?,
        })
    }
}

/// How a kubeconfig's user authenticates.
#[derive(Clone, Copy, Debug)]
pub enum Token<'a> {
    /// The token is in the kubeconfig.
    Inline(&'a str),
    /// The kubeconfig names a file. It is read again from time to time, like a mounted service account token.
    File(&'a Path),
}

/// A kubeconfig with one cluster and one user. It is JSON, which is valid YAML.
pub fn kubeconfig(server: &str, authority: &Path, token: Token<'_>) -> String {
    let user = match token {
        Token::Inline(token) => json!({ "token": token }),
        Token::File(path) => json!({ "tokenFile": path }),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "tests",
            "cluster": { "server": server, "certificate-authority": authority },
        }],
        "users": [{ "name": "tests", "user": user }],
        "contexts": [{ "name": "tests", "context": { "cluster": "tests", "user": "tests" } }],
        "current-context": "tests",
    })
    .to_string()
}
