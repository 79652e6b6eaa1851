//! The parts of a PromQL query that the rules check: its selectors, and the functions and ranges around them. Prometheus itself
//! checks whether it is valid PromQL.

/// A selector of a query, such as `rate(up{job="x"}[5m])`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The metric's name.
    pub metric: String,
    /// The text between the braces.
    pub matchers: String,
    /// The function directly around it; empty if there is none.
    pub function: String,
    /// Its range; empty if it has none.
    pub range: String,
    /// The nearest aggregation around it, such as `max by (job)`; empty if there is none.
    pub aggregation: String,
}

/// All selectors of a query that have braces, as all in the dashboards must.
pub fn selectors(query: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut rest = query;
    let mut before = String::new();
    while let Some(open) = next_brace(rest) {
        before.push_str(&rest[..open]);
        let close = end_of_matchers(&rest[open..]).map_or(rest.len(), |length| open + length);
        let matchers = rest[open + 1..close].to_owned();
        rest = rest.get(close + 1..).unwrap_or_default();
        let range = rest.strip_prefix('[').and_then(|range| range.split(']').next()).unwrap_or_default().to_owned();
        let metric = last_word(&before);
        let around = before[..before.len() - metric.len()].trim_end();
        let function = around.strip_suffix('(').map(last_word).unwrap_or_default().to_owned();
        let beyond = if range.is_empty() { around } else { around[..around.len() - 1 - function.len()].trim_end() };
        let aggregation = beyond.strip_suffix('(').map(aggregation).unwrap_or_default();
        found.push(Selector { metric: metric.to_owned(), matchers, function, range, aggregation });
        before.push_str("{}");
    }
    found
}

/// The first brace that opens matchers, and not a variable.
fn next_brace(text: &str) -> Option<usize> {
    text.char_indices().find(|(at, c)| *c == '{' && !text[..*at].ends_with('$')).map(|(at, _)| at)
}

/// The end of the matchers that begin here: the closing brace outside of string literals.
fn end_of_matchers(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(at, c)| {
        quoted ^= c == '"';
        (c == '}' && !quoted).then_some(at)
    })
}

/// The aggregation at the end of a text, with its labels if it has some.
fn aggregation(text: &str) -> String {
    let text = text.trim_end();
    let Some((before, labels)) = text.strip_suffix(')').and_then(|text| text.rsplit_once('(')) else {
        return last_word(text).to_owned();
    };
    let operator = before.trim_end().strip_suffix("by").map(|before| last_word(before.trim_end())).unwrap_or_default();
    format!("{operator} by ({labels})")
}

/// The name at the end of a text. A variable in braces may be a part of it.
fn last_word(text: &str) -> &str {
    let part = |c: char| c.is_ascii_alphanumeric() || "_:${}".contains(c);
    &text[text.rfind(|c| !part(c)).map_or(0, |at| at + 1)..]
}

#[test]
fn selectors_are_found_with_what_is_around_them() {
    let selector = |metric: &str, matchers: &str, function: &str, range: &str, aggregation: &str| Selector {
        metric: metric.to_owned(),
        matchers: matchers.to_owned(),
        function: function.to_owned(),
        range: range.to_owned(),
        aggregation: aggregation.to_owned(),
    };
    let query = "sum by (le) (rate(seen_${kind}{a=~\"${x}\", b=\"}\"}[$__rate_interval])) or max(up{a=\"1\"}) + y{}";
    assert_eq!(
        selectors(query),
        [
            selector("seen_${kind}", "a=~\"${x}\", b=\"}\"", "rate", "$__rate_interval", "sum by (le)"),
            selector("up", "a=\"1\"", "max", "", "max"),
            selector("y", "", "", "", ""),
        ]
    );
}
