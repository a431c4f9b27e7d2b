//! Folders that were filled by somebody who means harm, and signed.
//!
//! Owns links, pipes, devices, and tars that are not what they seem. Must not know damage by chance.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use archive::Sha256;
use bundle::{
    BlobFault, BundleOpenError, BundleProblem, OpenBundle, ProblemSubject, SignatureVerdict, SigningKey,
    TrustedKey,
};
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tar::{EntryType, Header};

use super::fixture::{State, fault, head, home, inspect, key, open, scratch, small_bundle, tree};

/// Signs whatever stands in the manifest.
pub(crate) fn sign(home: &Path, bundle: &Path) {
    let secret = fs::read_to_string(home.join("key.key")).unwrap();
    let secret = minisign::SecretKeyBox::from(secret).into_unencrypted_secret_key().unwrap();
    let manifest = fs::read(bundle.join("manifest.json")).unwrap();
    let comment = Some("signature from minisign secret key");
    let signature = minisign::sign(None, &secret, &manifest[..], Some("hello"), comment).unwrap();
    fs::write(bundle.join("manifest.json.minisig"), signature.to_string()).unwrap();
}

/// Makes something else of a path than the file that is there.
fn plant(path: &Path, kind: &str) -> bool {
    let aside = path.with_extension("aside");
    fs::rename(path, &aside).unwrap();
    let node = |kind, device| mknodat(CWD, path, kind, Mode::RUSR, device).is_ok();
    match kind {
        "link" => symlink(&aside, path).is_ok(),
        "dangling" => symlink("/nowhere", path).is_ok(),
        "folder" => fs::create_dir(path).is_ok(),
        "pipe" => node(FileType::Fifo, 0),
        "socket" => std::os::unix::net::UnixListener::bind(path).is_ok(),
        // /dev/zero, which never ends. Only root can make one, and not everywhere.
        "device" => node(FileType::CharacterDevice, rustix::fs::makedev(1, 5)),
        other => panic!("{other}"),
    }
}

const KINDS: [&str; 6] = ["link", "dangling", "folder", "pipe", "socket", "device"];

#[test]
fn only_regular_files_are_read() {
    for kind in KINDS {
        for (layout, name) in [
            (None, format!("blobs/sha256/{}", Sha256::of(&[7; 700]).hex())),
            (Some(3000), "part-0001.tar".to_owned()),
            (None, "manifest.json".to_owned()),
            (None, "manifest.json.minisig".to_owned()),
        ] {
            let home = home();
            let (path, trusted) = small_bundle(home.path(), layout);
            if !plant(&path.join(&name), kind) {
                eprintln!("skipped: no {kind} can be made here");
                continue;
            }
            let opened = OpenBundle::open(&path, &[trusted], scratch());
            if name == "manifest.json" {
                assert!(matches!(opened, Err(BundleOpenError::Special { .. })), "{kind} {name}");
                continue;
            }
            let bundle = opened.unwrap();
            if name.ends_with(".minisig") {
                let told = bundle.signature().as_str();
                assert_eq!(told, "bad", "{kind} {name}");
                continue;
            }
            let problems = bundle.inspect().unwrap().problems;
            assert_eq!(problems.first().unwrap().fault, BlobFault::Special, "{kind} {name}");
        }
    }
}

#[test]
fn no_link_is_followed_below_the_folder_and_the_folder_may_be_one() {
    for above in ["blobs", "blobs/sha256"] {
        let home = home();
        let (path, trusted) = small_bundle(home.path(), None);
        symlink(&path, home.path().join("link")).unwrap();
        assert_eq!(fault(&home.path().join("link"), std::slice::from_ref(&trusted)), None);
        fs::rename(path.join(above), home.path().join("elsewhere")).unwrap();
        symlink(home.path().join("elsewhere"), path.join(above)).unwrap();
        let inspection = inspect(&path, &[trusted]);
        assert_eq!(inspection.problems.len(), 3, "{above}");
        assert!(inspection.problems.iter().all(|problem| problem.fault == BlobFault::Missing));
    }
}

