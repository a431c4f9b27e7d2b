//! Rust source read into what the architecture's rules speak of: files, the paths they name, their tokens.
//!
//! Owns the reading: comments, doc text and literals are dropped, and so is everything under `#[cfg(test)]`,
//! in the file or through `#[cfg(test)] mod name;`. Must not know the rules.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// One token of the code and the line it stands on; every literal is the token `""`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

/// A path as the code names it, with use trees expanded and `self`, `super` resolved to `crate::…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) segments: Vec<String>,
    /// The name that a `use` gives it in the file.
    pub(super) import: Option<String>,
    pub(super) line: usize,
}

/// One source file.
pub(super) struct Source {
    /// Where it lies below `src`, with `/`.
    pub(super) path: String,
    /// The module that it is.
    pub(super) module: Vec<String>,
    /// Its whole text.
    pub(super) text: String,
    /// Its code outside tests.
    pub(super) code: Vec<Token>,
    /// Every path that code names.
    pub(super) named: Vec<Named>,
}

impl Source {
    /// The top-level module it belongs to: `store/object.rs` and `store.rs` are both `store`.
    pub(super) fn room(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// The path that a `use` of this file brings in under `name`.
    pub(super) fn imported(&self, name: &str) -> Option<&[String]> {
        let named = self.named.iter().find(|named| named.import.as_deref() == Some(name))?;
        Some(&named.segments)
    }
}

/// Reads every `.rs` file below `root`.
pub(super) fn read_tree(root: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("readable source folder") {
            let path = entry.expect("readable source folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("readable source file");
                let below = path.strip_prefix(root).expect("below the root").display().to_string();
                files.push((below, text));
            }
        }
    }
    files.sort();
    parse(files)
}

/// Makes sources of `(path, text)` pairs.
pub(super) fn parse(files: Vec<(String, String)>) -> Vec<Source> {
    let mut test_modules = HashSet::new();
    let mut sources: Vec<Source> = files
        .into_iter()
        .map(|(path, text)| {
            let module = module_of(&path);
            let (code, only_tests) = split_tests(tokens(&text));
            test_modules.extend(only_tests.into_iter().map(|name| [module.clone(), vec![name]].concat()));
            let named = paths(&code, &module);
            Source { path, module, text, code, named }
        })
        .collect();
    for source in &mut sources {
        let module = &source.module;
        if (1..=module.len()).any(|length| test_modules.contains(&module[..length])) {
            source.code.clear();
            source.named.clear();
        }
    }
    sources
}

