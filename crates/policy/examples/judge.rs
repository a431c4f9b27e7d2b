//! How long a policy takes: 1,000 rules and 10,000 waivers are compiled, and 100,000 releases are judged by them.
//!
//! `cargo run -p policy --example judge`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "an example prints, and knows its own input")]

use std::time::Instant;

use archive::{Integrity, ManifestFacts, Sha256, Version, VolumeName};
use policy::{
    Advisories, AdvisoryFacts, Delivery, Policy, PolicyDocument, PolicyFacts, PolicyMode, PolicySettings,
    TrustFacts, read_osv,
};

const NOW: u64 = 1_796_000_000;
const RULES: usize = 1_000;
const WAIVERS: usize = 10_000;
const VOLUMES: usize = 10_000;
const VERSIONS: usize = 10;

fn main() {
    let text = written();
    let begin = Instant::now();
    let document = PolicyDocument::parse("policy.toml", &text).unwrap();
    let read = begin.elapsed();
    let settings = PolicySettings { mode: Some(PolicyMode::Enforce), ..PolicySettings::default() };
    let (policy, warnings) = Policy::compile(document, settings, NOW).unwrap();
    println!(
        "{RULES} rules and {WAIVERS} waivers: read in {read:.0?}, compiled in {:.0?}, {} warnings",
        begin.elapsed() - read,
        warnings.len()
    );

    let advisories = advisories();
    let releases: Vec<(VolumeName, Version, Integrity)> = (0..VOLUMES * VERSIONS).map(release).collect();
    let manifest = ManifestFacts { licence: Some("MIT OR Apache-2.0".into()), ..ManifestFacts::default() };
    let begin = Instant::now();
    let (mut lowered, mut waived) = (0, 0);
    for (at, (name, version, integrity)) in releases.iter().enumerate() {
        let facts = PolicyFacts {
            integrity: Some(integrity),
            first_seen: Some(NOW - (at as u64 % 21) * 86_400),
            delivery: Some(Delivery::Cdn),
            manifest: Some(&manifest),
            trust: TrustFacts::Known(&["signature"]),
            advisories: AdvisoryFacts {
                about: advisories.about(name),
                confirmed: Some(NOW),
                ..AdvisoryFacts::default()
            },
            ..PolicyFacts::of(name, version)
        };
        let verdict = policy.verdict(&facts, NOW);
        lowered += usize::from(verdict.lowering().is_some());
        waived += verdict.waived.len();
    }
    println!(
        "{} releases: judged in {:.0?}, {lowered} lowered, {waived} rules waived",
        releases.len(),
        begin.elapsed()
    );
}

/// Ten rules about every volume, the others about names.
fn written() -> String {
    let of_all = [
        r#"younger_than = "7d", not_volumes = ["@corp/*"]"#,
        r#"advisory = "high""#,
        r#"advisories = ["OSV-7", "OSV-8"]"#,
        r#"licenses_not_in = ["MIT", "ISC"]"#,
        r#"publishers_not_in = ["nobody"], components = ["hook"]"#,
        r#"permissions = { shell = "allow" }"#,
        r#"trust_missing = ["signature"]"#,
        r#"delivery = "git""#,
        r#"resembles = ["@acme/volume-7", "lamp", "saw", "review-tool"]"#,
        r#"versions = "<0.1.0""#,
    ];
    let mut text = String::new();
    for at in 0..RULES {
        let action = ["hold", "deny", "discourage"][at % 3];
        let matching =
            of_all.get(at).map(|matching| (*matching).to_owned()).unwrap_or_else(|| match at % 2 {
                0 => format!(
                    r#"volumes = ["@acme/volume-{at}", "@acme/tool-{at}-*"], versions = "<1.0.{}""#,
                    at % 7
                ),
                _ => format!(r#"volumes = ["@s{at}/*"], younger_than = "{}d""#, at % 30 + 1),
            });
        text +=
            &format!("[[policy.rules]]\nid = \"r{at}\"\naction = \"{action}\"\nmatch = {{ {matching} }}\n");
    }
    for at in 0..WAIVERS {
        text += &format!(
            "[[policy.waivers]]\nrule = \"r0\"\nrelease = \"@acme/volume-{at}@1.0.1\"\nuntil = \"2026-12-31\"\nby = \"platform\"\n"
        );
    }
    text
}

fn release(at: usize) -> (VolumeName, Version, Integrity) {
    let name = format!("@acme/volume-{}", at / VERSIONS).parse().unwrap();
    let version = format!("1.0.{}", at % VERSIONS).parse().unwrap();
    (name, version, Integrity::new(Sha256::of(&at.to_le_bytes())))
}

fn advisories() -> Advisories {
    let one = |at: usize| {
        let document = format!(
            r#"{{"id": "OSV-{at}", "affected": [{{"package": {{"purl": "pkg:volume/%40acme/volume-{at}"}},
                "ranges": [{{"type": "SEMVER", "events": [{{"introduced": "0"}}, {{"fixed": "1.0.5"}}]}}]}}]}}"#
        );
        read_osv(document.as_bytes()).unwrap().0
    };
    Advisories::of((0..VOLUMES).step_by(2).flat_map(one)).unwrap()
}
