//! The registry of the table, and the rules on it: one volume for each release that is to be asked for first on one route.
//!
//! Owns names, rules, waivers and dates. Must not know what is right.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::expected::{Action, Done};
use super::matchers::{Known, MATCHERS, Matcher, Truth};
use crate::support::mirror::list;
use crate::support::proxy::scriptorium;
use crate::support::{Release, Reply, Upstream};

/// How a release stands to the rule of its matcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Holds,
    HoldsNot,
    Waived,
    /// By a waiver for other bytes.
    WaivedInVain,
}

impl Standing {
    pub(super) const ALL: [Self; 4] = [Self::Holds, Self::HoldsNot, Self::Waived, Self::WaivedInVain];

    /// A name says first whether the matcher holds.
    fn word(self) -> &'static str {
        match self {
            Self::Holds => "y-holds",
            Self::HoldsNot => "n-not",
            Self::Waived => "y-waived",
            Self::WaivedInVain => "y-in-vain",
        }
    }

    fn is_lowered(self) -> bool {
        matches!(self, Self::Holds | Self::WaivedInVain)
    }
}

/// A release of the table.
pub(super) struct Case {
    pub(super) matcher: &'static Matcher,
    pub(super) standing: Standing,
    pub(super) release: Release,
}

impl Case {
    fn new(matcher: &'static Matcher, standing: Standing, of: &str) -> Self {
        let name = format!("{}-{}-{of}", matcher.id, standing.word());
        let release = Self::truth_of(matcher, standing).release(&name);
        Self { matcher, standing, release }
    }

    fn truth_of(matcher: &Matcher, standing: Standing) -> Truth {
        if standing == Standing::HoldsNot { matcher.holds_not } else { matcher.holds }
    }

    fn truth(&self) -> Truth {
        Self::truth_of(self.matcher, self.standing)
    }

    pub(super) fn is_by_git(&self) -> bool {
        self.truth().is_by_git()
    }

    /// What a rule with `action` does to it, as far as that is known.
    pub(super) fn done(&self, action: Action, known: Known) -> Option<Done<'static>> {
        let id = self.matcher.id;
        let is_done = self.standing.is_lowered() && self.matcher.known <= known;
        is_done.then_some(Done { action, rule: id, ends: id == "young" })
    }

    pub(super) fn named(&self) -> String {
        format!("{}@{}", self.release.name, self.release.version)
    }

    fn waiver(&self) -> Option<String> {
        let integrity = match self.standing {
            Standing::Waived => self.release.integrity(),
            Standing::WaivedInVain => format!("sha256:{}", "0".repeat(64)),
            Standing::Holds | Standing::HoldsNot => return None,
        };
        Some(format!(
            "[[policy.waivers]]\nrule = \"{}\"\nrelease = \"{}\"\nintegrity = \"{integrity}\"\nuntil = \"2099-12-31\"\n",
            self.matcher.id,
            self.named()
        ))
    }
}

/// One case for each matcher and each of `standings`.
pub(super) fn cases(of: &str, standings: &[Standing]) -> Vec<Case> {
    let matchers =
        MATCHERS.iter().flat_map(|matcher| standings.iter().map(move |standing| (matcher, standing)));
    matchers.map(|(matcher, standing)| Case::new(matcher, *standing, of)).collect()
}

/// A registry that publishes all of `cases`, finds them by search, and advises against some.
pub(super) fn registry<'a>(cases: impl Iterator<Item = &'a Case> + Clone) -> Upstream {
    let registry = Upstream::start();
    registry.forget_requests();
    for case in cases.clone() {
        case.truth().publish(&registry, &case.release);
    }
    let advisories: Vec<Value> =
        cases.clone().map(|case| case.truth().advisory(&case.release.name)).collect();
    registry.reply("/api/v1/advisories", Reply::json(&json!({ "items": advisories })));
    let names: Vec<&str> = cases.map(|case| &*case.release.name).collect();
    list(&registry, &names);
    registry
}

/// One rule for each matcher, and the waivers.
pub(super) fn rules<'a>(action: Action, cases: impl Iterator<Item = &'a Case> + Clone) -> String {
    let mistaken = |case: &&Case| case.matcher.id == "mistaken" && case.standing != Standing::HoldsNot;
    let resembled: Vec<String> =
        cases.clone().filter(mistaken).map(|case| format!("\"{}x\"", case.release.name)).collect();
    let rule = |matcher: &Matcher| {
        let (id, action) = (matcher.id, action.word());
        let matching = matcher.matching.replace("{resembled}", &resembled.join(", "));
        format!(
            "[[policy.rules]]\nid = \"{id}\"\naction = \"{action}\"\nmatch = {{ {matching} }}\n\
             message = \"ask {id}@corp.example\"\n"
        )
    };
    MATCHERS.iter().map(rule).chain(cases.filter_map(Case::waiver)).collect()
}

/// Lets the store in `data` remember the releases that are old.
pub(super) fn remember<'a>(data: &Path, cases: impl Iterator<Item = &'a Case>) {
    let old = cases.filter(|case| case.truth().is_old).map(|case| {
        json!({
            "volume": case.release.name, "version": case.release.version,
            "integrity": case.release.integrity(), "since": 1_600_000_000_000_u64,
        })
    });
    let pins: String = old.map(|pin| format!("{pin}\n")).collect();
    let mut command = scriptorium();
    command.args(["pins", "import", "--data"]).arg(data).stdin(Stdio::piped()).stderr(Stdio::null());
    let mut importing = command.stdout(Stdio::null()).spawn().unwrap();
    importing.stdin.take().unwrap().write_all(pins.as_bytes()).unwrap();
    assert!(importing.wait().unwrap().success());
}
