//! The agents on the nodes: what the DaemonSet may do, and that its agents and the daemon find each other.

use super::kubectl::Cluster;
use super::process::Container;
use super::rendered::contains;
use super::variants::{RELEASE, VARIANTS, Variant};
use anyhow::{Context, Result, bail, ensure};
use clap::{CommandFactory, Parser};
use endpointlag::agent::AgentSettings;
use endpointlag::config::{Cli, Command, RunSettings};
use endpointlag::dataplane::AUDIENCE;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::helm::Helm;

/// The variants with agents, and their DaemonSets.
fn variants() -> Result<Vec<(Variant, Value)>> {
    let mut all = Vec::new();
    for variant in VARIANTS {
        if let Some(daemon_set) = variant.agents(Helm::Four)? {
            all.push((variant, daemon_set));
        }
    }
    ensure!(all.len() == 2, "{} variants have agents", all.len());
    Ok(all)
}

/// The agent accepts its arguments and variables, and every flag can be set.
#[test]
fn the_agent_takes_the_arguments_and_has_no_others() -> Result<()> {
    let mut reached = BTreeSet::new();
    for (variant, daemon_set) in variants()? {
        let flags = Container::of(&daemon_set, 0)?.flags();
        agent(&flags).with_context(|| variant.name)?;
        reached.extend(flags.iter().filter_map(|it| Some(it.strip_prefix("--")?.split('=').next()?.to_owned())));
    }
    let mut command = Cli::command();
    command.build();
    let node = command.find_subcommand("node").context("node")?;
    let flags: BTreeSet<_> =
        node.get_arguments().filter(|flag| flag.get_env().is_some()).filter_map(|flag| flag.get_long()).collect();
    let mut reached: BTreeSet<_> = reached.iter().map(String::as_str).collect();
    // The token is where the agent expects it. An agent with a daemon prints nothing.
    reached.extend(["token-file", "output"]);
    ensure!(flags == reached, "flags {flags:?}, of which the variants set {reached:?}");
    Ok(())
}

/// The agent's host and port are a Service of the daemon's pod, and the daemon lets its account in.
#[test]
fn agents_and_daemon_find_each_other() -> Result<()> {
    for (variant, daemon_set) in variants()? {
        let (objects, daemon) = (variant.objects(Helm::Four)?, variant.daemon(Helm::Four)?);
        let uplink = agent(&Container::of(&daemon_set, 0)?.flags())?.uplink;
        let is_named = |it: &&Value| {
            let meta = &it["metadata"];
            let (name, namespace) = (meta["name"].as_str(), meta["namespace"].as_str());
            name.zip(namespace)
                .is_some_and(|(name, namespace)| uplink.daemon.host() == format!("{name}.{namespace}.svc"))
        };
        let service = objects.iter().filter(|it| it["kind"] == "Service").find(is_named);
        let service = service.with_context(|| format!("{}: no Service is {}", variant.name, uplink.daemon))?;
        ensure!(contains(&daemon["spec"]["template"]["metadata"]["labels"], &service["spec"]["selector"]), "{service}");
        ensure!(service["spec"]["type"] == "ClusterIP", "{service}");
        let port = &service["spec"]["ports"][0];
        ensure!(uplink.daemon.port_u16().map(Value::from).as_ref() == Some(&port["port"]), "{service}");

        let listening = run(&Container::of(&daemon, 0)?.flags())?.collector.context("the daemon listens to agents")?;
        let ports = daemon["spec"]["template"]["spec"]["containers"][0]["ports"].as_array().context("ports")?;
        let target = ports.iter().find(|it| it["name"] == port["targetPort"]).context("the port of the pod")?;
        ensure!(target["containerPort"] == listening.listen.port(), "{}: {target}", variant.name);
        let account = &daemon_set["spec"]["template"]["spec"]["serviceAccountName"];
        let account = account.as_str().context("an account")?;
        ensure!(listening.account == format!("{RELEASE}/{account}").parse()?, "{}: {account}", variant.name);
        let is_account = |it: &&Value| it["kind"] == "ServiceAccount" && it["metadata"]["name"] == account;
        ensure!(objects.iter().filter(is_account).count() == 1, "{}: {account}", variant.name);
    }
    Ok(())
}

