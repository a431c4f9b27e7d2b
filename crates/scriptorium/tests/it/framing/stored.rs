//! Archives that were stored before their framing was looked at: the audit finds them, and packs them anew.

use std::fs;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Blocks, assert_is_the_tree, gz, lamp, proxy_of, record};
use crate::support::proxy::scriptorium;
use crate::support::{Proxy, Release, Upstream};

const BLOCK: usize = 256 << 10;
/// The part of a seal that has the same size in every file.
const FOOTER: usize = 96;

/// A stored value as it was written before there was a recipe: the content and its seal.
fn sealed(content: &[u8], release: &Release) -> Vec<u8> {
    sealed_with(content, release, b"")
}

/// The same with what its manifest says, as it is written today.
fn sealed_with(content: &[u8], release: &Release, facts: &[u8]) -> Vec<u8> {
    let crc = |bytes: &[u8]| crc_fast::crc32_iscsi(bytes).to_le_bytes();
    let integrity =
        data_encoding::HEXLOWER.decode(&release.integrity().as_bytes()["sha256:".len()..]).unwrap();
    let mut trailer: Vec<u8> = content.chunks(BLOCK).flat_map(crc).collect();
    trailer.extend_from_slice(release.purl().as_bytes());
    trailer.extend_from_slice(facts);
    trailer.extend_from_slice(&(content.len() as u64).to_le_bytes());
    trailer.extend_from_slice(&(BLOCK as u32).to_le_bytes());
    trailer.extend_from_slice(&(release.purl().len() as u16).to_le_bytes());
    trailer.extend_from_slice(&(facts.len() as u16).to_le_bytes());
    trailer.extend_from_slice(&Sha256::digest(content));
    trailer.extend_from_slice(&integrity);
    trailer.extend_from_slice(b"SCRPSEAL");
    trailer.extend_from_slice(&(1 + u16::from(!facts.is_empty())).to_le_bytes());
    trailer.extend_from_slice(&0_u16.to_le_bytes());
    trailer.extend_from_slice(&crc(&trailer.clone()));
    [content, &trailer].concat()
}

/// A stopped proxy whose store holds `archive` for a release.
fn holding(release: &Release, archive: &[u8]) -> (Upstream, Proxy) {
    let (upstream, mut proxy) = proxy_of(release, release.archive());
    for target in [release.index(), release.exact(), release.download()] {
        proxy.client().get(&target).ok();
    }
    proxy.stop();
    let stored = proxy.files("archives").remove(0);
    let written = fs::read(&stored).unwrap();
    let before_facts = release.archive().len().div_ceil(BLOCK) * 4 + release.purl().len();
    let facts = &written[release.archive().len() + before_facts..written.len() - FOOTER];
    assert_eq!(written, sealed_with(&release.archive(), release, facts), "a seal as this proxy writes it");
    assert!(facts.starts_with(b"\x01{") && facts.len() < 256, "{}", facts.escape_ascii());
    fs::write(stored, sealed(archive, release)).unwrap();
    (upstream, proxy)
}

fn odd(release: &Release) -> Vec<u8> {
    gz(&Blocks::default().extension(b'x', &record("VENDOR.thing", "x")).files(release).ended())
}

fn audit(code: i32, more: &[&str], data: &Path) -> Value {
    let output = scriptorium().args(["audit", "--json", "--data"]).arg(data).args(more).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{told}");
    serde_json::from_str(&told).unwrap()
}

#[test]
fn what_others_would_unpack_otherwise_is_found_and_packed_anew_where_it_lies() {
    let release = lamp();
    let (upstream, mut proxy) = holding(&release, &odd(&release));
    let report = audit(1, &[], &proxy.data());
    let finding = &report["findings"][0];
    assert_eq!((&report["wrong"], &finding["kind"]), (&1.into(), &"framing".into()), "{report}");
    assert!(finding["found"].as_str().unwrap().contains("pax records"), "{finding}");
    assert!(finding["advice"].as_str().unwrap().contains("--repair"), "{finding}");
    assert_eq!(finding["release"], release.purl());

    let report = audit(0, &["--repair"], &proxy.data());
    assert_eq!((&report["wrong"], &report["repaired"]), (&1.into(), &1.into()), "{report}");
    assert!(proxy.files("quarantine").is_empty(), "nothing was taken away");
    assert_eq!(audit(0, &[], &proxy.data())["wrong"], 0);

    upstream.down();
    proxy.revive();
    let answer = proxy.client().get(&release.download()).ok();
    assert_ne!(answer.body, odd(&release));
    assert_is_the_tree(&answer, &release);
}

#[test]
fn what_is_canonical_stays_as_it_is() {
    let release = lamp();
    let canonical = gz(&Blocks::default().files(&release).ended());
    let (_upstream, proxy) = holding(&release, &canonical);
    let stored = proxy.files("archives").remove(0);
    let before = fs::read(&stored).unwrap();
    assert_eq!(audit(0, &["--repair"], &proxy.data())["wrong"], 0);
    assert_eq!(fs::read(&stored).unwrap(), before);
}

#[test]
fn what_cannot_be_read_in_one_way_goes_to_quarantine() {
    let release = lamp();
    let twice = [record("mtime", "1"), record("mtime", "2")].concat();
    let archive = gz(&Blocks::default().extension(b'x', &twice).files(&release).ended());
    let (_upstream, proxy) = holding(&release, &archive);
    let report = audit(1, &[], &proxy.data());
    assert_eq!(report["findings"][0]["kind"], "archive", "{report}");
    audit(0, &["--repair"], &proxy.data());
    assert!(proxy.files("archives").is_empty() && !proxy.files("quarantine").is_empty());
}

#[test]
fn a_store_is_verified_without_looking_at_framing() {
    let release = lamp();
    let (_upstream, proxy) = holding(&release, &odd(&release));
    let output = scriptorium().args(["store", "verify", "--data"]).arg(proxy.data()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}
