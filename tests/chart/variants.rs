//! The choices of users: the values with which the chart is checked.

use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;
use testkit::helm::Helm;
use testkit::root;

/// Name and namespace of the release of all checks.
pub const RELEASE: &str = "endpointlag";

/// A choice of values.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Its description.
    pub name: &'static str,
    /// Helm's flags for it.
    pub flags: &'static [&'static str],
}

const TLS: &str = "--set=tls.secretName=endpointlag-tls";

/// Each choice that makes an object, or changes one.
pub const VARIANTS: [Variant; 21] = [
    Variant { name: "default", flags: &[] },
    Variant { name: "replicas", flags: &["--set=replicas=2"] },
    Variant { name: "shards", flags: &["--set=shards=3", "--set=service.type=LoadBalancer"] },
    Variant { name: "namespaces", flags: &["--set=namespaces={shop,bank}"] },
    Variant { name: "left-out", flags: &["--set=excludeNamespaces={kube-system,kube-node-lease}"] },
    Variant { name: "tls", flags: &[TLS] },
    Variant {
        name: "auth",
        flags: &[
            TLS,
            "--set=probePort=10912,auth.kind=kubernetes",
            "--set=auth.readers[0].namespace=monitoring,auth.readers[0].name=prometheus",
        ],
    },
    Variant {
        name: "service-monitor",
        flags: &[
            "--set=serviceMonitor.enabled=true,serviceMonitor.interval=30s,serviceMonitor.labels.release=prometheus",
        ],
    },
    Variant {
        name: "guarded-service-monitor",
        flags: &[TLS, "--set=auth.kind=kubernetes,serviceMonitor.enabled=true,serviceMonitor.classicHistograms=false"],
    },
    Variant {
        name: "guarded-pod-monitor",
        flags: &[
            TLS,
            "--set=auth.kind=kubernetes,podMonitor.enabled=true,podMonitor.tlsConfig.insecureSkipVerify=true",
            "--set=podMonitor.authorization.credentials.name=reader,podMonitor.authorization.credentials.key=token",
            "--set-json=podMonitor.relabelings=[{\"targetLabel\":\"cluster\",\"replacement\":\"east\"}]",
        ],
    },
    Variant { name: "rules", flags: &["--set=prometheusRule.enabled=true"] },
    Variant {
        name: "dashboards",
        flags: &["--set=dashboards.enabled=true,dashboards.annotations.grafana_folder=Kubernetes"],
    },
    Variant {
        name: "network-policy",
        flags: &[
            "--set=networkPolicy.enabled=true,networkPolicy.apiServer[0].ipBlock.cidr=192.0.2.10/32",
            "--set=networkPolicy.from[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=monitoring",
        ],
    },
    Variant {
        name: "disruption-budget",
        flags: &["--set=podDisruptionBudget.enabled=true,podDisruptionBudget.maxUnavailable=50%"],
    },
    Variant {
        name: "daemon",
        flags: &[
            "--set=objective=1500ms,expiry=1h30m,podStartup=true,histogram=cluster-only,maxServices=20000,seriesIdle=2d,watchIdleTimeout=5m,watchProtocol=http1",
            "--set=samples=true,log.format=json,log.level=info\\,endpointlag::cluster=debug,listenAddress=::",
            "--set-json=buckets=[0.01,0.1,1,10]",
            "--set=extraArgs={--hdr-log=/data/delays.hlog,--hdr-log-interval=1m}",
            "--set-json=extraVolumes=[{\"name\":\"data\",\"emptyDir\":{}}]",
            "--set-json=extraVolumeMounts=[{\"name\":\"data\",\"mountPath\":\"/data\"}]",
            "--set-json=extraEnv=[{\"name\":\"HTTPS_PROXY\",\"value\":\"http://proxy.example.org:3128\"}]",
        ],
    },
    Variant {
        name: "pods",
        flags: &[
            "--set=replicas=3,priorityClassName=system-cluster-critical,nodeSelector.disk=ssd,podLabels.team=platform",
            "--set=podAnnotations.note=text,tolerations[0].operator=Exists,imagePullSecrets[0].name=registry",
            "--set-json=affinity={\"nodeAffinity\":{}}",
            "--set=image.digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ],
    },
    Variant { name: "advice", flags: &["--set=advice.enabled=true"] },
    Variant {
        name: "advice-in-namespaces",
        flags: &["--set=advice.enabled=true,advice.interval=1h,namespaces={shop,bank}"],
    },
    Variant { name: "agents", flags: &[TLS, "--set=agents.enabled=true"] },
    Variant {
        name: "agents-settings",
        flags: &[
            TLS,
            "--set=auth.kind=kubernetes,probePort=10914,namespaces={shop},listenAddress=::,log.format=json",
            "--set=agents.enabled=true,agents.visibleSlo=true,agents.port=20912,agents.listenAddress=::,agents.listenPort=20913",
            "--set=agents.caConfigMap=internal-ca,agents.priorityClassName=system-node-critical",
            "--set=agents.serviceAccount.name=node-agent,agents.serviceAccount.annotations.note=text",
            "--set=agents.podLabels.team=platform,agents.podAnnotations.note=text,agents.nodeSelector.disk=ssd",
            "--set=agents.updateStrategy.rollingUpdate.maxUnavailable=1,agents.extraArgs={--receive-buffer=67108864}",
            "--set-json=agents.affinity={\"nodeAffinity\":{}}",
            "--set=networkPolicy.enabled=true,networkPolicy.agents[0].ipBlock.cidr=192.0.2.0/24",
        ],
    },
    Variant {
        name: "names",
        flags: &["--set=fullnameOverride=lag,serviceAccount.create=false,serviceAccount.name=other,rbac.create=false"],
    },
];

impl Variant {
    /// Its objects.
    ///
    /// # Errors
    /// Helm does not render it.
    pub fn objects(&self, helm: Helm) -> Result<Vec<Value>> {
        helm.objects(RELEASE, RELEASE, self.flags)
    }

    /// Its Deployment or StatefulSet.
    ///
    /// # Errors
    /// As for [`Self::objects`], or it has none.
    pub fn daemon(&self, helm: Helm) -> Result<Value> {
        let is_daemon = |object: &Value| object["kind"] == "Deployment" || object["kind"] == "StatefulSet";
        self.objects(helm)?.into_iter().find(is_daemon).with_context(|| self.name)
    }

    /// Its DaemonSet, if it has agents.
    ///
    /// # Errors
    /// As for [`Self::objects`].
    pub fn agents(&self, helm: Helm) -> Result<Option<Value>> {
        Ok(self.objects(helm)?.into_iter().find(|object| object["kind"] == "DaemonSet"))
    }
}

/// Each variant and each file of `deploy/kubernetes` as text, by name.
///
/// # Errors
/// Helm does not render one.
pub fn manifests() -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for variant in VARIANTS {
        all.push((variant.name.to_owned(), Helm::Four.template(RELEASE, RELEASE, variant.flags)?));
    }
    for entry in fs::read_dir(root().join("deploy/kubernetes"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        all.push((name, fs::read_to_string(&path)?));
    }
    Ok(all)
}