#[test]
fn net_admin_is_the_only_right() -> Result<()> {
    for (variant, daemon_set) in variants()? {
        let pod = &daemon_set["spec"]["template"]["spec"];
        let containers = pod["containers"].as_array().context("containers")?;
        ensure!(containers.len() == 1 && pod.get("initContainers").is_none(), "{}: {pod}", variant.name);
        let expected = json!({
            "allowPrivilegeEscalation": false,
            "capabilities": { "add": ["NET_ADMIN"], "drop": ["ALL"] },
            "privileged": false,
            "readOnlyRootFilesystem": true,
        });
        ensure!(containers[0]["securityContext"] == expected, "{}: {}", variant.name, containers[0]);
        // Added capabilities have no effect for other users.
        ensure!(pod["securityContext"]["runAsUser"] == 0, "{}: {pod}", variant.name);
        ensure!(pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", "{}: {pod}", variant.name);
        ensure!(pod["hostNetwork"] == true && pod["dnsPolicy"] == "ClusterFirstWithHostNet", "{}: {pod}", variant.name);
        ensure!(pod.get("hostPID").is_none() && pod.get("hostIPC").is_none(), "{}: {pod}", variant.name);
        ensure!(pod["automountServiceAccountToken"] == false, "{}: {pod}", variant.name);
        let account = &pod["serviceAccountName"];
        let bound = variant.objects(Helm::Four)?.into_iter().any(|it| {
            it["subjects"].as_array().is_some_and(|subjects| subjects.iter().any(|it| it["name"] == *account))
        });
        ensure!(!bound, "{}: {account} has a role", variant.name);
    }
    Ok(())
}

/// The agent's files are in its volumes, and the daemon's private key is not.
#[test]
fn the_token_is_for_the_daemon_and_the_ca_comes_without_a_key() -> Result<()> {
    for (variant, daemon_set) in variants()? {
        let uplink = agent(&Container::of(&daemon_set, 0)?.flags())?.uplink;
        let pod = &daemon_set["spec"]["template"]["spec"];
        let mounts = pod["containers"][0]["volumeMounts"].as_array().context("mounts")?;
        let volumes = pod["volumes"].as_array().context("volumes")?;
        let place = |volume: &str| -> Result<&str> {
            let mount = mounts.iter().find(|it| it["name"] == volume).context("a mount")?;
            mount["mountPath"].as_str().context("a path")
        };
        let [token, ca] = volumes.as_slice() else { bail!("{}: {volumes:?}", variant.name) };
        let sources = json!([
            { "serviceAccountToken": { "audience": AUDIENCE, "expirationSeconds": 3600, "path": "token" } }
        ]);
        ensure!(token["projected"]["sources"] == sources, "{}: {token}", variant.name);
        ensure!(uplink.token_file.to_str() == Some(&format!("{}/token", place("token")?)), "{:?}", uplink.token_file);

        let items = json!([{ "key": "ca.crt", "path": "ca.crt" }]);
        let expected = match variant.name {
            "agents" => json!({ "name": "ca", "secret": { "secretName": "endpointlag-tls", "items": items } }),
            _ => json!({ "name": "ca", "configMap": { "name": "internal-ca", "items": items } }),
        };
        ensure!(*ca == expected, "{}: {ca}", variant.name);
        let ca_file = uplink.ca_file.context("a CA")?;
        ensure!(ca_file.to_str() == Some(&format!("{}/ca.crt", place("ca")?)), "{ca_file:?}");
    }
    Ok(())
}

/// Otherwise a Service would send requests for the daemon to the agents.
#[test]
fn agents_are_not_taken_for_daemons() -> Result<()> {
    for (variant, daemon_set) in variants()? {
        let labels = &daemon_set["spec"]["template"]["metadata"]["labels"];
        ensure!(contains(labels, &daemon_set["spec"]["selector"]["matchLabels"]), "{}: {labels}", variant.name);
        for object in variant.objects(Helm::Four)?.iter().filter(|it| it["kind"] != "DaemonSet") {
            let spec = &object["spec"];
            for selector in [&spec["selector"], &spec["selector"]["matchLabels"], &spec["podSelector"]["matchLabels"]] {
                ensure!(!contains(labels, selector), "{}: {object} selects agents", variant.name);
            }
        }
    }
    Ok(())
}

/// The kubelet asks where the agent listens.
#[test]
fn the_probes_reach_the_agent() -> Result<()> {
    for (variant, daemon_set) in variants()? {
        let listen = agent(&Container::of(&daemon_set, 0)?.flags())?.listen;
        let container = &daemon_set["spec"]["template"]["spec"]["containers"][0];
        let expected = json!([{ "name": "metrics", "containerPort": listen.port() }]);
        ensure!(container["ports"] == expected, "{}: {}", variant.name, container["ports"]);
        // By default the kubelet uses the address of the node, which an agent on a loopback address does not have.
        let host = if listen.ip().is_unspecified() { Value::Null } else { listen.ip().to_string().into() };
        for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
            let get = &container[probe]["httpGet"];
            ensure!(get["port"] == "metrics" && get["path"] == path && get["host"] == host, "{}: {get}", variant.name);
        }
    }
    Ok(())
}

