use super::*;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{collections::BTreeSet, convert::Infallible, sync::Arc};
use tokio::{net::TcpListener, task::JoinHandle};

const SECOND: Duration = Duration::from_secs(1);

/// What the API server knows, and how often it was asked.
#[derive(Default)]
struct Cluster {
    /// The tokens. They are also the users' names.
    users: BTreeSet<&'static str>,
    /// Who may get /metrics.
    readers: BTreeSet<&'static str>,
    /// Numbers of reviews of tokens and of access.
    asked: (usize, usize),
    /// It refuses to review.
    forbids: bool,
}

/// An API server that reviews, and an authorizer that asks it.
struct Scene {
    cluster: Arc<Mutex<Cluster>>,
    authorizer: Authorizer,
    server: JoinHandle<()>,
}

impl Scene {
    async fn start() -> Self {
        let cluster = Cluster { users: ["ann", "bob"].into(), readers: ["ann"].into(), ..Cluster::default() };
        let cluster = Arc::new(Mutex::new(cluster));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("free");
        let address = listener.local_addr().expect("bound");
        let server = tokio::spawn(serve(listener, cluster.clone()));
        let url = format!("http://{address}").parse().expect("an address");
        let client = ApiClient::new(kube::Config::new(url)).expect("a client");
        Self { cluster, authorizer: Authorizer::new(client), server }
    }

    async fn get(&self, token: &str, now: Instant) -> Result<(), Refusal> {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
        self.authorizer.check(&Method::GET, "/metrics", &headers, now).await
    }

    fn asked(&self) -> (usize, usize) {
        self.cluster.lock().asked
    }

    fn change(&self, change: impl FnOnce(&mut Cluster)) {
        change(&mut self.cluster.lock());
    }
}

async fn serve(listener: TcpListener, cluster: Arc<Mutex<Cluster>>) {
    // Its connections end with this task.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let cluster = cluster.clone();
        let review = service_fn(move |request: Request<Incoming>| {
            let cluster = cluster.clone();
            async move {
                let body = request.into_body().collect().await.expect("a body").to_bytes();
                let review = serde_json::from_slice(&body).expect("JSON");
                Ok::<_, Infallible>(cluster.lock().review(review))
            }
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), review));
    }
}

impl Cluster {
    fn review(&mut self, mut review: Value) -> Response<Full<Bytes>> {
        let spec = review["spec"].clone();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let status = if review["kind"] == "TokenReview" {
            self.asked.0 += 1;
            match self.users.get(text(&spec["token"]).as_str()) {
                Some(user) => json!({ "authenticated": true, "user": { "username": user, "groups": ["all"] } }),
                None => json!({ "error": "invalid bearer token" }),
            }
        } else {
            self.asked.1 += 1;
            let attributes = &spec["nonResourceAttributes"];
            let asks =
                attributes["path"] == "/metrics" && attributes["verb"] == "get" && spec["groups"] == json!(["all"]);
            json!({ "allowed": asks && self.readers.contains(text(&spec["user"]).as_str()) })
        };
        review["status"] = status;
        let mut answer = Response::new(Full::new(review.to_string().into()));
        *answer.status_mut() = if self.forbids { StatusCode::FORBIDDEN } else { StatusCode::CREATED };
        answer
    }
}

fn forbidden(user: &str, verb: &str, path: &str) -> Refusal {
    Refusal::Forbidden { user: user.to_owned(), verb: verb.to_owned(), path: path.to_owned() }
}

#[tokio::test]
async fn who_has_the_right_gets_in_and_nobody_else() {
    let (scene, now) = (Scene::start().await, Instant::now());
    assert_eq!(scene.get("ann", now).await, Ok(()));
    assert_eq!(scene.get("bob", now).await, Err(forbidden("bob", "get", "/metrics")));
    assert_eq!(scene.get("eve", now).await, Err(Refusal::BadToken));
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("bearer  ann "))]);
    let authorizer = &scene.authorizer;
    assert_eq!(authorizer.check(&Method::GET, "/metrics", &headers, now).await, Ok(()));
    let other = authorizer.check(&Method::GET, "/", &headers, now).await;
    assert_eq!(other, Err(forbidden("ann", "get", "/endpointlag/")));
    let other = authorizer.check(&Method::GET, "/api/v1/overview", &headers, now).await;
    assert_eq!(other, Err(forbidden("ann", "get", "/endpointlag/api/v1/overview")));
    let other = authorizer.check(&Method::HEAD, "/metrics", &headers, now).await;
    assert_eq!(other, Err(forbidden("ann", "head", "/metrics")));
}

#[tokio::test]
async fn without_a_token_nobody_is_asked() {
    let (scene, now) = (Scene::start().await, Instant::now());
    for value in ["", "Bearer", "Bearer ", "Basic YW5uOmFubg==", "ann"] {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
        let checked = scene.authorizer.check(&Method::GET, "/metrics", &headers, now).await;
        assert_eq!(checked, Err(Refusal::NoToken), "{value:?}");
    }
    let checked = scene.authorizer.check(&Method::GET, "/metrics", &HeaderMap::new(), now).await;
    assert_eq!(checked, Err(Refusal::NoToken));
    assert_eq!(scene.asked(), (0, 0));
}

