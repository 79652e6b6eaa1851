//! Broken API servers of many kinds: what the daemon logs, counts and shows, and that it does not overload them.

mod answer;
mod run;
mod server;

use self::answer::{answer, answer_without_end, frame, json, listed, nothing, page, pod, refusal, watch};
use self::run::{Row, row};
use self::server::Asked::{List, Version, Watch};
use self::server::Refusal::{GoAway, Reset};
use self::server::Speech::{Always, Http2, Nothing, To};
use anyhow::{Result, ensure};
use endpointlag::simulator::messages::Pod;
use futures::{StreamExt, stream};
use std::time::Duration;

/// How many daemons run at a time.
const AT_ONCE: usize = 16;

/// Time between the pieces of an endless answer.
const DRIP: Duration = Duration::from_millis(100);

/// Long enough for a sync, and too short to count as stable.
const SOON: Duration = Duration::from_secs(2);

/// The message about a slow watch after 15 s.
const SLOW: &str = "after it was asked for";

const PROTOBUF: &str = "content-type: application/vnd.kubernetes.protobuf\r\n";
const STREAM: &str = "content-type: application/vnd.kubernetes.protobuf;stream=watch\r\n";

/// Servers that answer none of the daemon's requests correctly.
fn never_in_order() -> Vec<Row> {
    vec![
        // Connections.
        row("does not listen", Nothing).lost("unreachable", &["Connection refused"]),
        row("closes each connection", To(|_| nothing()))
            .lost("unreachable", &["connection closed before message completed"]),
        row("resets each connection", To(|_| nothing().reset())).lost("unreachable", &["Connection reset by peer"]),
        row("never answers", Always(|| nothing().hold())).lost("", &[SLOW]),
        row("drips its head", Always(|| nothing().bytes("HTTP/1.1 200\r\nx: ").forever(b"x", DRIP))).lost("", &[SLOW]),
        row("speaks no HTTP", To(|_| nothing().bytes("SSH-2.0-OpenSSH_9.9\r\n")))
            .lost("unreachable", &["invalid HTTP"]),
        row(
            "has a head without end",
            To(|_| nothing().bytes("HTTP/1.1 200\r\n").forever(&[b'x'; 65536], Duration::ZERO)),
        )
        .lost("unreachable", &["message head is too large"]),
        row("speaks no TLS", Always(|| refusal(400, "plain HTTP").hold()))
            .by_tls(true)
            .lost("unreachable", &["corrupt message"]),
        row("has a certificate of somebody else", Http2(Reset))
            .by_tls(false)
            .lost("unreachable", &["invalid peer certificate"]),
        row("resets each stream of HTTP/2", Http2(Reset)).by_tls(true).lost("unreachable", &["stream error received"]),
        row("sends away by GOAWAY, each time", Http2(GoAway))
            .by_tls(true)
            .lost("closed", &["ended within 5 s (closed)"]),
        // Refusals.
        row("401", To(|_| refusal(401, "Unauthorized"))).lost("refused", &["Unauthorized (401 Unauthorized)"]),
        row("403", To(|_| refusal(403, "no rights"))).lost("refused", &["no rights (403 Forbidden)"]),
        row("404", To(|_| refusal(404, "no such resource"))).lost("refused", &["no such resource (404 Not Found)"]),
        row("410", To(|_| refusal(410, "too old"))).lost("expired", &["too old (410 Gone)"]),
        row("429, to come back in 7 s", To(|_| answer(429, "retry-after: 7\r\n", json(429, "busy").as_bytes())))
            .lost("refused", &["busy (429 Too Many Requests)"])
            .requests(6),
        row("500", To(|_| refusal(500, "etcd is away"))).lost("refused", &["etcd is away (500 Internal Server Error)"]),
        row("503, to come back in a year", To(|_| answer(503, "retry-after: 31536000\r\n", b"")))
            .lost("refused", &["(503 Service Unavailable)"])
            .requests(3),
        row("500 in other words each time", To(|request| refusal(500, &format!("{:x}", 77 * (1 + request.before)))))
            .lost("refused", &["(500 Internal Server Error)"]),
        row("500 without end", To(|_| nothing().bytes("HTTP/1.1 500\r\n\r\n").forever(&[b'x'; 65536], Duration::ZERO)))
            .lost("unreachable", &["an answer of more than 65536 bytes"]),
        row("a redirect", To(|_| answer(302, "location: https://elsewhere/\r\n", b"")))
            .lost("refused", &["it is at https://elsewhere/ (302 Found)"]),
        // Answers of another server.
        row("a login page", To(|_| answer(200, "content-type: text/html\r\n", b"<html>log in")))
            .lost("malformed", &["text/html: <html>log in"]),
        row("JSON", To(|_| answer(200, "content-type: application/json\r\n", b"{}")))
            .lost("malformed", &["application/json: {}"]),
        row("gzip", To(|_| answer(200, &format!("{STREAM}content-encoding: gzip\r\n"), b"\x1f\x8b\x08")))
            .lost("malformed", &["encoded as \"gzip\", which was not asked for"]),
    ]
}

