//! The architecture as a test: which room may name which, and what no crate may do.
//!
//! Owns the tables below, which are the rules, and their check against the source of every crate. Comments, texts and
//! code under `#[cfg(test)]` do not count. Must not know what any room does.

mod circles;
mod planted;
mod rules;
mod source;

use std::path::{Path, PathBuf};

use rules::Rule;
use source::Source;

/// Every room of the proxy, and the rooms that its code may name besides itself, all of which stand above it.
/// Dependencies point inward: a stage sees the domain, the pipeline sees the stages, and `app` gives the pipeline to
/// the listener, which sees nobody.
const ROOMS: &[(&str, &str)] = &[
    ("domain", ""),
    ("clock", ""),
    ("progress", ""),
    ("admission", ""),
    ("private", ""),
    ("rights", ""),
    ("causes", ""),
    ("flight", ""),
    ("long_work", "admission"),
    ("config", "domain clock"),
    ("spans", "config"),
    ("telemetry", "clock config spans"),
    ("route", "domain"),
    ("base", ""),
    ("store", "domain clock private flight spans"),
    ("cluster", "domain clock config telemetry store"),
    ("access", "domain clock config"),
    ("limit", "access domain clock cluster config admission"),
    ("upstream", "causes domain clock cluster config limit admission progress spans"),
    ("audit_record", "clock domain telemetry"),
    ("issuer_keys", "access clock config telemetry upstream"),
    ("repositories", "domain private progress store upstream"),
    ("intake", "domain clock store progress"),
    ("consistency", "domain clock store"),
    ("policies", "domain clock telemetry store consistency long_work"),
    (
        "read",
        "access domain clock telemetry config cluster limit upstream store consistency policies admission flight long_work",
    ),
    ("advisories", "domain clock policies read"),
    (
        "files",
        "domain clock telemetry cluster limit upstream store consistency intake read repositories progress flight spans",
    ),
    (
        "relay",
        "access domain clock config limit upstream store files read consistency intake telemetry admission progress spans",
    ),
    ("audit", "domain clock telemetry route upstream store consistency read"),
    ("mirror", "domain clock private telemetry config upstream store read files"),
    ("bundles", "domain clock route upstream store consistency read files mirror"),
    ("respond", "access domain route base upstream store consistency policies files read limit relay"),
    (
        "pipeline",
        "access audit_record domain clock telemetry policies route base limit store upstream files read relay respond spans",
    ),
    ("listen", "clock private progress telemetry"),
    ("explain", "domain clock consistency store policies read"),
    ("reload", "config"),
    (
        "admin",
        "advisories audit audit_record consistency domain clock cluster telemetry route base store read mirror bundles respond explain reload",
    ),
    (
        "app",
        "causes clock cluster private rights telemetry config base advisories upstream repositories store files read audit mirror bundles relay respond pipeline listen reload admin limit issuer_keys audit_record",
    ),
    (
        "doctor",
        "advisories audit_record causes spans clock cluster config domain store upstream listen rights app",
    ),
    (
        "cli",
        "causes domain clock private telemetry config store consistency audit audit_record mirror bundles explain app doctor",
    ),
    ("main", "cli"),
    ("lib", ""),
    (
        "facade",
        "app clock config consistency domain limit listen pipeline relay respond route store telemetry",
    ),
];

/// The other crates of the workspace, and the rooms of the proxy whose code may name them.
const CRATES: &[(&str, &str)] = &[
    ("cluster", "cluster read limit upstream app"),
    ("connect_failure", "upstream"),
    ("archive", "domain policies read repositories files relay audit respond app"),
    ("nullspace", "relay respond app"),
    ("bibliotheca", "cli"),
    ("bundle", "config bundles cli"),
    ("selection", "domain config mirror"),
    ("git_delivery", "repositories files app"),
    ("policy", "config policies advisories read explain pipeline app cli"),
];

/// Libraries and calls that stand behind one door: a file, or a folder with everything in it.
const DOORS: &[(&str, &str)] = &[
    ("hyper_util::client", "upstream/http/"),
    ("reqwest", "nowhere"),
    ("object_store", "store/object/"),
    ("hyper::server", "listen/connection.rs"),
    ("jsonwebtoken", "access/"),
    ("ring::signature", "access/signature.rs"),
    ("nix", "listen/tcp_info.rs"),
    ("sd_notify", "listen/service_manager.rs"),
    ("procfs", "listen/holder.rs"),
    ("opentelemetry_otlp", "spans/collector.rs"),
    ("opentelemetry_sdk", "spans/collector.rs"),
    ("tracing_opentelemetry", "spans/"),
    ("SystemTime::now", "clock.rs"),
];

