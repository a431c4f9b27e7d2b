//! What a registry ever published, and the judge of what a proxy makes of it: every byte of every answer is
//! held against it. Owns what counts as wrong; what counts as bad luck is the test's affair.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use serde_json::{Value, json};

use super::{Answer, Client, Release, Upstream};

/// The host that every request names, so that links read the same whatever port answers.
const HOST: &str = "volumes.example";

/// Everything that was published.
#[derive(Default)]
pub(crate) struct Truth {
    targets: Mutex<Targets>,
    rows: Mutex<HashMap<String, Vec<Value>>>,
    answers: AtomicUsize,
}

#[derive(Default)]
struct Targets {
    order: Vec<String>,
    known: HashMap<String, Target>,
}

#[derive(Default)]
struct Target {
    /// What it read after each publication, the latest last.
    texts: Vec<Arc<[u8]>>,
    /// The latest of them that a client was given.
    given: Option<usize>,
}

/// An answer that is not wrong.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// What was asked for; whether out of the cache.
    Right { hit: bool },
    /// The right bytes, and fewer than were announced.
    Short,
    /// An honest problem: could not ask, or no room.
    Unable(String),
}

impl Verdict {
    pub(crate) fn is_right(&self) -> bool {
        matches!(self, Self::Right { .. })
    }
}

impl Truth {
    /// Publishes a release: what it may be answered with is known before, its targets are asked for after.
    pub(crate) fn publish(&self, upstream: &Upstream, release: &Release) {
        let base = format!("http://{HOST}");
        let mut metadata = release.metadata(&base);
        metadata["dist"]["url"] = (base.clone() + &release.download()).into();
        let index = {
            let mut rows = self.rows.lock().unwrap();
            let rows = rows.entry(release.name.clone()).or_default();
            rows.push(release.row(&base));
            json!({ "items": rows }).to_string()
        };
        let texts = [
            (release.index(), index.into()),
            (release.exact(), metadata.to_string().into()),
            (release.download(), release.archive()),
        ];
        let new = self.targets.lock().unwrap().add(texts);
        upstream.publish(release);
        self.targets.lock().unwrap().order.extend(new);
    }

    /// Every target there is, the latest last.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap().order.clone()
    }

    /// Whether a client was given a target, or a part of it.
    pub(crate) fn is_given(&self, target: &str) -> bool {
        self.targets.lock().unwrap().known[target].given.is_some()
    }

    /// Every target that a client was given.
    pub(crate) fn given(&self) -> Vec<String> {
        self.targets().into_iter().filter(|target| self.is_given(target)).collect()
    }

    /// How many answers were judged.
    pub(crate) fn answers(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }

    /// Asks for all of a target.
    pub(crate) fn ask(&self, client: Client, target: &str) -> io::Result<Verdict> {
        let since = self.since(target);
        let answer = client.try_send("GET", target, &[("host", HOST)])?;
        assert_ne!(answer.status, 206, "{target}: a part, though all was asked for");
        Ok(self.judge(target, &answer, 0..0, since))
    }

    /// Asks for a part of an archive.
    pub(crate) fn ask_part(&self, client: Client, target: &str, chance: &mut Rng) -> io::Result<Verdict> {
        let (since, length) = (self.since(target), self.targets.lock().unwrap().known[target].texts[0].len());
        let (one, other) = (chance.usize(..length), chance.usize(..length));
        let (part, range) = match (one.min(other), one.max(other) + 1, chance.u8(..3)) {
            (from, to, 0) => (from..to, format!("bytes={from}-{}", to - 1)),
            (from, _, 1) => (from..length, format!("bytes={from}-")),
            (from, ..) => (from..length, format!("bytes=-{}", length - from)),
        };
        let answer = client.try_send("GET", target, &[("host", HOST), ("range", &range)])?;
        if answer.status == 206 {
            let stated = format!("bytes {}-{}/{length}", part.start, part.end - 1);
            assert_eq!(
                answer.header("content-range"),
                Some(&*stated),
                "{target}, of which {range} was asked"
            );
        }
        Ok(self.judge(target, &answer, part, since))
    }

    /// Asks for an archive in whole or in part, or for a document.
    pub(crate) fn ask_any(&self, client: Client, target: &str, chance: &mut Rng) -> io::Result<Verdict> {
        match target.starts_with("/archives/") && chance.bool() {
            true => self.ask_part(client, target, chance),
            false => self.ask(client, target),
        }
    }

    /// The oldest text of a target that may be answered from now on.
    fn since(&self, target: &str) -> usize {
        self.targets.lock().unwrap().known[target].given.unwrap_or_default()
    }

    /// Panics at a byte, a length or a status that no honest proxy answers with. A 206 is to be `part`.
    fn judge(&self, target: &str, answer: &Answer, part: Range<usize>, since: usize) -> Verdict {
        self.answers.fetch_add(1, Ordering::Relaxed);
        if ![200, 206].contains(&answer.status) {
            let (status, text) = (answer.status, answer.text());
            assert!([502, 503, 504, 507].contains(&status), "{target}: {status} {:?} {text}", answer.fields);
            if answer.whole {
                answer.problem(answer.status, "about:blank");
            }
            return Verdict::Unable(format!("{} {}", answer.status, answer.text()));
        }
        let texts = self.targets.lock().unwrap().known[target].texts.clone();
        let right = texts.iter().rposition(|text| {
            let meant = if answer.status == 206 { &text[part.clone()] } else { text };
            match answer.whole {
                true => meant == answer.body,
                false => meant.starts_with(&answer.body),
            }
        });
        let Some(right) = right else {
            let (status, text) = (answer.status, std::str::from_utf8(&answer.body).unwrap_or("no text"));
            panic!("WRONG BYTES: {status} {target}, whole: {}, {:?}\n{text}", answer.whole, answer.fields)
        };
        if !answer.whole {
            return Verdict::Short;
        }
        assert!(right >= since, "{target} went back from what it read at publication {since} to {right}");
        let mut targets = self.targets.lock().unwrap();
        let given = &mut targets.known.get_mut(target).unwrap().given;
        *given = Some(given.unwrap_or_default().max(right));
        Verdict::Right { hit: answer.is_hit() }
    }
}

impl Targets {
    /// Adds what targets read from now on. Answers with those that are new.
    fn add(&mut self, texts: impl IntoIterator<Item = (String, Vec<u8>)>) -> Vec<String> {
        let mut new = Vec::new();
        for (target, text) in texts {
            let known = self.known.entry(target.clone()).or_default();
            if known.texts.is_empty() {
                new.push(target);
            }
            known.texts.push(text.into());
        }
        new
    }
}
