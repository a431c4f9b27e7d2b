//! What a manifest says is taken when its archive is verified, and kept with the seal: no rule makes the archive be read again for it.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::support::{Proxy, Release, Setup, Upstream, eventually};

const STRANGERS: &str = r#"
    [[policy.rules]]
    id = "strangers"
    action = "deny"
    match = { publishers_not_in = ["acme"] }
"#;

/// The most that a seal may take beside the checksums of its blocks.
const FEW_HUNDRED_BYTES: u64 = 1024;

fn lamp(more: &str) -> Release {
    let manifest = format!(
        "[volume]\nschema = 1\nname = \"lamp\"\nversion = \"1.0.0\"\ndescription = \"d\"\nlicense = \"MIT\"\n\
         role = \"plugin\"\n[publisher]\nid = \"stranger\"\n{more}"
    );
    Release::new("lamp", "1.0.0").manifest(&manifest)
}

/// A proxy without rules that verified the archive, and was asked for no more.
fn verified(release: &Release) -> (Upstream, Proxy, PathBuf) {
    let upstream = Upstream::start();
    upstream.publish(release);
    let proxy = Setup::before(&upstream).start();
    proxy.is_let_in(release);
    let files = proxy.files("archives");
    let [archive] = &files[..] else { panic!("{files:?}") };
    let archive = archive.clone();
    (upstream, proxy, archive)
}

/// The same proxy, started again with a rule on manifests.
fn with_rule(proxy: &mut Proxy) {
    proxy.restart_as(|setup| setup.policy("enforce", STRANGERS));
}

#[track_caller]
fn is_lowered(proxy: &Proxy, release: &Release) {
    eventually("a row that obeys the manifest", || {
        (proxy.row_of(release)["state"] == "blocked").then_some(())
    });
    proxy.is_refused_by(release, "strangers", "");
}

#[test]
fn a_seal_says_it_although_not_a_byte_of_the_archive_can_be_read_any_more() {
    let release = lamp("");
    let (upstream, mut proxy, archive) = verified(&release);
    let file = fs::OpenOptions::new().write(true).open(&archive).unwrap();
    file.write_all_at(&vec![0; release.archive().len()], 0).unwrap();
    with_rule(&mut proxy);
    is_lowered(&proxy, &release);
    assert_eq!(upstream.requests(&release.source()), 1, "it is not fetched again either");
}

#[test]
fn a_hostile_manifest_grows_no_seal_and_is_read_again() {
    let types: String =
        (0..64).map(|number| format!("[[components]]\ntype = \"{number:0>250}\"\nname = \"h\"\n")).collect();
    let release = lamp(&types);
    let (_upstream, mut proxy, archive) = verified(&release);
    let sealed = fs::metadata(&archive).unwrap().len();
    assert!(sealed <= release.archive().len() as u64 + FEW_HUNDRED_BYTES, "{sealed}");
    with_rule(&mut proxy);
    is_lowered(&proxy, &release);
}
