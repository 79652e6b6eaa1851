//! The pure parts name only std, crates without I/O, and the parts that come before them in the flow of the data. Their unit
//! tests may name more.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    iter::Peekable,
    path::Path,
    vec::IntoIter,
};

/// The pure parts, in the order in which data goes through them. Each may name itself and those before it.
const PURE: [&str; 8] = ["model", "ledger", "propagation", "programming", "startup", "rollout", "stats", "advice"];

/// Dependencies that do no I/O and read no clock.
const PURE_CRATES: [&str; 8] =
    ["fnv", "foldhash", "hashbrown", "hdrhistogram", "serde_json", "slab", "smallvec", "thiserror"];

/// The parts of std with I/O, threads and clocks, as beginnings of paths.
const IMPURE_STD: [&[&str]; 8] = [
    &["std", "env"],
    &["std", "fs"],
    &["std", "io"],
    &["std", "net"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "time", "Instant"],
    &["SystemTime", "now"],
];

#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    /// `::`
    Into,
    Other(char),
}

/// The words and signs of a source, without comments, string literals and lifetimes.
fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            tokens.push(Token::Into);
            2
        } else if first == '"' {
            end_of_text(rest)
        } else if first == '\'' {
            // A character literal, or else a lifetime: then only the sign.
            let mut characters = rest.char_indices();
            let closing = if rest[1..].starts_with('\\') {
                characters.skip(3).find(|(_, it)| *it == '\'')
            } else {
                characters.nth(2).filter(|(_, it)| *it == '\'')
            };
            closing.map_or(1, |(at, _)| at + 1)
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|it: char| !it.is_alphanumeric() && it != '_').unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            end
        } else {
            if !first.is_whitespace() {
                tokens.push(Token::Other(first));
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

fn end_of_text(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, it)| {
        let ends = *it == '"' && !escaped;
        escaped = *it == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// All paths that a source names, from their first word.
fn paths(source: &str) -> Vec<Vec<String>> {
    let mut tokens = tokens(source).into_iter().peekable();
    let mut paths = Vec::new();
    while let Some(token) = tokens.next() {
        let Token::Word(word) = token else { continue };
        if word == "use" {
            read_tree(&mut tokens, Vec::new(), &mut paths);
        } else if tokens.peek() == Some(&Token::Into) {
            read_rest(&mut tokens, vec![word], &mut paths);
        }
    }
    paths
}

/// Reads one branch of a `use`, or a group of them.
fn read_tree(tokens: &mut Peekable<IntoIter<Token>>, path: Vec<String>, paths: &mut Vec<Vec<String>>) {
    match tokens.next() {
        Some(Token::Word(word)) => read_rest(tokens, [path, vec![word]].concat(), paths),
        Some(Token::Other('{')) => {
            while !matches!(tokens.peek(), None | Some(Token::Other('}'))) {
                read_tree(tokens, path.clone(), paths);
                // Up to the next branch: past a comma, or past a new name for this one.
                while !matches!(tokens.peek(), None | Some(Token::Other('}' | ','))) {
                    tokens.next();
                }
                tokens.next_if_eq(&Token::Other(','));
            }
            tokens.next();
        }
        // The lifetimes that a type captures: not a path.
        _ if path.is_empty() => {}
        // `*`, or the types of a generic.
        _ => paths.push(path),
    }
}

fn read_rest(tokens: &mut Peekable<IntoIter<Token>>, path: Vec<String>, paths: &mut Vec<Vec<String>>) {
    match tokens.next_if_eq(&Token::Into) {
        Some(_) => read_tree(tokens, path, paths),
        None => paths.push(path),
    }
}

/// A source without the module of its unit tests.
fn without_tests(source: &str) -> String {
    let Some((before, tests)) = source.split_once("#[cfg(test)]\nmod tests") else { return source.to_owned() };
    let after = if tests.starts_with(';') { Some(tests) } else { tests.split_once("\n}\n").map(|(_, after)| after) };
    [before, after.unwrap_or_default()].concat()
}

/// What the source of a module of `part`, this many modules below the crate, names and must not name.
fn impure(part: &str, depth: usize, source: &str, dependencies: &BTreeSet<String>) -> Vec<String> {
    let known = PURE.split_inclusive(|it| *it == part).next().unwrap_or_default();
    let is_impure = |path: &&Vec<String>| {
        let supers = path.iter().take_while(|word| *word == "super").count();
        let of_crate = match &*path[0] {
            "crate" => Some(&path[1..]),
            _ if supers >= depth => Some(&path[supers..]),
            _ => None,
        };
        match of_crate {
            Some(path) => !path.first().is_some_and(|module| known.contains(&&**module)),
            None => {
                (dependencies.contains(&path[0]) && !PURE_CRATES.contains(&&*path[0]))
                    || IMPURE_STD
                        .iter()
                        .any(|impure| path.iter().map(|it| &**it).take(impure.len()).eq(impure.iter().copied()))
            }
        }
    };
    paths(&without_tests(source)).iter().filter(is_impure).map(|path| path.join("::")).collect()
}

/// The crates that Cargo.toml makes available to the sources.
fn dependencies() -> BTreeSet<String> {
    let manifest = fs::read_to_string("Cargo.toml").expect("the manifest");
    let (_, section) = manifest.split_once("\n[dependencies]\n").expect("dependencies");
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.replace('-', "_")).collect()
}

/// The sources of a module and of its submodules, each with its depth below the crate, without unit tests.
fn sources(module: &Path, depth: usize) -> Vec<(String, usize)> {
    let mut sources = vec![(module.with_extension("rs").display().to_string(), depth)];
    for entry in fs::read_dir(module).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|it| it == "rs") && path.file_stem().is_some_and(|it| it != "tests") {
            sources.extend(self::sources(&path.with_extension(""), depth + 1));
        }
    }
    sources
}

