//! Names that another system reads as something else are refused, and the answer says why.

use super::{Blocks, gz};
use crate::support::tarball::Entry;
use crate::support::{Release, Setup, Upstream};

const NAMES: [(&[&str], &str); 22] = [
    (&["..\\evil.md"], "backslash"),
    (&["docs\\a.md"], "backslash"),
    (&["C:/a.md"], "colon"),
    (&["x:a.md"], "colon"),
    (&["a.md:stream"], "colon"),
    (&["a\u{1}b.md"], "control"),
    (&["a\u{7f}.md"], "control"),
    (&["a\u{202e}dm.exe"], "bidirectional"),
    (&["a\u{2066}b.md"], "bidirectional"),
    (&["Docs/guide.md"], "one name"),
    (&["docs/Guide.md"], "one name"),
    (&["caf\u{e9}.md", "cafe\u{301}.md"], "one name"),
    (&["\u{fb01}le.md", "file.md"], "one name"),
    (&["stra\u{df}e.md", "STRASSE.md"], "one name"),
    (&["a\u{200b}b.md", "ab.md"], "one name"),
    (&["VOLUME.TOML"], "volume.toml"),
    (&["con"], "device"),
    (&["docs/aux.txt"], "device"),
    (&["volume.toml."], "dot or space"),
    (&["docs /a.md"], "dot or space"),
    (&["volume~1.tom"], "short name"),
    (&["./a.md"], "`.`"),
];

#[test]
fn names_that_mean_something_else_elsewhere_are_refused_with_the_reason() {
    let upstream = Upstream::start();
    let releases: Vec<_> = (1_u32..)
        .zip(NAMES)
        .map(|(number, (names, reason))| {
            let release = Release::new(&format!("name-{number}"), "1.0.0");
            let release = names.iter().fold(release, |release, name| release.adding(Entry::file(name, "x")));
            upstream.publish_as(&release, gz(&Blocks::default().files(&release).ended()));
            (release, names, reason)
        })
        .collect();
    let proxy = Setup::before(&upstream).start();
    for (release, names, reason) in releases {
        let problem = proxy.client().get(&release.download()).problem(409, "inconsistent-registry-state");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(reason), "{names:?}: {detail}");
        assert!(!detail.chars().any(|char| char.is_control() || char == '\u{202e}'), "{detail:?}");
    }
}

#[test]
fn names_that_mean_the_same_everywhere_are_served_as_they_are() {
    let names = [
        "docs/안녕.md",
        ".gitignore",
        "a b.md",
        "caf\u{e9}.md",
        "con-fig.md",
        "a~b.md",
        "שלום.md",
        "❤\u{fe0f}.md",
    ];
    let release = names
        .iter()
        .fold(Release::new("lamp", "1.0.0"), |release, name| release.adding(Entry::file(name, "x")));
    let archive = gz(&Blocks::default().files(&release).ended());
    let (_upstream, proxy) = super::proxy_of(&release, archive.clone());
    assert_eq!(proxy.client().get(&release.download()).ok().body, archive);
}
