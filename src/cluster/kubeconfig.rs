//! Finds the cluster to measure as kubectl does. Its errors name the file and the problem in it.

use crate::errors::chain;
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf, is_separator},
};
use tokio_rustls::rustls::pki_types::InvalidDnsNameError;

/// The flags that select a cluster, as in kubectl.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// `--kubeconfig`.
    pub file: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
}

/// A cluster that was found.
#[derive(Debug)]
pub struct Found {
    /// The configuration to connect with.
    pub config: Config,
    /// The program that issues the user's credentials, if any. It is called when a client is created.
    pub plugin: Option<String>,
    /// Name of the file with the configuration; `None` for the ServiceAccount of the pod.
    pub file: Option<String>,
}

/// Why no cluster can be measured.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// There is no configuration.
    #[error(
        "no cluster to measure: neither --kubeconfig nor KUBECONFIG is given, {home_file} does not exist, and this is not a pod. \
         `endpointlag demo` needs none"
    )]
    None {
        /// Path of kubectl's default file.
        home_file: String,
    },
    /// A file cannot be read, or is not a kubeconfig.
    #[error("the kubeconfig {file} cannot be read")]
    File {
        /// Which file.
        file: String,
        /// Why.
        source: ConfigError,
    },
    /// No context is given, and the file has no current context.
    #[error("the kubeconfig {file} has no current-context; choose one with --context: {}", listed(known))]
    NoContext {
        /// Which file.
        file: String,
        /// The contexts that it has.
        known: Vec<String>,
    },
    /// The file does not have this context.
    #[error("the kubeconfig {file} has no context {name:?}; it has: {}", listed(known))]
    Context {
        /// Which file.
        file: String,
        /// The context.
        name: String,
        /// The contexts that it has.
        known: Vec<String>,
    },
    /// The context names a cluster or user that the file does not have.
    #[error("the kubeconfig {file} has no {kind} {name:?}, which its context {context:?} names")]
    Dangling {
        /// Which file.
        file: String,
        /// `cluster` or `user`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The context.
        context: String,
    },
    /// The program that issues credentials does not exist.
    #[error(
        "the kubeconfig {file} lets {user:?} get credentials from {command:?}, which is not to be found{}",
        hinted(hint.as_deref())
    )]
    Plugin {
        /// Which file.
        file: String,
        /// The user.
        user: String,
        /// The program.
        command: String,
        /// What the file says about how to install it.
        hint: Option<String>,
    },
    /// The configuration of the context cannot be used, for instance its URL or certificate.
    #[error("the kubeconfig {file} cannot be used")]
    Unusable {
        /// Which file.
        file: String,
        /// Why.
        source: ConfigError,
    },
    /// The ServiceAccount of the pod cannot be used.
    #[error("the ServiceAccount of the pod cannot be used")]
    InCluster(#[source] ConfigError),
    /// A context was given, but there is no kubeconfig.
    #[error("--context {0:?} needs a kubeconfig, and there is none: this is a pod with its own ServiceAccount")]
    ContextInCluster(String),
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A kubeconfig cannot be read, or is malformed. In one line, and without the name of the file.
    #[error("{}", in_a_line(.0))]
    Kubeconfig(Box<kube::config::KubeconfigError>),
    /// The files of the pod's ServiceAccount are missing or malformed.
    #[error(transparent)]
    InCluster(#[from] kube::config::InClusterError),
    /// No client can be built from it.
    #[error(transparent)]
    Client(#[from] Box<kube::Error>),
    /// `tls-server-name` is not a name.
    #[error(transparent)]
    ServerName(#[from] InvalidDnsNameError),
}

/// The environment: everything besides the flags that selects a cluster.
struct Surroundings {
    kubeconfig: Option<OsString>,
    home: Option<PathBuf>,
    path: Option<OsString>,
    in_pod: bool,
}

/// The files to read. The first one with a value wins.
struct Files {
    paths: Vec<PathBuf>,
    /// From KUBECONFIG. If it lists several files, some may be missing.
    may_miss: bool,
}

// === impl ConfigError ===

impl From<kube::config::KubeconfigError> for ConfigError {
    fn from(error: kube::config::KubeconfigError) -> Self {
        Self::Kubeconfig(Box::new(error))
    }
}

// === impl KubeconfigError ===

impl KubeconfigError {
    /// The configuration of a file, or of the pod, cannot be used.
    pub fn unusable(file: Option<String>, source: ConfigError) -> Self {
        match file {
            Some(file) => Self::Unusable { file, source },
            None => Self::InCluster(source),
        }
    }
}

// === impl Choice ===

impl Choice {
    /// Finds the cluster. The first that exists wins: `--kubeconfig`, `KUBECONFIG`, `~/.kube/config`, the pod's ServiceAccount.
    ///
    /// # Errors
    /// If there is no configuration, or it cannot be used.
    pub async fn find(&self) -> Result<Found, KubeconfigError> {
        let surroundings = Surroundings {
            kubeconfig: env::var_os("KUBECONFIG"),
            home: env::home_dir(),
            path: env::var_os("PATH"),
            in_pod: env::var_os("KUBERNETES_SERVICE_HOST").is_some(),
        };
        self.find_in(&surroundings).await
    }

    async fn find_in(&self, surroundings: &Surroundings) -> Result<Found, KubeconfigError> {
        match self.files(surroundings) {
            Some(files) => self.found_in_files(&files, surroundings).await,
            None if !surroundings.in_pod => Err(KubeconfigError::None { home_file: home_file(surroundings) }),
            None => match &self.context {
                Some(context) => Err(KubeconfigError::ContextInCluster(context.clone())),
                None => {
                    let config = Config::incluster().map_err(|error| KubeconfigError::InCluster(error.into()))?;
                    Ok(Found { config, plugin: None, file: None })
                }
            },
        }
    }

    fn files(&self, surroundings: &Surroundings) -> Option<Files> {
        if let Some(file) = &self.file {
            return Some(Files { paths: vec![file.clone()], may_miss: false });
        }
        let named: Vec<_> = surroundings.kubeconfig.iter().flat_map(env::split_paths).collect();
        let named: Vec<_> = named.into_iter().filter(|path| !path.as_os_str().is_empty()).collect();
        if !named.is_empty() {
            return Some(Files { may_miss: named.len() > 1, paths: named });
        }
        let file = surroundings.home.as_ref()?.join(".kube/config");
        file.exists().then(|| Files { paths: vec![file], may_miss: false })
    }

    async fn found_in_files(&self, files: &Files, surroundings: &Surroundings) -> Result<Found, KubeconfigError> {
        let (kubeconfig, file) = files.read()?;
        let contexts = || kubeconfig.contexts.iter().map(|named| named.name.clone()).collect();
        let chosen = self.context.clone().or_else(|| kubeconfig.current_context.clone());
        let Some(name) = chosen.filter(|name| !name.is_empty()) else {
            return Err(KubeconfigError::NoContext { file, known: contexts() });
        };
        let context = kubeconfig.contexts.iter().find(|named| named.name == name);
        let Some(context) = context.and_then(|named| named.context.as_ref()) else {
            return Err(KubeconfigError::Context { file, name, known: contexts() });
        };
        let dangling = |kind, missing: &str| KubeconfigError::Dangling {
            file: file.clone(),
            kind,
            name: missing.to_owned(),
            context: name.clone(),
        };
        if !kubeconfig.clusters.iter().any(|named| named.name == context.cluster) {
            return Err(dangling("cluster", &context.cluster));
        }
        let mut plugin = None;
        // A context without a user is anonymous, as for kubectl. A context whose user is missing would become anonymous by mistake.
        if let Some(user) = context.user.as_deref().filter(|user| !user.is_empty()) {
            let Some(named) = kubeconfig.auth_infos.iter().find(|named| named.name == user) else {
                return Err(dangling("user", user));
            };
            if let Some(exec) = named.auth_info.as_ref().and_then(|info| info.exec.as_ref()) {
                let command = exec.command.clone().unwrap_or_default();
                if !surroundings.has_program(&command) {
                    let (user, hint) = (user.to_owned(), exec.install_hint.clone());
                    return Err(KubeconfigError::Plugin { file, user, command, hint });
                }
                plugin = Some(command);
            }
        }
        let options = KubeConfigOptions { context: Some(name), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|error| KubeconfigError::Unusable { file: file.clone(), source: error.into() })?;
        Ok(Found { config, plugin, file: Some(file) })
    }
}

// === impl Files ===

impl Files {
    /// All files merged into one kubeconfig, and their names.
    fn read(&self) -> Result<(Kubeconfig, String), KubeconfigError> {
        let mut merged: Option<Kubeconfig> = None;
        for path in &self.paths {
            let failed = |error: kube::config::KubeconfigError| KubeconfigError::File {
                file: path.display().to_string(),
                source: error.into(),
            };
            if self.may_miss && !path.exists() && self.paths.iter().any(|other| other.exists()) {
                continue;
            }
            let read = Kubeconfig::read_from(path).map_err(failed)?;
            merged = Some(match merged {
                None => read,
                Some(before) => before.merge(read).map_err(failed)?,
            });
        }
        let names: Vec<_> = self.paths.iter().map(|path| path.display().to_string()).collect();
        Ok((merged.unwrap_or_default(), names.join(", ")))
    }
}

// === impl Surroundings ===

impl Surroundings {
    /// Whether a command can be started, as far as its file shows.
    fn has_program(&self, command: &str) -> bool {
        if command.contains(is_separator) {
            return Path::new(command).is_file();
        }
        let folders = self.path.iter().flat_map(env::split_paths);
        !command.is_empty() && folders.into_iter().any(|folder| folder.join(command).is_file())
    }
}

fn home_file(surroundings: &Surroundings) -> String {
    match &surroundings.home {
        Some(home) => home.join(".kube/config").display().to_string(),
        None => "~/.kube/config".to_owned(),
    }
}

/// An error of kube in one line: without the name of the file, which the error message already has, and without the lines of a YAML file around the error.
fn in_a_line(error: &kube::config::KubeconfigError) -> String {
    let text = match error {
        kube::config::KubeconfigError::ReadConfig(error, _) => error.to_string(),
        kube::config::KubeconfigError::Parse(error) => error.to_string(),
        error => chain(error),
    };
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn hinted(hint: Option<&str>) -> String {
    hint.map(|hint| format!(": {}", hint.trim())).unwrap_or_default()
}

#[cfg(test)]
mod tests;