/// `store/object.rs` is `crate::store::object`.
fn module_of(path: &str) -> Vec<String> {
    let mut module = vec!["crate".to_owned()];
    let file = PathBuf::from(path).with_extension("");
    module.extend(file.iter().map(|part| part.to_string_lossy().into_owned()));
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let (length, token) = next_token(rest);
        if let Some(token) = token {
            found.push(Token { text: token.to_owned(), line });
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    found
}

/// The length of what `rest` begins with, and the token it is unless it is blank, a comment or a lifetime.
fn next_token(rest: &str) -> (usize, Option<&str>) {
    let first = rest.chars().next().unwrap_or(' ');
    let until = |end: &str| rest.find(end).map_or(rest.len(), |found| found + end.len());
    if rest.starts_with("//") {
        (until("\n"), None)
    } else if rest.starts_with("/*") {
        (block_comment(rest), None)
    } else if let Some(length) = literal(rest) {
        (length, Some("\"\""))
    } else if first == '\'' {
        (1 + word(&rest[1..]), None)
    } else if first.is_alphanumeric() || first == '_' {
        let length = word(rest);
        (length, Some(&rest[..length]))
    } else if rest.starts_with("::") {
        (2, Some("::"))
    } else {
        let length = first.len_utf8();
        (length, (!first.is_whitespace()).then_some(&rest[..length]))
    }
}

fn word(rest: &str) -> usize {
    rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of the string or character literal at the start of `rest`.
fn literal(rest: &str) -> Option<usize> {
    let prefix = rest.find(|c: char| !matches!(c, 'b' | 'c' | 'r')).filter(|&length| length <= 2)?;
    let (marks, body) = (&rest[..prefix], &rest[prefix..]);
    let hashes = body.find(|c| c != '#')?;
    if marks.ends_with('r') && body[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let open = prefix + hashes + 1;
        return Some(rest[open..].find(&end).map_or(rest.len(), |found| open + found + end.len()));
    }
    let quote = body.chars().next()?;
    let is_character = quote == '\'' && (body[1..].starts_with('\\') || body.chars().nth(2) == Some('\''));
    if quote != '"' && !is_character {
        return None;
    }
    let mut escaped = false;
    let close = body[1..].find(|c| {
        let closes = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    });
    Some(close.map_or(rest.len(), |found| prefix + 1 + found + 1))
}

/// The code without its `#[cfg(test)]` items, and the names of the modules among those that are files.
fn split_tests(tokens: Vec<Token>) -> (Vec<Token>, Vec<String>) {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let (mut code, mut modules, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        if (0..ATTRIBUTE.len()).any(|i| text(at + i) != ATTRIBUTE[i]) {
            code.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let start = at + ATTRIBUTE.len();
        at = item_end(&tokens, start);
        if let Some(keyword) = (start..at).find(|&i| text(i) == "mod").filter(|_| text(at - 1) == ";") {
            modules.push(text(keyword + 1).to_owned());
        }
    }
    (code, modules)
}

/// The code without the items under an `expect` attribute for panics.
pub(super) fn without_expected(tokens: &[Token]) -> Vec<Token> {
    const ATTRIBUTE: [&str; 6] = ["#", "[", "expect", "(", "clippy", "::"];
    let (mut code, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if tokens[at..]
            .iter()
            .map(|token| token.text.as_str())
            .zip(ATTRIBUTE)
            .all(|(text, wanted)| text == wanted)
        {
            at = item_end(tokens, at);
        } else {
            code.push(tokens[at].clone());
            at += 1;
        }
    }
    code
}

/// Where the item that starts at `at` ends: after its `;` or its closing brace.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    let mut depth = 0usize;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "}" if depth <= 1 => break,
            "}" => depth -= 1,
            ";" if depth == 0 => break,
            _ => {}
        }
    }
    at
}

fn paths(code: &[Token], module: &[String]) -> Vec<Named> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < code.len() {
        if !is_segment(&code[at].text) {
            at += 1;
            continue;
        }
        let (is_use, before) = (at > 0 && code[at - 1].text == "use", found.len());
        at = path(code, at, &[], &mut found);
        for named in &mut found[before..] {
            named.import.take_if(|_| !is_use);
            resolve(&mut named.segments, module);
        }
    }
    found
}

/// Reads the path or use tree at `at` into `found`, and returns where it ends.
fn path(code: &[Token], start: usize, prefix: &[String], found: &mut Vec<Named>) -> usize {
    let text = |at: usize| code.get(at).map_or("", |token| token.text.as_str());
    let (mut segments, mut at) = (prefix.to_vec(), start);
    while is_segment(text(at)) || text(at) == "*" {
        segments.push(text(at).to_owned());
        at += 1;
        if text(at) != "::" {
            break;
        }
        at += 1;
    }
    if at > start && text(at - 1) == "::" && text(at) == "{" {
        while at < code.len() && text(at) != "}" {
            at = path(code, at + 1, &segments, found);
            while at < code.len() && !matches!(text(at), "," | "}") {
                at += 1;
            }
        }
        return at + 1;
    }
    if at > start {
        let own = segments.iter().rev().find(|segment| *segment != "self");
        let import = if text(at) == "as" { code.get(at + 1).map(|alias| &alias.text) } else { own };
        found.push(Named { import: import.cloned(), segments, line: code[start].line });
    }
    at
}

/// Keywords that a global path (`::std::fs`) follows are none.
fn is_segment(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && !matches!(text, "use" | "dyn" | "impl" | "for" | "as" | "mut" | "return")
}

/// Makes a path that starts at `self`, `super` or the library's own name start at `crate`.
fn resolve(segments: &mut Vec<String>, module: &[String]) {
    match segments.first().map(String::as_str) {
        Some("scriptorium") => segments[0] = "crate".to_owned(),
        Some("self") if segments.len() > 1 => drop(segments.splice(..1, module.iter().cloned())),
        Some("super") => {
            let ups = segments.iter().take_while(|segment| *segment == "super").count();
            drop(segments.splice(..ups, module[..module.len().saturating_sub(ups)].iter().cloned()));
        }
        _ => {}
    }
}