/// Servers whose watches are broken, and all else is correct.
fn broken_watches() -> Vec<Row> {
    vec![
        row("garbage", To(|r| r.but(List, || watch().chunk(b"What is this?").hold())))
            .lost("malformed", &["a frame of 1466458484 bytes was announced"]),
        row("empty frames", To(|r| r.but(List, || watch().chunk(&[0; 64]).hold())))
            .lost("malformed", &["does not begin with the magic number"]),
        row("a giant frame", To(|r| r.but(List, || watch().chunk(&[0xff; 4]).hold())))
            .lost("malformed", &["a frame of 4294967295 bytes was announced"]),
        row("an unknown event", To(|r| r.but(List, || watch().event("RENAMED", &pod("uid")).hold())))
            .lost("malformed", &["unknown type of watch event \"RENAMED\""]),
        row("410 in its watch", To(|r| r.but(List, || watch().error(410, "Expired").hold())))
            .lost("expired", &["the API server ended the watch: Expired (410)"]),
        row("500 in its watch", To(|r| r.but(List, || watch().error(500, "InternalError").hold())))
            .lost("malformed", &["the API server ended the watch: InternalError (500)"]),
        row("a bookmark without version", To(|r| r.but(List, || watch().bookmark("", true).hold())))
            .lost("malformed", &["a bookmark of resourceVersion \"\", which is no number"]),
        row("silence", To(|r| r.but(List, || watch().hold())))
            .with(&["--watch-idle-timeout=2s"])
            .lost("idle", &["no event came for 2 s"]),
        row("a frame that drips", To(|r| r.but(List, || watch().chunk(&[0, 0, 1, 0]).chunks_forever(b"x", DRIP))))
            .with(&["--watch-idle-timeout=2s"])
            .lost("idle", &["no event came for 2 s"]),
        row("ends within its list", To(|r| r.but(List, || watch().event("ADDED", &pod("uid")).end())))
            .lost("broken", &["in the middle of its list"]),
        row("breaks within its list", To(|r| r.but(List, || watch().event("ADDED", &pod("uid")).reset())))
            .lost("broken", &["the connection broke"]),
        row("ends within an event", To(|r| r.but(List, || watch().chunk(&frame("ADDED", &pod("uid"))[..9]).end())))
            .lost("broken", &["in the middle of an event"]),
        row("a list without end", To(|r| r.but(List, || watch().chunks_forever(&frame("ADDED", &pod("uid")), DRIP))))
            .lost("", &[SLOW]),
        row("ends as soon as it is listed", To(|r| if r.asked == Version { r.in_order() } else { listed().end() }))
            .lost("closed", &["ended within 5 s (closed)"]),
        row("ends soon, each time", To(|r| if r.asked == Version { r.in_order() } else { listed().pause(SOON).end() }))
            .lost("closed", &["ended within 5 s (closed)"]),
        row(
            "breaks soon, each time",
            To(|r| if r.asked == Version { r.in_order() } else { listed().pause(SOON).reset() }),
        )
        .lost("broken", &["the connection broke", "ended within 5 s (the connection broke)"]),
    ]
}

