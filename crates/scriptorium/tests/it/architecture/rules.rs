//! The rules themselves, each of which says where a crate's source breaks it.
//!
//! Owns how a rule is read off the source. Must not know what is allowed, which the tables say.

use std::collections::{BTreeMap, BTreeSet};

use super::circles;
use super::source::{self, Named, Source, Token};
use super::{
    CIRCLES_LEFT, CRATES, DOORS, MOST_FUNCTION_LINES, MOST_LINES, NAMES_OF_NOTHING, NOT_IN_DOMAIN, ROOMS,
    STATE,
};

/// A rule gives one line for each place that breaks it.
pub(super) type Rule = fn(&[Source]) -> Vec<String>;

pub(super) fn headers(tree: &[Source]) -> Vec<String> {
    tree.iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| format!("src/{}: expected to open with a `//!` header", source.path))
        .collect()
}

pub(super) fn lengths(tree: &[Source]) -> Vec<String> {
    tree.iter()
        .map(|source| (source, source.text.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(source, lines)| format!("src/{}: {lines} lines, expected at most {MOST_LINES}", source.path))
        .collect()
}

pub(super) fn function_lengths(tree: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in tree {
        for (at, _) in source.code.iter().enumerate().filter(|(_, token)| token.text == "fn") {
            let lines = lines_of_function(&source.code[at..]);
            let (line, name) = (source.code[at].line, &source.code[at + 1].text);
            if lines > MOST_FUNCTION_LINES {
                found.push(format!(
                    "src/{}:{line}: `{name}` has {lines} lines of code, expected at most {MOST_FUNCTION_LINES}",
                    source.path
                ));
            }
        }
    }
    found
}

/// Lines with code from `fn` to the end of the body; 0 where none follows, as in the type of a function.
fn lines_of_function(code: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in code.iter().enumerate() {
        match token.text.as_str() {
            ";" | ")" | "]" | "}" if depth == 0 => break,
            "}" if depth == 1 => {
                return code[..=at].iter().map(|token| token.line).collect::<BTreeSet<_>>().len();
            }
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
    }
    0
}

pub(super) fn no_circles(tree: &[Source]) -> Vec<String> {
    let circles = circles::find(tree).into_iter();
    circles
        .filter(|files| files.iter().any(|file| !CIRCLES_LEFT.contains(file)))
        .map(|files| format!("src: these files use each other in a circle: {}", files.join(", ")))
        .collect()
}

/// Types that other files can name, each with the files that declare one of that name where there are two.
pub(super) fn shared_names(crates: &[(String, Vec<Source>)]) -> BTreeMap<String, Vec<String>> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, tree) in crates {
        for source in tree {
            for declared in public_types(&source.code) {
                places
                    .entry(declared.to_owned())
                    .or_default()
                    .push(format!("crates/{name}/src/{}", source.path));
            }
        }
    }
    places.retain(|_, places| places.len() > 1);
    places
}

fn public_types(code: &[Token]) -> impl Iterator<Item = &str> {
    let text = |at: usize| code.get(at).map_or("", |token| token.text.as_str());
    (0..code.len()).filter(move |at| text(*at) == "pub").filter_map(move |at| {
        let restricted = text(at + 1) == "(";
        let keyword = if restricted { (at..).find(|at| text(*at) == ")")? + 1 } else { at + 1 };
        let is_type = matches!(text(keyword), "struct" | "enum" | "trait" | "type" | "union");
        is_type.then(|| text(keyword + 1))
    })
}

pub(super) fn file_names(tree: &[Source]) -> Vec<String> {
    tree.iter()
        .filter(|source| source.path.split(['/', '.']).any(|part| NAMES_OF_NOTHING.contains(&part)))
        .map(|source| format!("src/{}: name the concept it holds", source.path))
        .collect()
}

