//! A real Kubernetes control plane for the tests: etcd, kube-apiserver and kube-controller-manager as processes on
//! loopback ports, built from source in the version that `go/controlplane/go.mod` names.
//!
//! There is no kubelet and no scheduler. [`objects`] does their work, so a test decides when a pod is Ready. Everything
//! else that the daemon sees is written by the real EndpointSlice controller and served by the real API server.

pub mod access;
pub mod binaries;
mod component;
pub mod credentials;
pub mod objects;
pub mod plane;
