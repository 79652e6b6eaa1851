//! What the kernel's own tools show of its rules, read without any code of the agent.

use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use testkit::namespace::Namespace;
use testkit::node::Mode;

/// The endpoints that a frontend over TCP leads to.
///
/// # Errors
/// A tool fails, or its output is not understood.
pub fn endpoints(namespace: &Namespace, mode: Mode, target: SocketAddr) -> Result<BTreeSet<SocketAddr>> {
    match mode {
        Mode::Nftables => nftables(namespace, target),
        Mode::Iptables => iptables(namespace, target),
    }
}

fn nftables(namespace: &Namespace, target: SocketAddr) -> Result<BTreeSet<SocketAddr>> {
    let family = if target.is_ipv4() { "ip" } else { "ip6" };
    let text = namespace.run("nft", &["-j", "list", "table", family, "kube-proxy"])?;
    let all: Value = serde_json::from_str(&text)?;
    let all = all["nftables"].as_array().context("objects")?;
    let services = all.iter().find(|it| it["map"]["name"] == "service-ips").context("the map service-ips")?;
    let key = serde_json::json!([target.ip(), "tcp", target.port()]);
    let elements = services["map"]["elem"].as_array().into_iter().flatten();
    let Some(chain) = elements.filter(|it| it[0]["concat"] == key).map(|it| &it[1]["goto"]["target"]).next() else {
        return Ok(BTreeSet::new());
    };
    let rules_of = |chain: &Value| {
        let rules = all.iter().filter(|it| it["rule"]["chain"] == *chain);
        rules.map(|it| it["rule"]["expr"].clone()).collect::<Vec<_>>()
    };
    let mut rules = rules_of(chain);
    // With sessionAffinity each endpoint has its own chain.
    let mut next = Vec::new();
    rules.iter().for_each(|rule| gotos(rule, &mut next));
    next.iter().for_each(|chain| rules.extend(rules_of(chain)));
    let mut endpoints = BTreeSet::new();
    for dnat in rules.iter().filter_map(|it| it.as_array()).flatten().map(|it| &it["dnat"]).filter(|it| !it.is_null()) {
        match dnat["addr"]["map"]["data"]["set"].as_array() {
            Some(set) => {
                for element in set {
                    let [address, port] = [&element[1]["concat"][0], &element[1]["concat"][1]];
                    endpoints.insert(endpoint(address, port)?);
                }
            }
            None => drop(endpoints.insert(endpoint(&dnat["addr"], &dnat["port"])?)),
        }
    }
    Ok(endpoints)
}

/// The chains that a rule leads to, directly or through a map in it.
fn gotos(value: &Value, chains: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => {
            chains.extend(fields.get("goto").map(|goto| goto["target"].clone()));
            fields.values().for_each(|it| gotos(it, chains));
        }
        Value::Array(values) => values.iter().for_each(|it| gotos(it, chains)),
        _ => {}
    }
}

fn endpoint(address: &Value, port: &Value) -> Result<SocketAddr> {
    let address: IpAddr = address.as_str().context("an address")?.parse()?;
    Ok(SocketAddr::new(address, u16::try_from(port.as_u64().context("a port")?)?))
}

fn iptables(namespace: &Namespace, target: SocketAddr) -> Result<BTreeSet<SocketAddr>> {
    let (program, length) = if target.is_ipv4() { ("iptables-save", 32) } else { ("ip6tables-save", 128) };
    let text = namespace.run(program, &["-t", "nat"])?;
    let after = |line: &str, flag: &str| {
        let mut words = line.split(' ').skip_while(|word| *word != flag);
        words.nth(1).map(str::to_owned)
    };
    let rules = |chain: &str| {
        let start = format!("-A {chain} ");
        text.lines().filter(move |line| line.starts_with(&start)).map(str::to_owned).collect::<Vec<_>>()
    };
    let (address, port) = (format!("{}/{length}", target.ip()), target.port().to_string());
    let service = rules("KUBE-SERVICES")
        .into_iter()
        .find(|line| after(line, "-d") == Some(address.clone()) && after(line, "--dport") == Some(port.clone()));
    let Some(chain) = service.and_then(|line| after(&line, "-j")) else { return Ok(BTreeSet::new()) };
    let targets =
        rules(&chain).into_iter().filter_map(|line| after(&line, "-j")).filter(|it| it.starts_with("KUBE-SEP-"));
    let endpoints = targets.flat_map(|chain| rules(&chain)).filter_map(|line| after(&line, "--to-destination"));
    endpoints.map(|endpoint| endpoint.parse().context(endpoint)).collect()
}
