//! The architecture as a test: which room may name which, and what no room may do.
//!
//! Owns the tables below, which are the rules, and their check against the source tree. Comments, texts and
//! code under `#[cfg(test)]` do not count. Must not know what any room does.

mod source;

use std::collections::BTreeSet;
use std::path::Path;

use source::{Named, Source};

/// Every room, and the rooms of this crate that its code may name besides itself. Dependencies point
/// inward: a stage sees the domain, the pipeline sees the stages, and `app` gives the pipeline to the
/// listener, which sees nobody.
const ROOMS: &[(&str, &str)] = &[
    ("domain", ""),
    ("clock", ""),
    ("private", ""),
    ("config", "domain"),
    ("telemetry", "clock config"),
    ("route", "domain"),
    ("base", ""),
    ("limit", "domain clock config"),
    ("upstream", "domain clock config limit"),
    ("archive", "domain"),
    ("store", "domain clock private"),
    ("intake", "domain clock store"),
    ("consistency", "domain clock store"),
    ("cache", "domain clock telemetry config limit upstream archive store consistency intake"),
    ("relay", "domain clock config limit upstream archive store cache consistency intake telemetry"),
    ("audit", "archive domain telemetry route upstream store consistency cache"),
    ("respond", "domain route base upstream archive store consistency cache limit relay"),
    ("pipeline", "domain clock telemetry route base limit store cache relay respond"),
    ("listen", "private"),
    ("explain", "domain clock consistency store cache"),
    ("reload", "config"),
    ("admin", "domain clock telemetry route base store cache respond explain reload"),
    (
        "app",
        "clock private telemetry config base upstream archive store cache audit relay respond pipeline listen reload admin limit",
    ),
    ("demo", "domain archive"),
    ("cli", "domain clock telemetry config store consistency audit explain app demo"),
    ("main", "cli"),
    ("lib", ""),
];

/// Libraries and calls that stand behind one door: a file, or a folder with everything in it.
const DOORS: &[(&str, &str)] = &[
    ("hyper_util::client", "upstream/http/"),
    ("reqwest", "nowhere"),
    ("object_store", "store/object/"),
    ("pingora_core", "listen/"),
    ("SystemTime::now", "clock.rs"),
];

/// The one file below the listener's door that sees the server library's connections, and their type.
const CONNECTIONS: (&str, &str) = ("pingora_core", "Stream");

/// What would make the domain do input or output, or ask for the time.
const NOT_IN_DOMAIN: &[&str] = &[
    "tokio",
    "hyper",
    "reqwest",
    "object_store",
    "pingora_core",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime::now",
    "Instant::now",
];

/// Types whose statics are state that no caller passed in.
const STATE: &[&str] = &["Mutex", "RwLock", "OnceLock", "OnceCell", "RefCell", "Cell", "ArcSwap"];

const NAMES_OF_NOTHING: &[&str] = &["utils", "util", "helpers", "helper", "manager", "common", "misc"];

const MOST_LINES: usize = 400;

/// Folders with code of ours, and how often `unsafe` stands there. SECURITY.md says what the two are.
const UNSAFE: &[(&str, usize)] = &[("src", 0), ("tests", 0), ("benches", 0), ("fuzz", 0), ("vendor", 2)];

/// A rule gives one line for each place that breaks it.
type Rule = fn(&[Source]) -> Vec<String>;

fn headers(tree: &[Source]) -> Vec<String> {
    tree.iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| format!("src/{}: expected to open with a `//!` header", source.path))
        .collect()
}

