//! The query of a list or watch request, checked as in the API server.

use super::Failure;
use crate::simulator::store::Key;
use std::time::Duration;

/// Maximum of `timeoutSeconds`, so that a clock can represent the end of a watch.
const LONGEST_WATCH: Duration = Duration::from_secs(365 * 24 * 3600);

/// The request of a list or watch.
#[derive(Debug, PartialEq)]
pub(super) enum Query {
    List(ListQuery),
    Watch(WatchQuery),
}

/// A list, or one page of it.
#[derive(Debug, PartialEq)]
pub(super) struct ListQuery {
    /// The exact version to list; `None` means the present state.
    pub(super) version: Option<u64>,
    /// The present state must be at least as new as this version.
    pub(super) not_older_than: u64,
    /// The last key of the previous page.
    pub(super) after: Option<Key>,
    /// Maximum number of items in a page.
    pub(super) limit: usize,
}

/// A watch.
#[derive(Debug, PartialEq)]
pub(super) struct WatchQuery {
    pub(super) start: Start,
    pub(super) bookmarks: bool,
    /// Duration of the watch; `None` lets the server choose.
    pub(super) timeout: Option<Duration>,
}

/// The start of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// With the events after this version.
    After(u64),
    /// With the events after the present version.
    Now,
    /// With every object as an `ADDED` event, from a state at least as new as `not_older_than`.
    Initial {
        not_older_than: u64,
        /// Whether a bookmark follows them, as in a streaming list.
        marked: bool,
    },
}

/// The parameters as in the URL; empty if absent.
#[derive(Default)]
struct Parameters<'a> {
    watch: &'a str,
    limit: &'a str,
    continue_token: &'a str,
    version: &'a str,
    version_match: &'a str,
    send_initial_events: &'a str,
    allow_bookmarks: &'a str,
    timeout_seconds: &'a str,
}

/// The token of the next page: the version and the last key.
///
/// Underscores need no escaping in a URL, and no Kubernetes name contains them.
pub(super) fn continue_token(version: u64, (namespace, name): (&str, &str)) -> String {
    format!("{version}_{namespace}_{name}")
}

// === impl Query ===

impl Query {
    /// Parses the part of a URL after the question mark.
    ///
    /// Valid values contain only characters that need no escaping, so nothing is unescaped.
    ///
    /// # Errors
    /// 400 for a value that is malformed or not simulated, 422 for a combination that the API server forbids.
    pub(super) fn parse(query: &str) -> Result<Self, Failure> {
        let parameters = Parameters::split(query)?;
        if truth("watch", parameters.watch)? == Some(true) {
            Ok(Self::Watch(parameters.watch()?))
        } else {
            Ok(Self::List(parameters.list()?))
        }
    }
}

// === impl Parameters ===

impl<'a> Parameters<'a> {
    fn split(query: &'a str) -> Result<Self, Failure> {
        let mut all = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match name {
                "watch" => &mut all.watch,
                "limit" => &mut all.limit,
                "continue" => &mut all.continue_token,
                "resourceVersion" => &mut all.version,
                "resourceVersionMatch" => &mut all.version_match,
                "sendInitialEvents" => &mut all.send_initial_events,
                "allowWatchBookmarks" => &mut all.allow_bookmarks,
                "timeoutSeconds" => &mut all.timeout_seconds,
                // To return everything would look like a selection.
                _ if !value.is_empty() => {
                    let reason = format!("the simulated cluster does not know {name}");
                    return Err(Failure::bad_request(reason));
                }
                _ => continue,
            };
            *place = value;
        }
        Ok(all)
    }

    fn list(&self) -> Result<ListQuery, Failure> {
        if !self.send_initial_events.is_empty() {
            return Err(Failure::invalid("sendInitialEvents is forbidden for list"));
        }
        let limit = match number("limit", self.limit)? {
            None | Some(0) => usize::MAX,
            Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        let version = number("resourceVersion", self.version)?;
        let mut list = ListQuery { version: None, not_older_than: 0, after: None, limit };
        match (self.version_match, version) {
            ("", _) | ("NotOlderThan", Some(_)) => list.not_older_than = version.unwrap_or(0),
            ("Exact", Some(1..)) => list.version = version,
            _ => {
                return Err(Failure::invalid(
                    "resourceVersionMatch must be Exact or NotOlderThan and fit the resourceVersion",
                ));
            }
        }
        if !self.continue_token.is_empty() {
            let (version, after) = page_of(self.continue_token)
                .ok_or_else(|| Failure::bad_request("continue key is not valid".to_owned()))?;
            list.version = Some(version);
            list.after = Some(after);
        }
        Ok(list)
    }

    fn watch(&self) -> Result<WatchQuery, Failure> {
        let version = number("resourceVersion", self.version)?;
        let initial = truth("sendInitialEvents", self.send_initial_events)?;
        let bookmarks = truth("allowWatchBookmarks", self.allow_bookmarks)? == Some(true);
        match (initial, self.version_match) {
            (Some(_), "NotOlderThan") | (None, "") => {}
            (Some(_), _) => {
                return Err(Failure::invalid(
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                ));
            }
            (None, _) => {
                return Err(Failure::invalid(
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                ));
            }
        }
        let start = match (initial, version) {
            (Some(true), _) => Start::Initial { not_older_than: version.unwrap_or(0), marked: bookmarks },
            // An older form of Kubernetes: no version means all objects first, without a mark at their end.
            (None, None | Some(0)) => Start::Initial { not_older_than: 0, marked: false },
            (Some(false), None | Some(0)) => Start::Now,
            (_, Some(version)) => Start::After(version),
        };
        let timeout = number("timeoutSeconds", self.timeout_seconds)?;
        Ok(WatchQuery {
            start,
            bookmarks,
            timeout: timeout.filter(|t| *t > 0).map(|t| Duration::from_secs(t).min(LONGEST_WATCH)),
        })
    }
}

