//! Other requests of a watch: a list in pages, if lists are not streamed, and the current version.

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

/// Maximum number of consecutive pages without an object. With a field selector a server may return some such pages.
const EMPTY_PAGES: usize = 4;

/// Maximum number of pages of a list: ten million objects, while Kubernetes is built for 150,000 pods.
const PAGES: usize = 20_000;

/// How often the current version is requested before the watch is dropped, because no delay can be computed without it. This
/// takes a few seconds.
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
                // The decoder reports the error when it is asked for its progress.
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

    /// The version that was current when the watch was established and its first list, if any, was complete. The watch delivered
    /// everything newer as it happened. The request uses the same connection as the watch, so it reaches the same server.
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
            // A connection that breaks ends this request too, and reports the loss itself.
            if tries > 1 {
                self.health.set_failure(self.clock.now(), without_version(&error));
            }
            tokio::time::sleep(pause.max(error.retry_after().unwrap_or_default().min(retry::LONGEST_DELAY))).await;
        }
        connection.current_version(&self.scope).await
    }
}