/// What would make the domain do input or output, or ask for the time.
const NOT_IN_DOMAIN: &[&str] = &[
    "tokio",
    "hyper",
    "reqwest",
    "object_store",
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

/// Lines of a file, and lines of code of a function.
const MOST_LINES: usize = 400;
const MOST_FUNCTION_LINES: usize = 65;

/// Public types of one name in two files, each with the reason why neither is renamed.
const SHARED_NAMES: &[(&str, &str)] = &[];

/// Shared names that are still to be renamed; the list only shrinks.
const SHARED_NAMES_LEFT: &[&str] = &[];

/// Files that still stand in a circle; the list only shrinks.
const CIRCLES_LEFT: &[&str] = &[];

/// Folders with code of ours, in which `unsafe` stands nowhere.
const WITHOUT_UNSAFE: &[&str] = &["crates", "fuzz"];

/// What holds in every crate.
const EVERYWHERE: &[Rule] = &[
    rules::headers,
    rules::lengths,
    rules::function_lengths,
    rules::file_names,
    rules::no_state_in_statics,
    rules::no_circles,
];

/// What holds in the proxy.
const IN_THE_PROXY: &[Rule] = &[
    rules::every_room_is_listed,
    rules::rooms,
    rules::crates,
    rules::doors,
    rules::pure_domain,
    rules::no_panics,
];

/// What holds in every other crate.
const IN_OTHER_CRATES: &[Rule] = &[rules::no_panics_without_reason];

fn folder_of_crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The source of every crate, by the crate's name.
fn crates() -> Vec<(String, Vec<Source>)> {
    let folders = std::fs::read_dir(folder_of_crates()).expect("readable folder of crates");
    let mut crates: Vec<_> = folders
        .map(|folder| folder.expect("readable folder of crates"))
        .map(|folder| {
            (folder.file_name().display().to_string(), source::read_tree(&folder.path().join("src")))
        })
        .collect();
    crates.sort_by(|(one, _), (other, _)| one.cmp(other));
    crates
}

#[test]
fn every_crate_keeps_every_rule() {
    let mut broken = Vec::new();
    for (name, tree) in crates() {
        assert!(!tree.is_empty(), "crates/{name}/src: no source");
        let more = if name == "scriptorium" { IN_THE_PROXY } else { IN_OTHER_CRATES };
        let lines = EVERYWHERE.iter().chain(more).flat_map(|rule| rule(&tree));
        broken.extend(lines.map(|line| format!("crates/{name}/{line}")));
    }
    assert!(
        broken.is_empty(),
        "the architecture is broken in {} places:\n{}",
        broken.len(),
        broken.join("\n")
    );
}

#[test]
fn no_two_public_types_have_one_name() {
    let shared = rules::shared_names(&crates());
    let told: Vec<&str> = SHARED_NAMES.iter().map(|(name, _)| *name).collect();
    let unknown: Vec<_> = shared
        .iter()
        .filter(|(name, _)| !told.contains(&name.as_str()) && !SHARED_NAMES_LEFT.contains(&name.as_str()))
        .collect();
    assert!(unknown.is_empty(), "one name for two public types: {unknown:#?}");
    for name in told {
        assert!(shared.contains_key(name), "`{name}` is no longer shared: take it off the list");
    }
}

#[test]
fn a_room_sees_only_rooms_that_stand_above_it() {
    for (at, (room, seen)) in ROOMS.iter().enumerate() {
        for other in seen.split_whitespace() {
            assert!(
                ROOMS[..at].iter().any(|(above, _)| *above == other),
                "`{room}` is listed above `{other}`"
            );
        }
    }
}

#[test]
fn no_code_is_unsafe() {
    let root = folder_of_crates().join("..");
    for folder in WITHOUT_UNSAFE {
        let tree = source::read_tree(&root.join(folder));
        let found =
            tree.iter().flat_map(|source| &source.code).filter(|token| token.text == "unsafe").count();
        assert!(!tree.is_empty() && found == 0, "{folder}/: `unsafe` stands in it {found} times");
    }
}
