//! The control plane's programs, from the module `go/controlplane`.

use crate::gobuild::{Module, Program, version};
use anyhow::Result;
use std::path::PathBuf;

/// The module file decides the versions, and so the folder in the cache.
const GO_MOD: &str = include_str!("../../go/controlplane/go.mod");

/// A program of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// The store, and the only source of resource versions.
    Etcd,
    /// The API server.
    ApiServer,
    /// Contains the EndpointSlice controller.
    ControllerManager,
    /// The tool with which people apply manifests.
    Kubectl,
    /// Writes Services into the kernel of a node.
    KubeProxy,
}

impl Binary {
    /// File name in the cache.
    pub fn name(self) -> &'static str {
        self.program().name
    }

    fn program(self) -> Program {
        let (name, package) = match self {
            Self::Etcd => ("etcd", "go.etcd.io/etcd/server/v3"),
            Self::ApiServer => ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            Self::ControllerManager => ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
            Self::Kubectl => ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
            Self::KubeProxy => ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
        };
        Program { name, package }
    }
}

/// Where each program of a control plane is.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Finds the programs, and builds those that are not in the cache yet.
    ///
    /// # Errors
    /// As for [`Module::build`].
    pub fn get(wanted: &[Binary]) -> Result<Self> {
        let (kubernetes, etcd) = (version(GO_MOD, "k8s.io/kubernetes")?, version(GO_MOD, "go.etcd.io/etcd/server/v3")?);
        // Without the version string the API server calls itself v0.0.0-master and clients refuse it.
        let linker = format!("-ldflags=-s -w -X k8s.io/component-base/version.gitVersion={kubernetes}");
        let module = Module {
            folder: concat!(env!("CARGO_MANIFEST_DIR"), "/go/controlplane"),
            topic: "controlplane",
            key: format!("kubernetes-{kubernetes}-etcd-{etcd}"),
            flags: vec![linker],
        };
        let wanted: Vec<_> = wanted.iter().map(|binary| binary.program()).collect();
        Ok(Self { folder: module.build(&wanted)? })
    }

    /// The program's file.
    pub fn path(&self, binary: Binary) -> PathBuf {
        self.folder.join(binary.name())
    }
}
