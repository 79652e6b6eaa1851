//! Signs of data planes that do not use nf_tables. They cannot be watched, but their presence can be reported.

use super::observation::Unseen;
use std::fs;

/// The device that each of them creates on a node.
const DEVICES: [(&str, Unseen); 3] = [
    // It has all clusterIPs.
    ("kube-ipvs0", Unseen::Ipvs),
    ("cilium_host", Unseen::Cilium),
    ("bpfin.cali", Unseen::CalicoEbpf),
];

/// Where the kernel lists the tables of the legacy variant of iptables.
const LEGACY_TABLES: [&str; 2] = ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"];

/// Looks for signs in this process's network namespace.
pub(crate) fn look() -> Vec<Unseen> {
    // A file that cannot be read does not exist: the kernel does not have that part.
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    signs(LEGACY_TABLES.map(read).each_ref().map(|it| &**it), &read("/proc/net/dev"))
}

fn signs(legacy_tables: [&str; 2], devices: &str) -> Vec<Unseen> {
    let legacy = legacy_tables.iter().any(|tables| tables.lines().any(|table| table == "nat"));
    let devices = devices.lines().filter_map(|line| {
        let (device, _) = line.split_once(':')?;
        DEVICES.iter().find(|(name, _)| *name == device.trim()).map(|(_, unseen)| *unseen)
    });
    legacy.then_some(Unseen::IptablesLegacy).into_iter().chain(devices).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_tables_and_devices() {
        let devices = "Inter-|   Receive\n face |bytes\n    lo: 1 2\ncilium_host: 3 4\n  kube-ipvs0: 0 0\n";
        assert_eq!(signs(["nat\nfilter\n", ""], devices), [Unseen::IptablesLegacy, Unseen::Cilium, Unseen::Ipvs]);
        assert_eq!(signs(["filter\n", ""], "    lo: 1 2\n  cilium_host0: 1 2\n"), []);
    }
}
