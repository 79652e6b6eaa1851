//! All routes. A module adds its own here.

use super::{
    admission::{self, Access},
    api,
    http_metrics::HttpMetrics,
    metrics, page, probes,
    sources::Sources,
    tls::TlsHealth,
};
use crate::logging::on_one_line;
use axum::{Router, middleware::from_fn_with_state};
use http::StatusCode;
use std::sync::Arc;

/// The routes of a daemon.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    /// The probes of the kubelet.
    probes: Router,
    /// Everything else.
    rest: Router,
}

/// Paths whose counts of requests start at zero.
pub(super) fn paths() -> Vec<&'static str> {
    [&probes::PATHS[..], &metrics::PATHS, &page::PATHS, &api::PATHS].concat()
}

// === impl Routes ===

impl Routes {
    /// Routes of a daemon that measures.
    pub(super) fn measuring(sources: &Sources, tls: Option<Arc<TlsHealth>>, http_metrics: Arc<HttpMetrics>) -> Self {
        let rest = Router::new()
            .merge(metrics::router(sources, tls, http_metrics))
            .merge(page::router())
            .merge(api::router(sources))
            .fallback(page::NOT_HERE);
        Self { probes: probes::router(&sources.watches), rest }
    }

    /// Routes of a daemon that does not measure yet. `what` says why.
    pub(super) fn awaiting(what: &str) -> Self {
        let rest = Router::new().fallback(probes::not_synced(&format!("{}\n", on_one_line(what))));
        Self { probes: probes::awaiting(what), rest }
    }

    /// The routes of a port, with its access rules.
    pub(super) fn of_port(self, access: Access, http_metrics: Arc<HttpMetrics>) -> Router {
        // Before any layer, because the layers would not apply to it otherwise.
        let [probes, rest] =
            [self.probes, self.rest].map(|router| router.method_not_allowed_fallback(async || ONLY_GET_AND_HEAD));
        let rest = admission::in_turn(rest);
        let router = match access {
            Access::All { hosts: None } => rest.merge(probes),
            Access::All { hosts: Some(hosts) } => admission::by_name(rest, hosts).merge(probes),
            Access::Guarded { authorizer, open_probes: true } => admission::guarded(rest, authorizer).merge(probes),
            Access::Guarded { authorizer, open_probes: false } => admission::guarded(rest.merge(probes), authorizer),
            Access::Probes => probes.fallback(ONLY_PROBES),
        };
        admission::without_bodies(router).layer(from_fn_with_state(http_metrics, HttpMetrics::count))
    }
}

/// The route itself adds the header with the allowed methods.
const ONLY_GET_AND_HEAD: (StatusCode, &str) = (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");

const ONLY_PROBES: (StatusCode, &str) = (StatusCode::NOT_FOUND, "only /healthz and /readyz are here\n");

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http::{HeaderMap, Method, Request, header};
    use http_body_util::BodyExt;
    use tower::Service;

    /// The received answer.
    struct Answer {
        status: u16,
        headers: HeaderMap,
        body: String,
    }

    /// Routes of a daemon that no longer measures.
    fn measuring(http_metrics: &Arc<HttpMetrics>) -> Router {
        let routes = Routes::measuring(&Sources::ended(), None, http_metrics.clone());
        routes.of_port(Access::All { hosts: None }, http_metrics.clone())
    }

    async fn ask(router: &Router, method: Method, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
        let Ok(answer) = router.clone().call(request).await;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body.into()).expect("text"),
        }
    }

    #[tokio::test]
    async fn every_path_that_is_counted_from_zero_is_a_route() {
        let router = measuring(&Arc::default());
        for path in paths() {
            let path = path.replace("{*file}", "page.js");
            assert_ne!(ask(&router, Method::GET, &path).await.status, 404, "{path}");
        }
    }

    #[tokio::test]
    async fn a_request_is_counted_by_its_route() {
        let http_metrics = Arc::new(HttpMetrics::new(paths()));
        let router = measuring(&http_metrics);
        for path in
            ["/page/page.js", "/page/style.css", "/page/nothing", "/nowhere", "/api/v1/nothing", "/api/v1/history?a=b"]
        {
            ask(&router, Method::GET, path).await;
        }
        let counts = http_metrics.counts().requests;
        let counted: Vec<_> = counts.iter().filter(|(.., count)| *count > 0).collect();
        let counted: Vec<_> = counted.iter().map(|(path, code, count)| (path.as_str(), *code, *count)).collect();
        let expected =
            [("/api/v1/history", 400, 1), ("/page/{*file}", 200, 2), ("/page/{*file}", 404, 1), ("other", 404, 2)];
        assert_eq!(counted, expected);
    }

    #[tokio::test]
    async fn what_is_not_there_and_what_is_not_understood_is_said() {
        let router = measuring(&Arc::default());
        for path in ["/nowhere", "/page/nothing.js", "/metrics/", "/healthz/"] {
            let answer = ask(&router, Method::GET, path).await;
            assert_eq!((answer.status, &*answer.body), (404, "not here; / shows what is\n"), "{path}");
        }
        for path in ["/api/v1/nothing", "/api/v1/"] {
            let answer = ask(&router, Method::GET, path).await;
            assert!(answer.status == 404 && answer.body.contains("/api/v1/ has overview"), "{path}: {}", answer.body);
        }
        let answer = ask(&router, Method::GET, "/api/v1/services?limit=-1").await;
        let error = r#"{"error":"limit=\"-1\": write a whole number from 0 to 100000"}"#;
        assert_eq!((answer.status, &*answer.body), (400, error));
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    }

    #[tokio::test]
    async fn only_get_and_head_are_answered() {
        let router = measuring(&Arc::default());
        for path in ["/metrics", "/healthz", "/", "/api/v1/services"] {
            let answer = ask(&router, Method::POST, path).await;
            assert_eq!((answer.status, &*answer.body), (405, "only GET and HEAD\n"), "{path}");
            assert_eq!(answer.headers[header::ALLOW], "GET,HEAD");
        }
        let (get, head) = (ask(&router, Method::GET, "/").await, ask(&router, Method::HEAD, "/").await);
        assert_eq!((head.status, &*head.body), (200, ""));
        assert_eq!(head.headers, get.headers);
        assert_eq!(head.headers[header::CONTENT_LENGTH], get.body.len().to_string());
    }

    #[tokio::test]
    async fn a_daemon_that_waits_lives_and_is_not_ready() {
        let routes = Routes::awaiting("waiting for\ncredentials");
        let main = routes.clone().of_port(Access::All { hosts: None }, Arc::default());
        let probes = routes.of_port(Access::Probes, Arc::default());
        for router in [&main, &probes] {
            assert_eq!(ask(router, Method::GET, "/healthz").await.status, 200);
            let ready = ask(router, Method::GET, "/readyz").await;
            assert!(ready.status == 503 && ready.body.starts_with("not synced:\nwaiting for"), "{}", ready.body);
            assert_eq!(ready.body.lines().count(), 2, "{}", ready.body);
        }
        assert_eq!(ask(&main, Method::GET, "/metrics").await.status, 503);
        assert_eq!(ask(&probes, Method::GET, "/metrics").await.status, 404);
    }
}