#[test]
fn the_pure_parts_name_nothing_impure_and_nothing_behind_them() {
    let dependencies = dependencies();
    assert!(PURE_CRATES.iter().all(|name| dependencies.contains(*name)), "{dependencies:?}");
    let mut found = Vec::new();
    for part in PURE {
        let sources = sources(&Path::new("src").join(part), 1);
        assert!(sources.len() > 3, "{part}: {sources:?}");
        for (file, depth) in sources {
            let source = fs::read_to_string(&file).expect("a source");
            found.extend(impure(part, depth, &source, &dependencies).into_iter().map(|path| format!("{file}: {path}")));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// An event goes one way through the files of `propagation`: each file names only those below it.
#[test]
fn no_files_of_the_tracker_name_each_other_in_a_circle() {
    let named_by = |file: &str| -> BTreeSet<String> {
        let source = without_tests(&fs::read_to_string(file).expect("a source"));
        let of_siblings = paths(&source).into_iter().filter(|path| path[0] == "super" && path.len() > 1);
        of_siblings.map(|path| path[1].clone()).collect()
    };
    let files = sources(Path::new("src/propagation"), 1).into_iter().filter(|(_, depth)| *depth == 2);
    let stem = |file: &str| Path::new(file).file_stem().expect("a name").to_string_lossy().into_owned();
    let mut left: BTreeMap<String, BTreeSet<String>> = files.map(|(file, _)| (stem(&file), named_by(&file))).collect();
    assert!(left["tracker"].contains("join") && left["join"].contains("pairs"), "{left:#?}");
    // Removes a file that names none of the remaining ones, again and again.
    while let Some(lowest) =
        left.iter().find(|(_, names)| !names.iter().any(|name| left.contains_key(name))).map(|(file, _)| file.clone())
    {
        left.remove(&lowest);
    }
    assert!(left.is_empty(), "in a circle: {left:#?}");
}

/// A data plane has sockets in the same module, so its pure files are named here.
#[test]
fn so_do_those_files_of_the_dataplane_that_know_what_rules_mean() {
    const FILES: [&str; 11] = [
        "effective.rs",
        "follower.rs",
        "graph.rs",
        "iptables.rs",
        "netlink/attributes.rs",
        "netlink/message.rs",
        "nftables.rs",
        "observation.rs",
        "rule.rs",
        "ruleset.rs",
        "table.rs",
    ];
    let dependencies = dependencies();
    for file in FILES {
        let source = fs::read_to_string(Path::new("src/dataplane").join(file)).expect("a source");
        let mut found = impure("dataplane", 1 + file.split('/').count(), &source, &dependencies);
        // An address is not a socket.
        found.retain(|path| path != "std::net::IpAddr");
        assert!(found.is_empty(), "{file}: {found:?}");
    }
}

#[test]
fn whatever_names_something_impure_is_found() {
    let dependencies = ["slab", "tokio", "tracing"].map(str::to_owned).into();
    let found = |source: &str| impure("ledger", 2, source, &dependencies).join(" ");
    assert_eq!(
        found("use crate::{cluster::{self, event::Stamp as At}, model::Uid};"),
        "crate::cluster::self crate::cluster::event::Stamp"
    );
    assert_eq!(found("pub use crate::stats::*;"), "crate::stats");
    assert_eq!(found("use super::super::propagation::Tracker;"), "super::super::propagation::Tracker");
    assert_eq!(found("use super::{super::propagation, Pending};"), "super::super::propagation");
    assert_eq!(found("fn f<'a>(it: &'a str) { if it == \"//\" { tracing::warn!(\"\") } }"), "tracing::warn");
    assert_eq!(
        found("use tokio;\nuse std::{net::IpAddr, time::{Duration, Instant}};"),
        "tokio std::net::IpAddr std::time::Instant"
    );
    assert_eq!(found("let now = SystemTime::now();"), "SystemTime::now");
    let pure = [
        "use super::{Pending, super::model};",
        "use crate::{ledger::Change, model::Uid};",
        "use std::{mem, time::Duration};\nuse slab::Slab;",
        "// tokio::spawn, and \"\n/// crate::stats::Stats",
        "let texts = (\"tokio::spawn\", '\"', '\\'', b'\\\\', \"\\\" tracing::warn\");",
        "fn f<'a>() -> impl Iterator + use<'a> {}",
        "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use tokio::spawn;\n}\n",
    ];
    for source in pure {
        assert_eq!(found(source), "", "{source}");
    }
}
