//! The chart and the manifests, held by Helm, by schemas and by a real API server.
