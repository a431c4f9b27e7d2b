//! Violations planted into small trees, each of which its rule must find, and code that only looks like one.
//!
//! Owns the check of the rules themselves. Must not know the source of any crate.

use super::circles;
use super::rules::{self, Rule};
use super::source::{self, Source};
use super::{EVERYWHERE, IN_THE_PROXY, MOST_FUNCTION_LINES, MOST_LINES};

fn tree(files: &[(&str, &str)]) -> Vec<Source> {
    source::parse(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
}

#[test]
fn each_planted_violation_is_found() {
    let long = "//! Long.\n".repeat(MOST_LINES + 1);
    let long_function = format!("fn x() {{{}}}", "\n;".repeat(MOST_FUNCTION_LINES));
    let planted: &[(Rule, &str, &str)] = &[
        (rules::headers, "domain/x.rs", "// No header.\nfn x() {}"),
        (rules::lengths, "domain/x.rs", &long),
        (rules::function_lengths, "domain/x.rs", &long_function),
        (rules::file_names, "store/utils.rs", "//! X."),
        (rules::file_names, "common/mod.rs", "//! X."),
        (rules::every_room_is_listed, "attic/mod.rs", "//! X."),
        (rules::rooms, "domain/x.rs", "use crate::{domain::Name, store::Key};"),
        (rules::rooms, "upstream/http.rs", "use super::super::store;"),
        (rules::rooms, "upstream/mod.rs", "fn f() { super::cache::get() }"),
        (rules::rooms, "archive/mod.rs", "fn f(x: &scriptorium::pipeline::Stages) {}"),
        (rules::crates, "store/x.rs", "use archive::{TreeHasher, examine};"),
        (rules::crates, "pipeline.rs", "fn f() { bibliotheca::sample::publish() }"),
        (rules::doors, "cache/fill.rs", "use reqwest::Client;"),
        (rules::doors, "upstream/http.rs", "use hyper_util::client::legacy::Client;"),
        (rules::doors, "store/staged.rs", "fn f() -> object_store::Result<()> { Ok(()) }"),
        (rules::doors, "app.rs", "use ::hyper::server::conn::http1;"),
        (rules::doors, "listen/socket.rs", "use nix::sys::socket::getsockopt;"),
        (rules::doors, "cache/freshness.rs", "use std::time::SystemTime;\nfn f() { SystemTime::now(); }"),
        (rules::pure_domain, "domain/x.rs", "use std::{fmt, fs::File};"),
        (rules::pure_domain, "domain/x.rs", "async fn f() { tokio::time::sleep(d).await }"),
        (rules::no_state_in_statics, "cache/x.rs", "static mut COUNT: u32 = 0;"),
        (rules::no_state_in_statics, "cache/x.rs", "pub static SEEN: OnceLock<String> = OnceLock::new();"),
        (
            rules::no_state_in_statics,
            "cache/x.rs",
            "static N: std::sync::atomic::AtomicU64 = AtomicU64::new(0);",
        ),
        (rules::no_state_in_statics, "cache/x.rs", "std::thread_local! { static N: u8 = const { 0 } }"),
        (rules::no_panics, "cache/x.rs", "#[cfg(test)]\nfn t() { a.unwrap() }\nfn f() { b.unwrap() }"),
        (rules::no_panics, "cache/x.rs", "fn f() { let quote = '\"'; x.map(Option::unwrap); /* \" */ }"),
        (
            rules::no_panics_without_reason,
            "x.rs",
            "#[expect(clippy::panic, reason = \"a test\")]\nfn t() { panic!() }\nfn f() { a.unwrap() }",
        ),
        (rules::no_panics, "cache/x.rs", "fn f() { unreachable!(\"never\") }"),
    ];
    for (rule, path, text) in planted {
        let tree = tree(&[(path, text)]);
        let place = format!("src/{}", tree[0].room());
        assert!(rule(&tree).iter().any(|line| line.starts_with(&place)), "not found in {path}: {text}");
    }
}

#[test]
fn what_only_looks_like_a_violation_is_none() {
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
        ("cache/z.rs", "use thread_local::ThreadLocal;\nstruct Counts(ThreadLocal<u64>);"),
        ("audit/z.rs", "use super::archive;\nfn f() { archive::judge() }"),
        ("pipeline.rs", "mod archive;\nfn f() { archive::g() }"),
        ("pipeline/archive.rs", "fn g() {}"),
        ("cache/y/contract.rs", "fn t() { panic!(\"reqwest\") }"),
        ("listen/connection.rs", "use hyper::server::conn::{http1, http2};"),
    ];
    let texts: Vec<(&str, String)> =
        innocent.iter().map(|(path, text)| (*path, format!("//! X.\n{text}\n"))).collect();
    let tree = tree(&texts.iter().map(|(path, text)| (*path, text.as_str())).collect::<Vec<_>>());
    let by_file = EVERYWHERE
        .iter()
        .chain(IN_THE_PROXY)
        .flat_map(|rule| rule(&tree))
        .filter(|line| !line.contains("in ROOMS"));
    assert_eq!(by_file.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn a_circle_of_files_is_found_through_modules_imports_and_renames() {
    let circles = |files: &[(&str, &str)]| {
        let tree = tree(files);
        circles::find(&tree).into_iter().map(|files| files.join(" ")).collect::<Vec<_>>()
    };
    let direct =
        [("a.rs", "use crate::b::B;"), ("b.rs", "fn b() { crate::a::c() }"), ("c.rs", "use super::a;")];
    assert_eq!(circles(&direct), ["a.rs b.rs"]);
    let renamed = [
        ("a/mod.rs", "mod one;\nmod two;\npub use one::One as First;\nuse two::Two;"),
        ("a/one.rs", "use super::Two;"),
        ("a/two.rs", "use super::three;\nfn two() { three::f() }"),
        ("a/three.rs", "fn three() -> crate::a::First { loop {} }"),
    ];
    assert_eq!(circles(&renamed), ["a/one.rs a/two.rs a/three.rs"]);
    let none = [
        ("a/mod.rs", "mod one;\nfn a() { one::f() }"),
        ("a/one.rs", "use super::A;\n#[cfg(test)]\nuse crate::b::B;"),
        ("b.rs", "use crate::a::one::f;\nuse std::a::A;"),
    ];
    assert_eq!(circles(&none), [""; 0], "a file may use what the modules around it declare");
}

#[test]
fn a_public_name_of_two_types_is_found() {
    let crates = [
        ("one".to_owned(), tree(&[("a.rs", "pub(crate) struct A;\nstruct B;"), ("b.rs", "pub enum C {}")])),
        (
            "two".to_owned(),
            tree(&[("a.rs", "pub trait A {}\npub(in crate::x) type B = u8;\nimpl A for C { type C = u8; }")]),
        ),
    ];
    let shared = rules::shared_names(&crates);
    assert_eq!(
        shared.into_iter().collect::<Vec<_>>(),
        [("A".to_owned(), vec!["crates/one/src/a.rs".to_owned(), "crates/two/src/a.rs".to_owned()])]
    );
}
