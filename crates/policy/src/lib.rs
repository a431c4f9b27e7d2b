//! What may come in: rules, waivers and advisories, and their verdict on a release.
//!
//! Owns the whole of that judgement and no input, output or clock: a caller gives the facts that are known and the time, and
//! gets the [`PolicyVerdict`]. Dependencies of files point down:
//!
//! ```text
//! document ─ compile ─┬─ doubt ──┐
//!                     └─ policy ─┴─ rule ─ matcher ─┬─ licence, permission, resemblance, patterns
//!            report ─────┘  └─ waiver ──┘           └─ facts ─ advisory
//! ```
//!
//! ```
//! use policy::{Policy, PolicyDocument, PolicyFacts, PolicyMode, PolicySettings};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let rules = r#"
//!     [[policy.rules]]
//!     id = "too-new"
//!     action = "hold"
//!     match = { volumes = ["*"], not_volumes = ["@corp/*"], younger_than = "7d" }
//!     message = "ask platform@corp.example"
//! "#;
//! let document = PolicyDocument::parse("policy.toml", rules).map_err(|errors| format!("{errors:?}"))?;
//! let settings = PolicySettings { mode: Some(PolicyMode::Enforce), ..PolicySettings::default() };
//! let now = 1_796_000_000;
//! let (policy, warnings) = Policy::compile(document, settings, now).map_err(|errors| format!("{errors:?}"))?;
//! assert!(warnings.is_empty());
//!
//! let (name, version) = ("@acme/lamp".parse()?, "1.2.3".parse()?);
//! let seen_today = PolicyFacts { first_seen: Some(now), ..PolicyFacts::of(&name, &version) };
//! let verdict = policy.verdict(&seen_today, now);
//! let lowering = verdict.lowering().ok_or("the rule matches")?;
//! assert_eq!(lowering.reason(), "policy:too-new: ask platform@corp.example; until 2026-12-07T00:53:20Z");
//! assert_eq!(verdict.until, Some(now + 7 * 86_400));
//! assert!(policy.verdict(&seen_today, now + 7 * 86_400).lowering().is_none());
//! # Ok(())
//! # }
//! ```
//!
//! Must not know where facts come from, how a release is served, sockets or storage.

mod action;
mod advisory;
mod compile;
mod declaration;
mod document;
mod doubt;
mod error;
mod facts;
mod instant;
mod licence;
mod listed;
mod locate;
mod matcher;
mod patterns;
mod permission;
mod place;
mod policy;
mod report;
mod resemblance;
mod rule;
mod settings;
mod verdict;
mod waiver;

pub use action::{InvalidPolicyAction, PolicyAction};
pub use advisory::{
    Advisories, Advisory, AdvisoryFault, AdvisorySeverity, InvalidAdvisorySeverity, TooManyAdvisories,
    UnreadAdvisory, read_osv, read_registry_advisory,
};
pub use declaration::{MatchDeclaration, PermissionsDeclaration, RuleDeclaration, WaiverDeclaration};
pub use document::PolicyDocument;
pub use doubt::{PolicyDoubt, PolicyWarning};
pub use error::{PolicyError, PolicyFault};
pub use facts::{AdvisoryFacts, Delivery, PolicyFacts, TrustFacts};
pub use instant::{day_of, rfc3339};
pub use locate::locate;
pub use matcher::MissingFact;
pub use place::Place;
pub use policy::Policy;
pub use report::{MatcherReport, RuleReport, WaiverReport};
pub use rule::PolicyNeeds;
pub use settings::{InvalidPolicySetting, OnOldAdvisories, PolicyMode, PolicySettings};
pub use verdict::{Lowering, PolicyOutcome, PolicyVerdict, UnknownFact};
pub use waiver::Waiver;
