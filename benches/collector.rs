//! The daemon's end of the agents' streams, in this process. Every token is valid: it is the name of the node.

use anyhow::Result;
use bytes::Bytes;
use endpointlag::{
    cluster::{client::ApiClient, clock::Clock},
    collector::{Agents, AgentsPort, Collector, CollectorSettings},
};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{convert::Infallible, fs, net::SocketAddr, path::Path, sync::Arc};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

/// The file with the certificate.
pub const CA_FILE: &str = "ca.pem";

/// Listens for agents, and writes its certificate for `localhost` into the folder.
pub async fn listen(folder: &Path) -> Result<(SocketAddr, Arc<Agents>)> {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(folder.join(CA_FILE), pair.cert.pem())?;
    let mut tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![pair.cert.der().clone()],
            PrivateKeyDer::Pkcs8(pair.signing_key.serialize_der().into()),
        )?;
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = ApiClient::new(kube::Config::new(format!("http://{}", listener.local_addr()?).parse()?))?;
    tokio::spawn(review(listener));
    let settings = CollectorSettings { listen: "127.0.0.1:0".parse()?, account: "monitoring/agent".parse()? };
    let port = AgentsPort::bind(settings).await?;
    let address = port.address;
    let collector = Collector::new(port, TlsAcceptor::from(Arc::new(tls)), client, Clock::start());
    let agents = collector.agents();
    tokio::spawn(collector.run());
    Ok((address, agents))
}

/// Answers for each token that it belongs to an agent on the node of this name.
async fn review(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let answer = service_fn(|request: http::Request<Incoming>| async {
            let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let mut review: Value = serde_json::from_slice(&body).unwrap_or_default();
            let extra = json!({ "authentication.kubernetes.io/node-name": [review["spec"]["token"]] });
            let user = json!({ "username": "system:serviceaccount:monitoring:agent", "extra": extra });
            review["status"] = json!({ "authenticated": true, "audiences": ["endpointlag"], "user": user });
            Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(review.to_string()))))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}