/// Nodes are no pods, so a rule for agents has addresses or nothing.
#[test]
fn the_network_policy_lets_nodes_in() -> Result<()> {
    let (tls, agents) = ("--set=tls.secretName=tls,networkPolicy.enabled=true", "--set=agents.enabled=true");
    let nodes = "--set=networkPolicy.agents[0].ipBlock.cidr=192.0.2.0/24";
    let rule = json!({ "ports": [{ "port": "agents" }] });
    let limited = json!({ "ports": [{ "port": "agents" }], "from": [{ "ipBlock": { "cidr": "192.0.2.0/24" } }] });
    for (flags, expected) in [(&[tls][..], None), (&[tls, agents], Some(rule)), (&[tls, agents, nodes], Some(limited))]
    {
        let objects = Helm::Four.objects(RELEASE, RELEASE, flags)?;
        let policy = objects.iter().find(|it| it["kind"] == "NetworkPolicy").context("the policy")?;
        ensure!(policy["spec"]["ingress"].get(1) == expected.as_ref(), "{flags:?}: {policy}");
    }
    Ok(())
}

/// The pods are admitted in a privileged namespace, and only there.
#[tokio::test]
async fn agents_need_a_privileged_namespace() -> Result<()> {
    let cluster = Cluster::shared().await?;
    cluster.create_namespace("restricted")?;
    cluster.create_namespace("privileged")?;
    let label = "pod-security.kubernetes.io/enforce=privileged";
    cluster.kubectl(&["label", "--overwrite", "namespace", "privileged", label])?;
    for (variant, daemon_set) in variants()? {
        let template = &daemon_set["spec"]["template"];
        cluster.admit("privileged", template).with_context(|| variant.name)?;
        let refused = cluster.admit("restricted", template).err().context("an agent in a restricted namespace")?;
        ensure!(format!("{refused:#}").contains("violates PodSecurity"), "{refused:#}");
    }
    Ok(())
}

fn agent(flags: &[String]) -> Result<AgentSettings> {
    let Some(Command::Node(node)) = parse(flags)?.command else { bail!("not `node`") };
    node.settings()?.1.context("it has a daemon")
}

fn run(flags: &[String]) -> Result<RunSettings> {
    let Some(Command::Run(run)) = parse(flags)?.command else { bail!("not `run`") };
    Ok(run.settings()?)
}

fn parse(flags: &[String]) -> Result<Cli> {
    Ok(Cli::try_parse_from(["endpointlag"].into_iter().chain(flags.iter().map(String::as_str)))?)
}
