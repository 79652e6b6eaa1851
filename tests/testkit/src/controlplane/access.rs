//! The daemon's account and its rights, taken from the files that the project ships.

use super::credentials::{Token, kubeconfig};
use crate::root;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// The account of the shipped files, and the namespace of all accounts.
pub const ACCOUNT: &str = "endpointlag";

const CLUSTER_MANIFEST: &str = "deploy/kubernetes/cluster.yaml";
const AUTH_MANIFEST: &str = "deploy/kubernetes/rbac-auth.yaml";
const NAMESPACED_MANIFEST: &str = "deploy/kubernetes/namespaced.yaml";

/// Which kinds of the files grant rights. The other objects run the daemon, which the tests do themselves.
const OF_ACCESS: [&str; 5] = ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];

/// The field manager, for server-side apply.
const FIELD_MANAGER: &str = "endpointlag-tests";

/// Long enough for any test.
const TOKEN_SECONDS: i64 = 3600;

/// Applies the account and the role of `deploy/kubernetes/cluster.yaml` as they are.
///
/// # Errors
/// The file cannot be read, or the API server refuses one of its objects.
pub(super) async fn grant_cluster_role(client: &Client) -> Result<()> {
    create_account(client, ACCOUNT).await?;
    for object in objects(CLUSTER_MANIFEST)? {
        apply(client, ACCOUNT, object).await?;
    }
    Ok(())
}

/// Gives a test's own account the rules of `deploy/kubernetes/cluster.yaml`.
///
/// # Errors
/// If the API server refuses the role or its binding.
pub async fn grant_cluster_role_to(client: &Client, account: &str) -> Result<()> {
    for object in objects(CLUSTER_MANIFEST)? {
        apply(client, ACCOUNT, bound_to(account, object)).await?;
    }
    Ok(())
}

/// Gives an account the rules of `deploy/kubernetes/cluster.yaml`, except those of one resource. They stay when the rules of
/// [`grant_cluster_role_to`] are revoked.
///
/// # Errors
/// If the API server refuses the role or its binding.
pub async fn grant_cluster_role_without(client: &Client, account: &str, resource: &str) -> Result<()> {
    let name = format!("{account}-less");
    for mut object in objects(CLUSTER_MANIFEST)?.into_iter().map(|object| bound_to(account, object)) {
        match object["kind"].as_str() {
            Some("ClusterRole") => {
                let rules = object["rules"].as_array_mut().context("a role has rules")?;
                for resources in rules.iter_mut().filter_map(|rule| rule["resources"].as_array_mut()) {
                    resources.retain(|it| it != resource);
                }
                rules.retain(|rule| rule["resources"].as_array().is_some_and(|resources| !resources.is_empty()));
            }
            Some("ClusterRoleBinding") => object["roleRef"]["name"] = json!(name),
            _ => continue,
        }
        object["metadata"]["name"] = json!(name);
        apply(client, ACCOUNT, object).await?;
    }
    Ok(())
}

/// Gives an account the rules of `deploy/kubernetes/namespaced.yaml` in one namespace.
///
/// # Errors
/// If the API server refuses the role or its binding.
pub async fn grant_role_to(client: &Client, account: &str, namespace: &str) -> Result<()> {
    for mut object in objects(NAMESPACED_MANIFEST)? {
        if object["kind"] != "ServiceAccount" {
            object["metadata"]["namespace"] = json!(namespace);
        }
        apply(client, namespace, bound_to(account, object)).await?;
    }
    Ok(())
}

/// Gives an account the rules of `deploy/kubernetes/rbac-auth.yaml`, and makes that file's role for readers.
///
/// # Errors
/// If the API server refuses the role or its binding.
pub async fn grant_reviews_to(client: &Client, account: &str) -> Result<()> {
    for object in objects(AUTH_MANIFEST)? {
        apply(client, ACCOUNT, bound_to(account, object)).await?;
    }
    Ok(())
}

/// Gives an account the role for readers of `deploy/kubernetes/rbac-auth.yaml`.
///
/// # Errors
/// The API server refuses it.
pub async fn grant_metrics_to(client: &Client, account: &str) -> Result<()> {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": { "name": format!("{account}-metrics-reader") },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "endpointlag-metrics-reader",
        },
        "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": ACCOUNT }],
    });
    apply(client, ACCOUNT, binding).await
}

/// Creates an account without rights.
///
/// # Errors
/// The API server refuses it.
pub async fn create_account(client: &Client, name: &str) -> Result<()> {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": ACCOUNT } });
    apply(client, ACCOUNT, namespace).await?;
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
    apply(client, ACCOUNT, account).await
}