fn lengths(tree: &[Source]) -> Vec<String> {
    tree.iter()
        .map(|source| (source, source.text.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(source, lines)| format!("src/{}: {lines} lines, expected at most {MOST_LINES}", source.path))
        .collect()
}

fn file_names(tree: &[Source]) -> Vec<String> {
    tree.iter()
        .filter(|source| source.path.split(['/', '.']).any(|part| NAMES_OF_NOTHING.contains(&part)))
        .map(|source| format!("src/{}: name the concept it holds", source.path))
        .collect()
}

fn every_room_is_listed(tree: &[Source]) -> Vec<String> {
    let found: BTreeSet<&str> = tree.iter().map(Source::room).collect();
    let listed: BTreeSet<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
    found
        .symmetric_difference(&listed)
        .map(|room| format!("src/{room}: in the tree or in ROOMS, not in both"))
        .collect()
}

fn rooms(tree: &[Source]) -> Vec<String> {
    let may_see = |room: &str, other: &str| {
        let seen = ROOMS.iter().find(|(name, _)| *name == room).map_or("", |(_, seen)| seen);
        room == other || seen.split(' ').any(|seen| seen == other)
    };
    violations(tree, |source, path| {
        let [first, other, ..] = path else { return None };
        let forbidden = first == "crate" && !may_see(source.room(), other);
        forbidden.then(|| format!("`{}` may not see `{other}`", source.room()))
    })
}

fn doors(tree: &[Source]) -> Vec<String> {
    violations(tree, |source, path| {
        let (name, door) = DOORS.iter().find(|(name, _)| names(path, name))?;
        let through = if door.ends_with('/') { source.path.starts_with(door) } else { source.path == *door };
        (!through).then(|| format!("`{name}` is named only in src/{door}"))
    })
}

fn connections_in_one_file(tree: &[Source]) -> Vec<String> {
    let (library, connection) = CONNECTIONS;
    let is_connection =
        |path: &[String]| names(path, library) && path.iter().any(|segment| segment == connection);
    let sees = |source: &&Source| source.named.iter().any(|named| is_connection(&named.segments));
    let files: Vec<&str> = tree.iter().filter(sees).map(|source| source.path.as_str()).collect();
    if files.len() == 1 {
        return Vec::new();
    }
    vec![format!("src/listen: expected one file that names {library}'s `{connection}`, found {files:?}")]
}

fn pure_domain(tree: &[Source]) -> Vec<String> {
    violations(tree, |source, path| {
        let name = NOT_IN_DOMAIN.iter().find(|name| names(path, name))?;
        (source.room() == "domain").then(|| format!("the domain does no I/O and knows no time: `{name}`"))
    })
}

fn no_state_in_statics(tree: &[Source]) -> Vec<String> {
    let holds_state = |word: &str| STATE.contains(&word) || word.starts_with("Atomic");
    let mut found = Vec::new();
    for source in tree {
        for (at, token) in source.code.iter().enumerate() {
            let declaration = source.code[at..].iter().map(|token| token.text.as_str());
            let state = match token.text.as_str() {
                "static" => declaration
                    .take_while(|text| !matches!(*text, "=" | ";"))
                    .any(|w| w == "mut" || holds_state(w)),
                "lazy_static" | "thread_local" => true,
                _ => false,
            };
            if state {
                found.push(format!("src/{}:{}: state is passed in, never a static", source.path, token.line));
            }
        }
    }
    found
}

fn no_panics(tree: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in tree {
        for window in source.code.windows(3) {
            let [before, call, after] = window else { continue };
            let method = matches!(call.text.as_str(), "unwrap" | "expect" | "unwrap_err" | "expect_err");
            let panics = method && matches!(before.text.as_str(), "." | "::") && after.text != "::"
                || matches!(call.text.as_str(), "panic" | "unreachable" | "todo" | "unimplemented")
                    && after.text == "!";
            if panics {
                found.push(format!("src/{}:{}: `{}` outside tests", source.path, call.line, call.text));
            }
        }
    }
    found
}

/// Where `why` finds something against a path that a file names.
fn violations(tree: &[Source], why: impl Fn(&Source, &[String]) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    for source in tree {
        for Named { segments, line } in &source.named {
            found.extend(why(source, segments).map(|why| format!("src/{}:{line}: {why}", source.path)));
        }
    }
    found.dedup();
    found
}

/// Whether `path` names `wanted`: a library that it starts at, or `Type::function` anywhere.
fn names(path: &[String], wanted: &str) -> bool {
    match wanted.split_once("::") {
        None => path.len() > 1 && path[0] == wanted,
        Some((owner, item)) => path.windows(2).any(|pair| pair[0] == owner && pair[1] == item),
    }
}

const RULES: &[Rule] = &[
    headers,
    lengths,
    file_names,
    every_room_is_listed,
    rooms,
    doors,
    connections_in_one_file,
    pure_domain,
    no_state_in_statics,
    no_panics,
];

#[test]
fn the_source_tree_keeps_every_rule() {
    let tree = source::read_tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let broken: Vec<String> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    assert!(
        broken.is_empty(),
        "the architecture is broken in {} places:\n{}",
        broken.len(),
        broken.join("\n")
    );
}

#[test]
fn no_more_code_is_unsafe_than_is_told() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (folder, told) in UNSAFE {
        let tree = source::read_tree(&root.join(folder));
        let found =
            tree.iter().flat_map(|source| &source.code).filter(|token| token.text == "unsafe").count();
        assert!(!tree.is_empty() && found == *told, "{folder}/: `unsafe` stands in it {found} times");
    }
}