#[test]
fn what_the_manifest_does_not_list_is_ignored() {
    for layout in [None, Some(3000)] {
        let home = home();
        let (path, trusted) = small_bundle(home.path(), layout);
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        fs::write(path.join("blobs/sha256").join(Sha256::of(b"more").hex()), "more").unwrap();
        fs::write(path.join("part-0009.tar"), "no tar").unwrap();
        symlink("/etc/passwd", path.join("blobs/sha256/passwd")).unwrap();
        mknodat(CWD, path.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(fault(&path, &[trusted]), None);
    }
}

/// One tar header of a blob's name and of some other kind.
fn entry(name: &[u8], kind: EntryType, body: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(body.len() as u64);
    header.set_mtime(0);
    header.set_cksum();
    let mut bytes = [header.as_bytes(), body].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// Puts other bytes into the first part, and a manifest that says so is signed. What is found then.
fn with_part(edit: impl Fn(Vec<u8>) -> Vec<u8>) -> Vec<BundleProblem> {
    let (home, state) = (home(), State::of_documents(2, 600));
    let key = key(home.path());
    let path = home.path().join("b");
    state.export(&path, Some(1 << 20), head(&key), &key).unwrap();
    let part = fs::read(path.join("part-0001.tar")).unwrap();
    let edited = edit(part.clone());
    fs::write(path.join("part-0001.tar"), &edited).unwrap();
    let manifest = fs::read_to_string(path.join("manifest.json")).unwrap();
    let said = |bytes: &[u8]| format!("\"sha256\":\"{}\",\"size\":{}", Sha256::of(bytes).hex(), bytes.len());
    assert!(manifest.contains(&said(&part)));
    fs::write(path.join("manifest.json"), manifest.replace(&said(&part), &said(&edited))).unwrap();
    sign(home.path(), &path);
    let trusted = [key.public().clone()];
    assert_eq!(open(&path, &trusted).signature().as_str(), "trusted");
    inspect(&path, &trusted).problems
}

#[test]
fn a_part_holds_listed_blobs_and_nothing_else() {
    assert_eq!(with_part(|part| part), [], "honest");
    let blob = State::of_documents(2, 600).blobs.into_iter().next().unwrap();
    let name = format!("blobs/sha256/{}", blob.0.hex());
    let framing = |at| BundleProblem {
        subject: ProblemSubject::Part("part-0001.tar".to_owned()),
        fault: BlobFault::Framing { at },
    };
    let regular = EntryType::Regular;
    for (told, first) in [
        ("an unlisted blob", entry(b"blobs/sha256/00", regular, b"x")),
        ("above", entry(b"../../etc/cron.d/x", regular, b"x")),
        ("absolute", entry(b"/etc/passwd", regular, b"x")),
        ("another text of the name", entry(format!("./{name}").as_bytes(), regular, &blob.1)),
        ("a link", entry(name.as_bytes(), EntryType::Symlink, b"")),
        ("a hard link", entry(name.as_bytes(), EntryType::Link, b"")),
        ("a device", entry(name.as_bytes(), EntryType::Char, b"")),
        ("a folder", entry(b"blobs/", EntryType::Directory, b"")),
        ("a pax header", entry(b"pax", EntryType::XHeader, b"19 path=/etc/passwd\n")),
        ("a global header", entry(b"pax_global_header", EntryType::XGlobalHeader, b"")),
        ("a long name", entry(b"././@LongLink", EntryType::GNULongName, b"x\0")),
        ("an early end", vec![0; 1024]),
        ("half a block", vec![0; 512]),
    ] {
        let found = with_part(|part| [&first[..], &part].concat());
        assert_eq!(found, [framing(0)], "{told}");
        let end = |part: &[u8]| part.len() as u64 - 1024;
        let at = with_part(|part| {
            let end = end(&part) as usize;
            [&part[..end], &first, &part[end..]].concat()
        });
        assert!(matches!(at[..], [BundleProblem { fault: BlobFault::Framing { .. }, .. }]), "{told}: {at:?}");
    }
    for more in [&[0; 512][..], &[0; 8192], b"x", &[1; 512]] {
        let found = with_part(|part| [&part, more].concat());
        assert!(matches!(found[..], [BundleProblem { fault: BlobFault::Framing { .. }, .. }]), "{found:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_part_that_differs_in_anything_is_told(
        at in 0_usize..4000, length in 0_usize..2000, zeros: bool, other in proptest::collection::vec(any::<u8>(), 0..1500),
    ) {
        let other = if zeros { vec![0; other.len()] } else { other };
        let same = Cell::new(false);
        let problems = with_part(|part| {
            let at = at.min(part.len());
            let end = (at + length).min(part.len());
            let edited = [&part[..at], &other, &part[end..]].concat();
            same.set(edited == part);
            edited
        });
        prop_assert_eq!(problems.is_empty(), same.get());
    }
}

#[test]
fn a_header_has_one_form() {
    // Each field that a tar would read otherwise, or not at all: mode, owner, time, checksum, magic, names of owners, prefix.
    for at in [100, 108, 116, 136, 148, 257, 263, 265, 297, 329, 345, 500] {
        let found = with_part(|mut part| {
            part[at] ^= 1;
            part
        });
        assert_eq!(found.len(), 2, "byte {at}: {found:?}");
    }
}

#[test]
fn a_blob_comes_once_and_as_it_was_listed() {
    let twice = with_part(|part| [&part[..1536], &part].concat());
    assert_eq!(twice.len(), 1);
    assert_eq!(twice[0].fault, BlobFault::Framing { at: 1536 });
    let other = with_part(|mut part| {
        part[600] ^= 1;
        part
    });
    assert_eq!((other.len(), &other[0].fault), (1, &BlobFault::Digest));
    let cut = with_part(|part| part[..1000].to_vec());
    assert!(cut.iter().any(|problem| matches!(problem.subject, ProblemSubject::Part(_))), "{cut:?}");
    assert_eq!(cut.len(), 3);
    assert_eq!(with_part(|_| Vec::new()).len(), 3);
}

#[test]
fn a_signature_counts_for_its_key_and_its_manifest() {
    let home = home();
    let (path, trusted) = small_bundle(home.path(), None);
    SigningKey::make_files(&home.path().join("other"), None).unwrap();
    let other = SigningKey::load(&home.path().join("other.key"), None).unwrap();
    let signature = |trusted: &[TrustedKey]| open(&path, trusted).signature().clone();
    let theirs = [other.public().clone()];
    assert_eq!(signature(&theirs), SignatureVerdict::Untrusted(trusted.id()));
    assert_eq!(signature(&[]), SignatureVerdict::Untrusted(trusted.id()));
    assert_eq!(
        signature(&[other.public().clone(), trusted.clone()]),
        SignatureVerdict::Trusted(trusted.id())
    );
    // Another key that has the same identifier, since anybody can choose one.
    let mut bytes = data_encoding::BASE64.decode(other.public().to_string().as_bytes()).unwrap();
    let ours = data_encoding::BASE64.decode(trusted.to_string().as_bytes()).unwrap();
    bytes[2..10].copy_from_slice(&ours[2..10]);
    let twin: TrustedKey = data_encoding::BASE64.encode(&bytes).parse().unwrap();
    assert_eq!(twin.id(), trusted.id());
    let differs = bundle::BadSignature::Differs(trusted.id());
    assert_eq!(signature(std::slice::from_ref(&twin)), SignatureVerdict::Bad(differs));
    assert_eq!(signature(&[twin, trusted.clone()]), SignatureVerdict::Trusted(trusted.id()));
    // A manifest that names one key, signed by another that is trusted as well.
    let text = fs::read_to_string(path.join("manifest.json")).unwrap();
    let renamed = text.replace(&trusted.id().to_string(), &other.id().to_string());
    fs::write(path.join("manifest.json"), renamed).unwrap();
    sign(home.path(), &path);
    let problems = inspect(&path, &[trusted]).problems;
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].subject, ProblemSubject::Signature);
    fs::remove_file(path.join("manifest.json.minisig")).unwrap();
    assert_eq!(signature(&theirs), SignatureVerdict::Missing);
}

#[test]
fn a_writer_follows_no_link_that_was_planted_in_its_folder() {
    let home = home();
    let key = key(home.path());
    let (path, victim) = (home.path().join("b"), home.path().join("victim"));
    fs::create_dir_all(path.join("blobs/sha256")).unwrap();
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("file"), "theirs").unwrap();
    let names = ["manifest.json", "manifest.json.minisig", ".scriptorium-partial", "part-0001.tar"];
    let blob = format!("blobs/sha256/{}", Sha256::of(&[7; 700]).hex());
    for name in names.iter().copied().chain([&*blob, ".scriptorium-unfinished"]) {
        symlink(victim.join("file"), path.join(name)).unwrap();
    }
    State::small().export(&path, None, head(&key), &key).unwrap();
    assert_eq!(fs::read_to_string(victim.join("file")).unwrap(), "theirs");
    assert_eq!(fault(&path, &[key.public().clone()]), None);
    fs::remove_dir_all(path.join("blobs")).unwrap();
    symlink(&victim, path.join("blobs")).unwrap();
    assert!(State::small().export(&path, None, head(&key), &key).is_err());
    assert_eq!(tree(&victim).len(), 1);
}