/// Writes a kubeconfig with a token of the account, for the daemon's `KUBECONFIG`. `server` may be another address than
/// the API server's own: a proxy before it, or an address at which nothing listens.
///
/// # Errors
/// The API server gives no token, or a file cannot be written.
pub async fn account_kubeconfig(
    client: &Client,
    account: &str,
    server: &str,
    authority: &Path,
    workspace: &Workspace,
) -> Result<PathBuf> {
    let token = workspace.write("token", account_token(client, account).await?)?;
    workspace.write("kubeconfig", kubeconfig(server, authority, Token::File(&token)))
}

/// A token of an account.
///
/// # Errors
/// The API server issues none.
pub async fn account_token(client: &Client, account: &str) -> Result<String> {
    let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
    request_token(client, account, spec).await
}

/// A token as the kubelet of `node` would give it to a pod of this account, with another audience than the API server's. Creates the pod.
///
/// # Errors
/// The API server refuses it.
pub async fn pod_token(client: &Client, account: &str, pod: &str, node: &str, audience: &str) -> Result<String> {
    let spec = json!({
        "metadata": { "name": pod },
        "spec": {
            "nodeName": node,
            "serviceAccountName": account,
            "containers": [{ "name": "main", "image": "none" }],
        },
    });
    let pods: Api<Pod> = Api::namespaced(client.clone(), ACCOUNT);
    let created = pods.create(&PostParams::default(), &serde_json::from_value(spec)?).await?;
    let bound = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: created.metadata.name,
        uid: created.metadata.uid,
    };
    let spec = TokenRequestSpec {
        audiences: Some(vec![audience.to_owned()]),
        bound_object_ref: Some(bound),
        expiration_seconds: Some(TOKEN_SECONDS),
        ..TokenRequestSpec::default()
    };
    request_token(client, account, spec).await
}

async fn request_token(client: &Client, account: &str, spec: TokenRequestSpec) -> Result<String> {
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), ACCOUNT);
    let granted = accounts.create_token_request(account, &PostParams::default(), &request).await;
    let granted = granted.with_context(|| format!("asking for a token of account {account}"))?;
    granted.status.and_then(|status| status.token).context("a granted TokenRequest has a token")
}

/// Deletes an account. From then on the API server refuses its tokens, once its cached authentication has expired.
///
/// # Errors
/// The API server refuses it.
pub async fn delete_account(client: &Client, account: &str) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), ACCOUNT);
    let deleted = accounts.delete(account, &DeleteParams::default()).await;
    deleted.with_context(|| format!("deleting account {account}")).map(drop)
}

/// Revokes what [`grant_cluster_role_to`] granted.
///
/// # Errors
/// The API server refuses it.
pub async fn revoke_cluster_role_of(client: &Client, account: &str) -> Result<()> {
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    let deleted = bindings.delete(account, &DeleteParams::default()).await;
    deleted.with_context(|| format!("taking the role of account {account} back")).map(drop)
}

/// The objects of a manifest that grant rights.
fn objects(manifest: &str) -> Result<Vec<Value>> {
    let text = fs::read_to_string(root().join(manifest)).with_context(|| format!("reading {manifest}"))?;
    let all: Vec<Value> = serde_saphyr::from_multiple(&text).with_context(|| format!("reading {manifest}"))?;
    Ok(all.into_iter().filter(|it| it["kind"].as_str().is_some_and(|kind| OF_ACCESS.contains(&kind))).collect())
}

/// Turns a shipped binding into one for another account. The rules do not change.
fn bound_to(account: &str, mut object: Value) -> Value {
    if object["kind"].as_str().is_some_and(|kind| kind.ends_with("Binding")) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().replacen(ACCOUNT, account, 1);
        object["metadata"]["name"] = json!(name);
        object["subjects"][0]["name"] = json!(account);
    }
    object
}

/// Creates or updates an object; `namespace` is for namespaced kinds that do not name one.
async fn apply(client: &Client, namespace: &str, object: Value) -> Result<()> {
    let all = client.clone();
    let own = object["metadata"]["namespace"].as_str().unwrap_or(namespace).to_owned();
    match object["kind"].as_str() {
        Some("Namespace") => apply_to::<Namespace>(Api::all(all), object).await,
        Some("ServiceAccount") => apply_to::<ServiceAccount>(Api::namespaced(all, &own), object).await,
        Some("ClusterRole") => apply_to::<ClusterRole>(Api::all(all), object).await,
        Some("ClusterRoleBinding") => apply_to::<ClusterRoleBinding>(Api::all(all), object).await,
        Some("Role") => apply_to::<Role>(Api::namespaced(all, &own), object).await,
        Some("RoleBinding") => apply_to::<RoleBinding>(Api::namespaced(all, &own), object).await,
        kind => bail!("a file of deploy/kubernetes holds a {kind:?}, which the tests cannot apply"),
    }
}

async fn apply_to<K>(api: Api<K>, object: Value) -> Result<()>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let name = object["metadata"]["name"].as_str().context("an object of deploy/kubernetes has no name")?.to_owned();
    api.patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object))
        .await
        .with_context(|| format!("applying {} {name}", object["kind"]))
        .map(drop)
}
