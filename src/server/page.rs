//! The web page: files that are part of the binary.
//!
//! It sends requests only to `/api/v1/`. Its policy lets the browser run only the files below, and no code that is hidden in a
//! name from a cluster.

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderName, StatusCode, Uri, header};

/// Requests for its files are counted together.
pub(super) const PATHS: [&str; 2] = ["/", FILES];

const FILES: &str = "/page/{*file}";

/// The answer for unknown paths.
pub(super) const NOT_HERE: (StatusCode, &str) = (StatusCode::NOT_FOUND, "not here; / shows what is\n");

/// A file: its path, its type and its content.
type Asset = (&'static str, &'static str, &'static str);

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

static ASSETS: [Asset; 16] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/page/page.js", SCRIPT, include_str!("page/page.js")),
    ("/page/advice.js", SCRIPT, include_str!("page/advice.js")),
    ("/page/address.js", SCRIPT, include_str!("page/address.js")),
    ("/page/dom.js", SCRIPT, include_str!("page/dom.js")),
    ("/page/plot.js", SCRIPT, include_str!("page/plot.js")),
    ("/page/history.js", SCRIPT, include_str!("page/history.js")),
    ("/page/services.js", SCRIPT, include_str!("page/services.js")),
    ("/page/service.js", SCRIPT, include_str!("page/service.js")),
    ("/page/startup.js", SCRIPT, include_str!("page/startup.js")),
    ("/page/nodes.js", SCRIPT, include_str!("page/nodes.js")),
    ("/page/wrong.js", SCRIPT, include_str!("page/wrong.js")),
    ("/page/style.css", STYLE, include_str!("page/style.css")),
    ("/page/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/page/vendor/uPlot.js", SCRIPT, include_str!("page/vendor/uPlot.iife.min.js")),
    ("/page/vendor/uPlot.css", STYLE, include_str!("page/vendor/uPlot.min.css")),
];

/// What the browser may do with them: only send requests to this server and load from it.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // The next version of the daemon has other files under the same names.
    (header::CACHE_CONTROL, "no-cache"),
];

pub(super) fn router() -> Router {
    Router::new().route("/", get(file)).route(FILES, get(file))
}

async fn file(uri: Uri) -> Response {
    match asset(uri.path()) {
        Some((_, content_type, content)) => {
            (HEADERS, [(header::CONTENT_TYPE, *content_type)], *content).into_response()
        }
        None => NOT_HERE.into_response(),
    }
}

fn asset(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|(name, ..)| *name == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_for_files_that_are_there_and_for_nothing_elsewhere() {
        let (_, _, html) = ASSETS[0];
        let asked: Vec<_> = html.split(['"', '\'']).filter(|text| text.starts_with("page/")).collect();
        assert!(asked.len() >= 4, "{asked:?}");
        for path in asked {
            assert!(asset(&format!("/{path}")).is_some(), "{path}");
        }
        for (name, _, content) in ASSETS.iter().filter(|(name, ..)| !name.contains("vendor")) {
            let elsewhere = content.match_indices("//").filter(|(at, _)| content[..*at].ends_with(':')).count();
            let known = content.matches("http://www.w3.org/2000/svg").count();
            assert_eq!(elsewhere, known, "{name} names another server");
            for forbidden in ["innerHTML", "insertAdjacentHTML", "document.write", "eval("] {
                assert!(!content.contains(forbidden), "{name} has {forbidden}");
            }
        }
        assert!(asset("/page/vendor/../page.js").is_none());
    }
}