fn tree(files: &[(&str, &str)]) -> Vec<Source> {
    source::parse(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
}

#[test]
fn each_planted_violation_is_found() {
    let long = "//! Long.\n".repeat(MOST_LINES + 1);
    let planted: &[(Rule, &str, &str)] = &[
        (headers, "domain/x.rs", "// No header.\nfn x() {}"),
        (lengths, "domain/x.rs", &long),
        (file_names, "store/utils.rs", "//! X."),
        (file_names, "common/mod.rs", "//! X."),
        (every_room_is_listed, "attic/mod.rs", "//! X."),
        (rooms, "domain/x.rs", "use crate::{domain::Name, store::Key};"),
        (rooms, "upstream/http.rs", "use super::super::store;"),
        (rooms, "upstream/mod.rs", "fn f() { super::cache::get() }"),
        (rooms, "archive/mod.rs", "fn f(x: &scriptorium::pipeline::Stages) {}"),
        (doors, "cache/fill.rs", "use reqwest::Client;"),
        (doors, "upstream/http.rs", "use hyper_util::client::legacy::Client;"),
        (doors, "store/staged.rs", "fn f() -> object_store::Result<()> { Ok(()) }"),
        (doors, "app.rs", "use ::pingora_core::server::Server;"),
        (doors, "cache/freshness.rs", "use std::time::SystemTime;\nfn f() { SystemTime::now(); }"),
        (connections_in_one_file, "listen/mod.rs", "use pingora_core::server::Server;"),
        (pure_domain, "domain/x.rs", "use std::{fmt, fs::File};"),
        (pure_domain, "domain/x.rs", "async fn f() { tokio::time::sleep(d).await }"),
        (no_state_in_statics, "cache/x.rs", "static mut COUNT: u32 = 0;"),
        (no_state_in_statics, "cache/x.rs", "pub static SEEN: OnceLock<String> = OnceLock::new();"),
        (no_state_in_statics, "cache/x.rs", "static N: std::sync::atomic::AtomicU64 = AtomicU64::new(0);"),
        (no_panics, "cache/x.rs", "#[cfg(test)]\nfn t() { a.unwrap() }\nfn f() { b.unwrap() }"),
        (no_panics, "cache/x.rs", "fn f() { let quote = '\"'; x.map(Option::unwrap); /* \" */ }"),
        (no_panics, "cache/x.rs", "fn f() { unreachable!(\"never\") }"),
    ];
    for (rule, path, text) in planted {
        let tree = tree(&[(path, text)]);
        let place = format!("src/{}", tree[0].room());
        assert!(rule(&tree).iter().any(|line| line.starts_with(&place)), "not found in {path}: {text}");
    }
}

#[test]
fn what_only_looks_like_a_violation_is_none() {
    let listener = ("listen/stream.rs", "use pingora_core::protocols::{Stream, tls};");
    let innocent = [
        (
            "upstream/http/pool.rs",
            "use hyper_util::client::legacy::{Client, connect};\nuse crate::domain::Name;\nuse super::budget;",
        ),
        ("store/object/mod.rs", "use object_store::path::Path;\nuse crate::store::Key;"),
        ("clock.rs", "fn now() { std::time::SystemTime::now() }"),
        (
            "domain/x.rs",
            "/// Not `crate::store` nor tokio::fs.\nfn f<'a>(x: &'a str) -> &'static str { r#\"a.unwrap() \"tokio::x\"\"# }",
        ),
        (
            "domain/y.rs",
            "/* crate::store::X /* reqwest::Y */ static mut */ fn f() { let object_store = \"std::fs\"; }",
        ),
        (
            "cache/x.rs",
            "static WORDS: LazyLock<Vec<&'static str>> = LazyLock::new(list);\nfn f() { x.unwrap_or(1); }",
        ),
        (
            "cache/y.rs",
            "#[cfg(test)]\nmod tests { use crate::app::App; fn t() { x.unwrap(); } }\n#[cfg(test)]\nmod contract;",
        ),
        ("cache/y/contract.rs", "fn t() { panic!(\"reqwest\") }"),
        listener,
    ];
    let texts: Vec<(&str, String)> =
        innocent.iter().map(|(path, text)| (*path, format!("//! X.\n{text}\n"))).collect();
    let tree = tree(&texts.iter().map(|(path, text)| (*path, text.as_str())).collect::<Vec<_>>());
    let by_file = RULES.iter().flat_map(|rule| rule(&tree)).filter(|line| !line.contains("in ROOMS"));
    assert_eq!(by_file.collect::<Vec<_>>(), Vec::<String>::new());
}
