//! Every matcher, once: a rule with it, what is true of a release when it holds and when it does not, and when that can be known.
//!
//! Owns these declarations. Must not know actions, routes or answers.

use serde_json::{Value, json};

use crate::support::catalogue::Artifact;
use crate::support::{Release, Reply, Upstream};

/// When a proxy that was never asked for a release can know whether a matcher holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Known {
    AtOnce,
    /// Once exact metadata was asked for.
    AfterExact,
    /// Once an archive was verified.
    AfterArchive,
}

/// What is true of a release; no matcher holds of the default.
#[derive(Clone, Copy)]
pub(super) struct Truth {
    pub(super) version: &'static str,
    licence: &'static str,
    publisher: &'static str,
    component: &'static str,
    shell: &'static str,
    is_by_git: bool,
    is_signed: bool,
    severity: &'static str,
    advisory: &'static str,
    pub(super) is_old: bool,
}

const PLAIN: Truth = Truth {
    version: "2.0.0",
    licence: "MIT",
    publisher: "acme",
    component: "skill",
    shell: "deny",
    is_by_git: false,
    is_signed: true,
    severity: "low",
    advisory: "CVE-2026-2",
    is_old: true,
};

pub(super) struct Matcher {
    /// What its volumes begin with, and the id of its rule.
    pub(super) id: &'static str,
    /// The rule's matchers; `{resembled}` stands for a list of names that are easily mistaken for those of which it holds.
    pub(super) matching: &'static str,
    pub(super) known: Known,
    pub(super) holds: Truth,
    pub(super) holds_not: Truth,
}

const fn of_name(id: &'static str, matching: &'static str) -> Matcher {
    Matcher { id, matching, known: Known::AtOnce, holds: PLAIN, holds_not: PLAIN }
}

const fn of_facts(id: &'static str, matching: &'static str, known: Known, holds: Truth) -> Matcher {
    Matcher { id, matching, known, holds, holds_not: PLAIN }
}

pub(super) const MATCHERS: [Matcher; 13] = [
    of_name("names", r#"volumes = ["names-y-*"]"#),
    of_name("not-names", r#"volumes = ["not-names-*"], not_volumes = ["not-names-n-*"]"#),
    of_name("mistaken", r#"volumes = ["mistaken-*"], resembles = [{resembled}]"#),
    of_facts(
        "range",
        r#"volumes = ["range-*"], versions = "<2.0.0""#,
        Known::AtOnce,
        Truth { version: "1.0.0", ..PLAIN },
    ),
    of_facts(
        "young",
        r#"volumes = ["young-*"], younger_than = "7d""#,
        Known::AtOnce,
        Truth { is_old: false, ..PLAIN },
    ),
    of_facts(
        "severe",
        r#"volumes = ["severe-*"], advisory = "high""#,
        Known::AtOnce,
        Truth { severity: "critical", ..PLAIN },
    ),
    of_facts(
        "advised",
        r#"volumes = ["advised-*"], advisories = ["CVE-2026-1"]"#,
        Known::AtOnce,
        Truth { advisory: "CVE-2026-1", ..PLAIN },
    ),
    Matcher {
        id: "by-cdn",
        matching: r#"volumes = ["by-cdn-*"], delivery = "cdn""#,
        known: Known::AfterExact,
        holds: PLAIN,
        holds_not: Truth { is_by_git: true, ..PLAIN },
    },
    of_facts(
        "unsigned",
        r#"volumes = ["unsigned-*"], trust_missing = ["signature"]"#,
        Known::AfterExact,
        Truth { is_signed: false, ..PLAIN },
    ),
    of_facts(
        "licence",
        r#"volumes = ["licence-*"], licenses_not_in = ["MIT"]"#,
        Known::AfterArchive,
        Truth { licence: "GPL-3.0-only", ..PLAIN },
    ),
    of_facts(
        "stranger",
        r#"volumes = ["stranger-*"], publishers_not_in = ["acme"]"#,
        Known::AfterArchive,
        Truth { publisher: "stranger", ..PLAIN },
    ),
    of_facts(
        "hooked",
        r#"volumes = ["hooked-*"], components = ["hook"]"#,
        Known::AfterArchive,
        Truth { component: "hook", ..PLAIN },
    ),
    of_facts(
        "shell",
        r#"volumes = ["shell-*"], permissions = { shell = "allow" }"#,
        Known::AfterArchive,
        Truth { shell: "allow", ..PLAIN },
    ),
];

impl Matcher {
    pub(super) fn needs_advisories(&self) -> bool {
        self.matching.contains("advisor")
    }
}

impl Truth {
    pub(super) fn release(&self, name: &str) -> Release {
        let Self { version, licence, publisher, component, shell, .. } = self;
        let mut release = Release::new(name, version).manifest(&format!(
            "[volume]\nschema = 1\nname = \"{name}\"\nversion = \"{version}\"\ndescription = \"d\"\nlicense = \"{licence}\"\n\
             role = \"plugin\"\n[publisher]\nid = \"{publisher}\"\n[[components]]\ntype = \"{component}\"\nname = \"c\"\n\
             entrypoint = \"docs/guide.md\"\n[permissions]\nshell = \"{shell}\"\n"
        ));
        if self.is_by_git {
            release.dist = Some(json!({"source": "git", "repository": "https://git.example/x", "ref": "v1"}));
        }
        release
    }

    /// Publishes the release, its trust views and their artifact.
    pub(super) fn publish(&self, registry: &Upstream, release: &Release) {
        registry.publish(release);
        let artifact = artifact(release);
        let mut attached = vec![artifact.attachment(&registry.url())];
        if self.is_signed {
            let signature = Artifact::of("s", "signature", json!({"family": "f", "mediaType": "a/b"}), "s");
            let mut signature = signature.attachment("");
            signature["locator"] = json!({"embedded": "s"});
            attached.push(signature);
        }
        registry.reply(&artifact.source(), artifact.reply());
        registry.reply(&release.trust("summary"), Reply::json(&release.trust_summary()));
        registry.reply(&release.trust("detail"), Reply::json(&release.attested(&attached)));
    }

    /// The advisory about the volume.
    pub(super) fn advisory(&self, name: &str) -> Value {
        json!({
            "id": {"local": format!("AV-{name}"), "aliases": [self.advisory]}, "source": {"ecosystem": "bibliotheca"},
            "severity": self.severity, "published": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
            "affected": {"volume": name, "ranges": [{"type": "semver", "events": [{"introduced": "0"}]}]},
        })
    }

    pub(super) fn is_by_git(&self) -> bool {
        self.is_by_git
    }
}

/// The trust artifact of a release.
pub(super) fn artifact(release: &Release) -> Artifact {
    Artifact::new(&release.name, "application/json", format!("{{\"of\":\"{}\"}}", release.name))
}