/// Servers that do not stream lists and whose pages are broken, or do not show the current version.
fn broken_lists() -> Vec<Row> {
    vec![
        row("a page without version", To(|r| r.in_pages(|| page("", "", 0))))
            .lost("malformed", &["a list of resourceVersion \"\", which is no number"]),
        row("a page that is none", To(|r| r.in_pages(|| answer(200, PROTOBUF, b"k9s"))))
            .lost("malformed", &["does not begin with the magic number"]),
        row("empty pages without end", To(|r| r.in_pages(|| page("10", &r.before.to_string(), 0))))
            .lost("malformed", &["the API server's list has no end: 5 pages without an object follow each other"]),
        row("a page that leads back to itself", To(|r| r.in_pages(|| page("10", "again", 1))))
            .lost("malformed", &["the API server's list has no end: a page leads back to itself"]),
        row(
            "410 at the second page",
            To(|r| r.in_pages(|| if r.before % 2 == 0 { page("10", "next", 1) } else { refusal(410, "compacted") })),
        )
        .lost("expired", &["compacted (410 Gone)"]),
        row("a page without end", To(|r| r.in_pages(|| answer_without_end(PROTOBUF).chunks_forever(&[0; 1024], DRIP))))
            .lost("", &[SLOW]),
        row("500 for its version", To(|r| r.but(Version, || refusal(500, "no leader"))))
            .lost("refused", &["the current version cannot be learned: the API server refuses: no leader (500"]),
        row("no version", To(|r| r.but(Version, || page("", "", 0))))
            .lost("malformed", &["the current version cannot be learned: a list of resourceVersion \"\""]),
    ]
}

/// Servers that recover, and faults that the daemon can tolerate.
fn in_order_in_the_end() -> Vec<Row> {
    vec![
        row(
            "500, then 403, then in order",
            To(|r| match (r.asked, r.before) {
                (List, 0 | 1) => refusal(500, "etcd is away"),
                (List, 2) => refusal(403, "no rights"),
                _ => r.in_order(),
            }),
        )
        .well("refused", &["etcd is away (500", "no rights (403"]),
        row(
            "ends four times, then in order",
            To(|r| if r.before < 2 && matches!(r.asked, List | Watch) { listed().end() } else { r.in_order() }),
        )
        .well("closed", &["ended within 5 s (closed)"]),
        row(
            "410 for what to resume from",
            To(|r| match r.asked {
                List if r.before == 0 => listed().pause(SOON).end(),
                Watch => refusal(410, "too old"),
                _ => r.in_order(),
            }),
        )
        .well("expired", &["too old (410 Gone)"]),
        row("pages instead of a stream", To(|r| r.in_pages(|| page("10", "", 3)))).well("", &[]),
        row(
            "objects that are none",
            To(|r| {
                r.but(List, || {
                    let nameless = (0..100).fold(watch(), |answer, _| answer.event("ADDED", &Pod::default()));
                    nameless.bookmark("10", true).hold()
                })
            }),
        )
        .well("", &["an object cannot be used"]),
        row(
            "credentials that are revoked",
            To(|r| match r.bearer.strip_prefix("token-") {
                Some("1") => refusal(401, "Unauthorized"),
                _ => r.in_order(),
            }),
        )
        .with_plugin(2)
        .well("refused", &["Unauthorized (401 Unauthorized)"]),
        row("credentials that are never taken", To(|_| refusal(401, "Unauthorized")))
            .with_plugin(3)
            .lost("refused", &["Unauthorized (401 Unauthorized)"]),
    ]
}

#[tokio::test]
async fn broken_api_servers() -> Result<()> {
    let rows = [never_in_order(), broken_watches(), broken_lists(), in_order_in_the_end()].concat();
    let failures: Vec<_> = stream::iter(&rows)
        .map(async |row| row.run().await.err().map(|error| format!("--- {}: {error:#}", row.name())))
        .buffer_unordered(AT_ONCE)
        .filter_map(async |failure| failure)
        .collect()
        .await;
    ensure!(failures.is_empty(), "{} of {} rows:\n{}", failures.len(), rows.len(), failures.join("\n"));
    Ok(())
}
