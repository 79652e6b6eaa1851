//! A daemon whose figures a command uses: found in the cluster and reached through the API server, or at an address.
//!
//! ```text
//! Args ──► Choice ──► find (pods of the chart) ──► forward (as kubectl port-forward does) ──► Client ──► answers
//! ```
//!
//! If there is none that can be used, a command measures by itself, and says why.

pub(super) mod answers;
mod args;
mod client;
mod find;
mod forward;
pub(super) mod told;

pub(super) use self::client::Client;
pub use self::{
    args::{Access, Args, Choice},
    client::{AnswerError, DaemonError},
};

use self::{answers::Overview, find::Unfound};
use crate::errors::chain;
use std::time::Duration;

/// How long a daemon in the cluster may take to answer. A person waits, and it can be done without.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where what is measured comes from.
pub(super) enum Source {
    /// A daemon.
    Daemon(Box<Daemon>),
    /// This process, for this reason.
    Here(String),
}

/// A daemon that answers.
pub(super) struct Daemon {
    pub(super) client: Client,
    pub(super) overview: Overview,
    /// Which one, and how it is reached, in words.
    pub(super) what: String,
}

// === impl Source ===

impl Source {
    /// Finds the daemon that is chosen, for these namespaces; all if there are none. It answers.
    ///
    /// # Errors
    /// If the daemon at a given address does not answer. One that was to be found in the cluster is an offer, and not an error.
    pub(super) async fn of(
        choice: &Choice,
        cluster: Option<&kube::Client>,
        namespaces: &[String],
    ) -> Result<Self, DaemonError> {
        match choice {
            Choice::None(why) => Ok(Self::Here((*why).to_owned())),
            Choice::At(url, access) => {
                let client = Client::new(url, access)?;
                let overview = client.get(Overview::PATH).await?;
                let what = format!("the daemon at {url}");
                Ok(Self::Daemon(Box::new(Daemon { client, overview, what })))
            }
            Choice::Auto { namespace, access } => {
                let Some(cluster) = cluster else { return Ok(Self::Here("no cluster is known".to_owned())) };
                let auto = auto(cluster, namespace.as_deref(), access, namespaces);
                match tokio::time::timeout(PATIENCE, auto).await {
                    Ok(Ok(daemon)) => Ok(Self::Daemon(Box::new(daemon))),
                    Ok(Err(unfound)) => Ok(Self::Here(chain(&unfound))),
                    Err(_) => {
                        let seconds = PATIENCE.as_secs();
                        Ok(Self::Here(format!("no daemon in the cluster has answered within {seconds} s")))
                    }
                }
            }
        }
    }
}

async fn auto(
    cluster: &kube::Client,
    namespace: Option<&str>,
    access: &Access,
    wanted: &[String],
) -> Result<Daemon, Unfound> {
    let found = find::daemon(cluster, namespace, wanted).await?;
    let forward = forward::Forward::start(cluster.clone(), &found).await?;
    let what = format!("the daemon of pod {}/{} (port-forward through the API server)", found.namespace, found.pod);
    let client = Client::forwarded(forward, &found, access);
    let asked = async { client?.with(Overview::PATH).await };
    let (client, overview) =
        asked.await.map_err(|source| Unfound::Silent { what: what.clone(), source: Box::new(source) })?;
    Ok(Daemon { client, overview, what })
}
