use super::*;
use crate::{
    cluster::{
        client::{ApiClient, WatchProtocol},
        decode::ReplayBound,
        health::LinkHealth,
        queue::{EventReceiver, StreamFailure},
        wire,
    },
    model::Resource,
    simulator::messages,
};
use prost::Message as _;
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

/// A watch of pods at `url` that has not begun.
fn watch_of(url: http::Uri) -> (Watch, EventReceiver, Arc<WatchHealth>) {
    let (mut senders, queue) = EventSender::for_watches(1);
    let (clock, link) = (Clock::start(), Arc::<LinkHealth>::default());
    let heartbeat = Arc::new(Heartbeat::new(clock));
    let health = Arc::new(WatchHealth::new(Resource::Pods, None, link.clone()));
    let client = ApiClient::new(kube::Config::new(url)).expect("a client");
    let watch = Watch {
        scope: Scope { resource: Resource::Pods, namespace: None, field_selector: None },
        link: Arc::new(Link::new(client, WatchProtocol::Auto, 1, heartbeat.clone(), link)),
        clock,
        heartbeat,
        queue: senders.remove(0),
        health: health.clone(),
        signals: Arc::default(),
        idle_timeout: Duration::from_secs(3600),
    };
    let heartbeat = watch.heartbeat.clone();
    tokio::spawn(async move { heartbeat.run().await });
    (watch, queue, health)
}

/// Takes what comes as the pipeline does with events that make no sense.
async fn refuse(mut queue: EventReceiver, signals: Arc<Signals>) {
    loop {
        queue.due().await;
        for envelope in queue.waiting() {
            match envelope.message {
                Message::Frame { .. } => signals.abort(),
                Message::Ended(reply) => {
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

    let (watch, queue, health) = watch_of(url);
    let signals = watch.signals.clone();
    tokio::spawn(watch.run());
    tokio::spawn(refuse(queue, signals));

    let mut open = Vec::new();
    for _ in beginnings {
        let request = tokio::time::timeout(SOON, requests.recv()).await;
        open.push(request.expect("asked again soon").expect("the server runs"));
    }
    assert_eq!(health.restarts(Restart::Malformed), 2);
}

/// Answers requests for the version with this one, and those for a watch with a stream that lasts until the sender of its frames is gone.
async fn serve_watches(listener: TcpListener, version: &'static str, streams: mpsc::UnboundedSender<mpsc::Sender<u8>>) {
    loop {
        let (mut connection, _) = listener.accept().await.expect("a connection");
        let streams = streams.clone();
        tokio::spawn(async move {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(connection.read_u8().await?);
            }
            if String::from_utf8_lossy(&request).contains("watch=") {
                connection.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
                let (frames, mut to_send) = mpsc::channel(8);
                let _ = streams.send(frames);
                while let Some(byte) = to_send.recv().await {
                    connection.write_all(&[b"6\r\n\0\0\0\x02", &[byte, byte][..], b"\r\n"].concat()).await?;
                }
                return connection.write_all(b"0\r\n\r\n").await;
            }
            let metadata = Some(wire::ListMeta { resource_version: version.into(), r#continue: String::new() });
            let list = wire::List { metadata, items: Vec::new() }.encode_to_vec().into();
            let body = [&wire::MAGIC[..], &messages::Unknown { type_meta: None, raw: list }.encode_to_vec()].concat();
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            connection.write_all(&[head.as_bytes(), &body].concat()).await
        });
    }
}

/// The next step, without those that come again and again.
async fn next_message(queue: &mut EventReceiver) -> Message {
    for _ in 0..2000 {
        if let Some(envelope) = queue.waiting().next() {
            return envelope.message;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no step came");
}

#[tokio::test]
async fn a_gap_is_told_from_its_beginning_until_what_it_hid_has_come() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound")).parse().expect("a URL");
    let (asked, mut streams) = mpsc::unbounded_channel();
    tokio::spawn(serve_watches(listener, "9", asked));
    let (watch, mut queue, health) = watch_of(url);
    let (clock, signals) = (watch.clock, watch.signals.clone());
    tokio::spawn(watch.run());

    let Message::Lost(began) = next_message(&mut queue).await else { panic!("lost before its first list") };
    assert!(matches!(next_message(&mut queue).await, Message::Init(_)));
    let frames = streams.recv().await.expect("a stream");
    frames.send(1).await.expect("open");
    assert!(matches!(next_message(&mut queue).await, Message::Frame { replay: ReplayBound::All, .. }), "the list");
    assert_eq!((health.complete_through(), health.is_synced()), (began, false));
    let listed = clock.now();
    signals.set_listed();
    let Message::Restored(restored) = next_message(&mut queue).await else { panic!("restored") };
    assert!(restored.since(listed) >= sight::SETTLE, "not before what the list did not hold has come");
    assert!(health.complete_through() > restored.plus(SOON) && health.is_synced());
    frames.send(2).await.expect("open");
    let Message::Frame { at: last, replay, .. } = next_message(&mut queue).await else { panic!("an event") };
    assert_eq!(replay, ReplayBound::UpTo(9));

    drop(frames);
    let Message::Lost(lost) = next_message(&mut queue).await else { panic!("lost") };
    assert!(lost > last, "all that came before the end was told");
    assert_eq!((health.complete_through(), health.is_synced()), (lost, false));
    let Message::Ended(reply) = next_message(&mut queue).await else { panic!("ended") };
    reply.send(Progress { resume: Some(9), failure: None }).expect("asked");
    let _frames = streams.recv().await.expect("resumed");
    assert!(matches!(next_message(&mut queue).await, Message::Restored(_)));
}
