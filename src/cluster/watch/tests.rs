use super::*;
use crate::cluster::{
    event::Resource,
    intake::{Deliveries, StreamFailure},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// Long beside a retry, short beside the silence after which a watch is dropped anyway.
const SOON: Duration = Duration::from_secs(20);

/// Answers each request with the next of these beginnings of a stream, and then says no more.
async fn serve(listener: TcpListener, beginnings: &'static [&'static [u8]], asked: mpsc::UnboundedSender<TcpStream>) {
    for beginning in beginnings {
        let (mut connection, _) = listener.accept().await.expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(connection.read_u8().await.expect("a request"));
        }
        let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", beginning.len());
        connection.write_all(&[head.as_bytes(), beginning, b"\r\n"].concat()).await.expect("an answer");
        // Held open by the test.
        let _ = asked.send(connection);
    }
}

/// Takes what comes as the measuring does with events that make no sense.
async fn refuse(mut deliveries: Deliveries, signals: Arc<Signals>) {
    loop {
        deliveries.due().await;
        for delivery in deliveries.waiting() {
            match delivery.step {
                Step::Frame { .. } => signals.abort(),
                Step::Ended(reply) => {
                    let failure = Some(StreamFailure { expired: false, message: "no sense".to_owned() });
                    let _ = reply.send(Progress { resume: None, failure });
                }
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_makes_no_sense_is_dropped_while_it_is_open() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound")).parse().expect("a URL");
    // An event that is none, what is no frame at all, and then silence.
    let beginnings: &[&[u8]] = &[&[0, 0, 0, 2, 0xff, 0xff], &[0xff, 0xff, 0xff, 0xff], &[0]];
    let (asked, mut requests) = mpsc::unbounded_channel();
    tokio::spawn(serve(listener, beginnings, asked));

    let (intake, deliveries) = Intake::new();
    let (signals, health) = (Arc::new(Signals::default()), Arc::new(WatchHealth::new(Resource::Pods, None)));
    let watch = Watch {
        id: 0,
        scope: Scope { resource: Resource::Pods, namespace: None, field_selector: None },
        client: ApiClient::new(kube::Config::new(url)).expect("a client"),
        clock: Clock::start(),
        intake,
        health: health.clone(),
        signals: signals.clone(),
        idle_timeout: Duration::from_secs(3600),
    };
    tokio::spawn(watch.run());
    tokio::spawn(refuse(deliveries, signals));

    let mut open = Vec::new();
    for _ in beginnings {
        let request = tokio::time::timeout(SOON, requests.recv()).await;
        open.push(request.expect("asked again soon").expect("the server runs"));
    }
    assert_eq!(health.restarts(Restart::Malformed), 2);
}