#[tokio::test]
async fn answers_hold_for_their_time() {
    let (scene, now) = (Scene::start().await, Instant::now());
    for after in [0, 30, 59] {
        assert_eq!(scene.get("ann", now + after * SECOND).await, Ok(()));
    }
    assert_eq!(scene.asked(), (1, 1));
    assert_eq!(scene.get("ann", now + 60 * SECOND).await, Ok(()));
    assert_eq!(scene.asked(), (2, 1), "who it is holds for a minute, what they may for five");

    scene.change(|cluster| cluster.readers = ["bob"].into());
    assert_eq!(scene.get("ann", now + 299 * SECOND).await, Ok(()));
    assert!(scene.get("ann", now + 300 * SECOND).await.is_err(), "the right was taken away");

    scene.change(|cluster| cluster.readers = ["ann"].into());
    assert!(scene.get("ann", now + 329 * SECOND).await.is_err());
    assert_eq!(scene.get("ann", now + 330 * SECOND).await, Ok(()), "and given back");

    scene.change(|cluster| cluster.users.clear());
    assert_eq!(scene.get("ann", now + 358 * SECOND).await, Ok(()));
    assert_eq!(scene.get("ann", now + 359 * SECOND).await, Err(Refusal::BadToken), "the token was revoked");
}

#[tokio::test]
async fn tried_tokens_push_no_user_out() {
    let (scene, now) = (Scene::start().await, Instant::now());
    assert_eq!(scene.get("ann", now).await, Ok(()));
    for number in 0..KEPT + 10 {
        assert_eq!(scene.get(&format!("try-{number}"), now).await, Err(Refusal::BadToken));
    }
    let asked = scene.asked();
    assert_eq!(scene.get("ann", now).await, Ok(()));
    assert_eq!(scene.asked(), asked);
}

#[tokio::test]
async fn of_many_at_once_few_ask() {
    let (scene, now) = (Scene::start().await, Instant::now());
    let all = futures::future::join_all((0..200).map(|_| scene.get("ann", now))).await;
    assert!(all.iter().all(Result::is_ok));
    assert!(scene.asked().0 <= ASKING, "{:?}", scene.asked());
}

#[tokio::test]
async fn without_an_answer_only_the_known_get_in() {
    let (mut scene, now) = (Scene::start().await, Instant::now());
    assert_eq!(scene.get("ann", now).await, Ok(()));
    scene.change(|cluster| cluster.forbids = true);
    assert_eq!(scene.get("bob", now).await, Err(Refusal::Unanswered), "the daemon may not ask");
    scene.server.abort();
    let _ = (&mut scene.server).await;
    assert_eq!(scene.get("bob", now).await, Err(Refusal::Unanswered), "nobody is there");
    assert_eq!(scene.get("ann", now).await, Ok(()));
}

#[tokio::test]
async fn in_an_outage_the_last_answers_hold_for_an_hour_more() {
    let (scene, now) = (Scene::start().await, Instant::now());
    assert_eq!(scene.get("ann", now).await, Ok(()));
    assert_eq!(scene.get("bob", now).await, Err(forbidden("bob", "get", "/metrics")));
    assert_eq!(scene.get("eve", now).await, Err(Refusal::BadToken));
    scene.change(|cluster| cluster.forbids = true);
    for at in [now + AUTHENTICATED, now + DENIED + OUTAGE - SECOND] {
        assert_eq!(scene.get("ann", at).await, Ok(()));
        assert_eq!(scene.get("bob", at).await, Err(forbidden("bob", "get", "/metrics")));
        assert_eq!(scene.get("eve", at).await, Err(Refusal::Unanswered), "it may be somebody's by now");
    }
    assert_eq!(scene.get("bob", now + DENIED + OUTAGE).await, Err(Refusal::Unanswered));
    assert_eq!(scene.get("ann", now + AUTHENTICATED + OUTAGE - SECOND).await, Ok(()));
    assert_eq!(scene.get("ann", now + AUTHENTICATED + OUTAGE).await, Err(Refusal::Unanswered));
}

#[tokio::test]
async fn in_an_outage_few_wait_and_its_end_is_noticed() {
    let (scene, now) = (Scene::start().await, Instant::now());
    assert_eq!(scene.get("ann", now).await, Ok(()));
    scene.change(|cluster| cluster.forbids = true);
    let later = now + AUTHENTICATED;
    assert_eq!(scene.get("ann", later).await, Ok(()));
    let asked = scene.asked();
    assert_eq!(scene.get("ann", later + PAUSE - SECOND).await, Ok(()));
    assert_eq!(scene.asked(), asked, "it was asked just now, in vain");
    scene.change(|cluster| {
        cluster.forbids = false;
        cluster.users.clear();
    });
    assert_eq!(scene.get("ann", later + PAUSE).await, Err(Refusal::BadToken), "the token was revoked meanwhile");
}

#[tokio::test]
async fn a_server_that_hangs_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("free");
    let url = format!("http://{}", listener.local_addr().expect("bound")).parse().expect("an address");
    let client = ApiClient::new(kube::Config::new(url)).expect("a client");
    let authorizer = Authorizer { timeout: Duration::from_millis(100), ..Authorizer::new(client) };
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Bearer ann"))]);
    let checked = authorizer.check(&Method::GET, "/metrics", &headers, Instant::now()).await;
    assert_eq!(checked, Err(Refusal::Unanswered));
}