pub(super) fn every_room_is_listed(tree: &[Source]) -> Vec<String> {
    let found: BTreeSet<&str> = tree.iter().map(Source::room).collect();
    let listed: BTreeSet<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
    found
        .symmetric_difference(&listed)
        .map(|room| format!("src/{room}: in the tree or in ROOMS, not in both"))
        .collect()
}

pub(super) fn rooms(tree: &[Source]) -> Vec<String> {
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

pub(super) fn crates(tree: &[Source]) -> Vec<String> {
    let is_module = |source: &Source, name: &String| {
        let below = [&source.module[..], std::slice::from_ref(name)].concat();
        source.imported(name).is_some_and(|path| path.len() > 1)
            || tree.iter().any(|other| other.module == below)
    };
    violations(tree, |source, path| {
        let [first, _, ..] = path else { return None };
        let (_, rooms) = CRATES.iter().find(|(name, _)| name == first)?;
        let forbidden = !is_module(source, first) && !rooms.split(' ').any(|room| room == source.room());
        forbidden.then(|| format!("`{}` may not see the crate `{first}`", source.room()))
    })
}

pub(super) fn doors(tree: &[Source]) -> Vec<String> {
    violations(tree, |source, path| {
        let (name, door) = DOORS.iter().find(|(name, _)| names(path, name))?;
        let through = if door.ends_with('/') { source.path.starts_with(door) } else { source.path == *door };
        (!through).then(|| format!("`{name}` is named only in src/{door}"))
    })
}

pub(super) fn pure_domain(tree: &[Source]) -> Vec<String> {
    violations(tree, |source, path| {
        let name = NOT_IN_DOMAIN.iter().find(|name| names(path, name))?;
        (source.room() == "domain").then(|| format!("the domain does no I/O and knows no time: `{name}`"))
    })
}

pub(super) fn no_state_in_statics(tree: &[Source]) -> Vec<String> {
    let holds_state = |word: &str| STATE.contains(&word) || word.starts_with("Atomic");
    let mut found = Vec::new();
    for source in tree {
        for (at, token) in source.code.iter().enumerate() {
            let declaration = source.code[at..].iter().map(|token| token.text.as_str());
            let state = match token.text.as_str() {
                "static" => declaration
                    .take_while(|text| !matches!(*text, "=" | ";"))
                    .any(|w| w == "mut" || holds_state(w)),
                "lazy_static" => true,
                // The crate of that name holds what a thread has of a value that was passed in.
                "thread_local" => source.code.get(at + 1).is_some_and(|next| next.text == "!"),
                _ => false,
            };
            if state {
                found.push(format!("src/{}:{}: state is passed in, never a static", source.path, token.line));
            }
        }
    }
    found
}

pub(super) fn no_panics(tree: &[Source]) -> Vec<String> {
    tree.iter().flat_map(|source| panics(source, &source.code)).collect()
}

/// A crate that only tests use may panic where an `expect` attribute gives the reason.
pub(super) fn no_panics_without_reason(tree: &[Source]) -> Vec<String> {
    tree.iter().flat_map(|source| panics(source, &source::without_expected(&source.code))).collect()
}

fn panics(source: &Source, code: &[Token]) -> Vec<String> {
    let mut found = Vec::new();
    for window in code.windows(3) {
        let [before, call, after] = window else { continue };
        let method = matches!(call.text.as_str(), "unwrap" | "expect" | "unwrap_err" | "expect_err");
        let panics = method && matches!(before.text.as_str(), "." | "::") && after.text != "::"
            || matches!(call.text.as_str(), "panic" | "unreachable" | "todo" | "unimplemented")
                && after.text == "!";
        if panics {
            found.push(format!("src/{}:{}: `{}` outside tests", source.path, call.line, call.text));
        }
    }
    found
}

/// Where `why` finds something against a path that a file names.
fn violations(tree: &[Source], why: impl Fn(&Source, &[String]) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    for source in tree {
        for Named { segments, line, .. } in &source.named {
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