fn page_of(token: &str) -> Option<(u64, Key)> {
    let mut parts = token.splitn(3, '_');
    let version = parts.next()?.parse().ok()?;
    Some((version, (parts.next()?.to_owned(), parts.next()?.to_owned())))
}

fn number(name: &str, value: &str) -> Result<Option<u64>, Failure> {
    if value.is_empty() {
        return Ok(None);
    }
    let parsed = value.parse();
    parsed.map(Some).map_err(|_| Failure::bad_request(format!("{name} is not a number: {value:?}")))
}

fn truth(name: &str, value: &str) -> Result<Option<bool>, Failure> {
    match value {
        "" => Ok(None),
        "true" | "1" => Ok(Some(true)),
        "false" | "0" => Ok(Some(false)),
        _ => Err(Failure::bad_request(format!("{name} is neither true nor false: {value:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch_start(query: &str) -> Start {
        match Query::parse(query) {
            Ok(Query::Watch(watch)) => watch.start,
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn where_watches_begin() {
        let initial = |not_older_than, marked| Start::Initial { not_older_than, marked };
        for (query, start) in [
            ("watch=true&resourceVersion=7", Start::After(7)),
            ("watch=1", initial(0, false)),
            ("watch=1&resourceVersion=0", initial(0, false)),
            (
                "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
                initial(0, true),
            ),
            (
                "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=3",
                initial(3, false),
            ),
            ("watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan", Start::Now),
        ] {
            assert_eq!(watch_start(query), start, "{query}");
        }
    }

    #[test]
    fn what_the_api_server_forbids() {
        for (query, code) in [
            ("watch=true&sendInitialEvents=true", 422),
            ("watch=true&resourceVersionMatch=NotOlderThan&resourceVersion=1", 422),
            ("sendInitialEvents=true", 422),
            ("resourceVersionMatch=Exact", 422),
            ("resourceVersionMatch=Exact&resourceVersion=0", 422),
            ("watch=maybe", 400),
            ("limit=many", 400),
            ("continue=nonsense", 400),
            ("labelSelector=app%3Dcart", 400),
        ] {
            let failure = Query::parse(query).expect_err(query);
            assert_eq!(failure.code, code, "{query}");
        }
        assert!(Query::parse("labelSelector=&fieldSelector=").is_ok(), "empty ones select everything");
    }

    #[test]
    fn no_timeout_is_too_long() {
        let asked = format!("watch=true&timeoutSeconds={}", u64::MAX);
        let Ok(Query::Watch(watch)) = Query::parse(&asked) else {
            panic!("a watch");
        };
        assert_eq!(watch.timeout, Some(LONGEST_WATCH));
    }

    #[test]
    fn continue_tokens_come_back() {
        let token = continue_token(12, ("shop", "cart-1.x"));
        let Ok(Query::List(list)) = Query::parse(&format!("limit=5&continue={token}")) else {
            panic!("a list");
        };
        assert_eq!(list.version, Some(12));
        assert_eq!(list.after, Some(("shop".to_owned(), "cart-1.x".to_owned())));
        assert_eq!(list.limit, 5);
    }
}
