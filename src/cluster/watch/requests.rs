//! What a watch asks beside its stream: a list in pages, where lists are not streamed, and the version that is current.

use super::{
    End, Ended, Stop, Watch,
    end::without_version,
    retry::{self, Retry},
};
use crate::cluster::{
    client::{Connection, RequestError},
    health::Restart,
    queue::{Load, Message},
};
use backon::BackoffBuilder;
use tokio::sync::oneshot;

/// Pages without an object that may follow each other. The server of a list with a field selector may return some.
const EMPTY_PAGES: usize = 4;

/// Pages of a list at the most: ten million objects, where Kubernetes is made for 150,000 pods.
const PAGES: usize = 20_000;

/// Times that the current version is asked for before the watch is given up, without which nothing is timed: some seconds.
const VERSION_TRIES: usize = 5;

impl Watch {
    /// Lists page by page, and returns the version to watch from.
    pub(super) async fn list_in_pages(&self, connection: &Connection) -> Result<Result<u64, End>, Stop> {
        let mut token = None;
        let (mut empty, mut pauses) = (0, Retry::default());
        for _ in 0..PAGES {
            let body = match connection.page(&self.scope, token.as_deref()).await {
                Ok(body) => body,
                Err(error) => return Ok(Err(error.into())),
            };
            let at = self.clock.now();
            self.health.read(at, body.len());
            let (reply, answer) = oneshot::channel();
            let permit = self.queue.reserve(Load::List, body.len()).await?;
            self.queue.send_reserved(permit, Message::Page { at, body, reply })?;
            let Ok(page) = answer.await.map_err(|_| Stop)? else {
                // The decoder says what is wrong when it is asked how far it has come.
                return Ok(Err(Ended::silently(Restart::Malformed).into()));
            };
            let Some(next) = page.next else { return Ok(Ok(page.resource_version)) };
            if token.as_ref() == Some(&next) {
                return Ok(Err(self.endless("a page leads back to itself")));
            }
            token = Some(next);
            if page.items > 0 {
                (empty, pauses) = (0, Retry::default());
                continue;
            }
            empty += 1;
            if empty > EMPTY_PAGES {
                return Ok(Err(self.endless(&format!("{empty} pages without an object follow each other"))));
            }
            tokio::time::sleep(pauses.pause(None)).await;
        }
        Ok(Err(self.endless(&format!("it has more than {PAGES} pages"))))
    }

    fn endless(&self, why: &str) -> End {
        self.health.count_malformed();
        Ended::saying(Restart::Malformed, format!("the API server's list has no end: {why}")).into()
    }

    /// The version that was current once the watch was established and its list, if it began with one, complete. Whatever is
    /// newer came through the watch as it happened. Asked for the same way as the watch, and so of the same server.
    pub(super) async fn version_after_connecting(&self, connection: &Connection) -> Result<u64, RequestError> {
        let mut listed = self.signals.subscribe();
        // The sender lives as long as `self`.
        let _ = listed.wait_for(|listed| *listed).await;
        let pauses = retry::pauses().with_max_times(VERSION_TRIES - 1).build();
        for (tries, pause) in (1..).zip(pauses) {
            let error = match connection.current_version(&self.scope).await {
                Err(error @ (RequestError::Refused { .. } | RequestError::Unreachable { .. })) => error,
                answer => return answer,
            };
            // A connection that breaks takes one request with it, and says so itself.
            if tries > 1 {
                self.health.set_failure(self.clock.now(), without_version(&error));
            }
            tokio::time::sleep(pause.max(error.retry_after().unwrap_or_default().min(retry::LONGEST_DELAY))).await;
        }
        connection.current_version(&self.scope).await
    }
}
