//! Other people's tools: Debian's `minisign` and `tar`.
//!
//! Owns that they read what we write and the reverse. Tests skip where a tool is missing, unless
//! `SCRIPTORIUM_REQUIRE_MINISIGN` is set. Must not know formats.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use bundle::{KeyFileError, SigningKey, TrustedKey};

use super::fixture::{State, fault, head, home, key, small_bundle, tree};

/// Whether the tool is here.
fn has_minisign() -> bool {
    let found = Command::new("minisign").arg("-v").output().is_ok();
    assert!(found || std::env::var_os("SCRIPTORIUM_REQUIRE_MINISIGN").is_none(), "minisign is required");
    if !found {
        eprintln!("skipped: minisign is not installed");
    }
    found
}

fn minisign(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("minisign").args(arguments).current_dir(folder).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn minisign_verifies_what_we_sign() {
    if !has_minisign() {
        return;
    }
    let home = home();
    let (path, trusted) = small_bundle(home.path(), None);
    let (holds, told) = minisign(&path, &["-V", "-m", "manifest.json", "-P", &trusted.to_string()]);
    assert!(holds && told.contains("timestamp:1796000000"), "{told}");
    let (holds, told) = minisign(&path, &["-V", "-m", "manifest.json", "-p", "../key.pub"]);
    assert!(holds, "{told}");
    fs::write(path.join("manifest.json"), "{}").unwrap();
    assert!(!minisign(&path, &["-V", "-m", "manifest.json", "-p", "../key.pub"]).0);
}

#[test]
fn minisign_signs_with_our_key_as_we_do() {
    if !has_minisign() {
        return;
    }
    let home = home();
    let (path, trusted) = small_bundle(home.path(), None);
    let ours = fs::read_to_string(path.join("manifest.json.minisig")).unwrap();
    let comment = ours.lines().nth(2).unwrap().strip_prefix("trusted comment: ").unwrap();
    let (signed, told) = minisign(&path, &["-S", "-s", "../key.key", "-m", "manifest.json", "-t", comment]);
    assert!(signed, "{told}");
    assert_eq!(fs::read_to_string(path.join("manifest.json.minisig")).unwrap(), ours);
    let (signed, told) = minisign(&path, &["-S", "-s", "../key.key", "-m", "manifest.json"]);
    assert!(signed, "{told}");
    assert_ne!(fs::read_to_string(path.join("manifest.json.minisig")).unwrap(), ours);
    assert_eq!(fault(&path, &[trusted]), None);
}

#[test]
fn minisign_opens_our_key_with_its_password() {
    if !has_minisign() {
        return;
    }
    let home = home();
    SigningKey::make_files(&home.path().join("key"), Some("correct horse")).unwrap();
    fs::write(home.path().join("file"), "text").unwrap();
    let mut signing = Command::new("minisign")
        .args(["-S", "-s", "key.key", "-m", "file"])
        .current_dir(home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    signing.stdin.take().unwrap().write_all(b"correct horse\n").unwrap();
    assert!(signing.wait().unwrap().success());
    let (holds, told) = minisign(home.path(), &["-V", "-m", "file", "-p", "key.pub"]);
    assert!(holds, "{told}");
}

#[test]
fn we_read_the_keys_of_minisign() {
    if !has_minisign() {
        return;
    }
    let home = home();
    let (made, told) = minisign(home.path(), &["-G", "-W", "-p", "key.pub", "-s", "key.key"]);
    assert!(made, "{told}");
    let key = SigningKey::load(&home.path().join("key.key"), None).unwrap();
    let public = fs::read_to_string(home.path().join("key.pub")).unwrap();
    assert!(public.contains(&key.id().to_string()), "{public} {}", key.id());
    let text = public.lines().nth(1).unwrap();
    let trusted: TrustedKey = text.parse().unwrap();
    assert_eq!((trusted.id(), key.public().to_string().as_str()), (key.id(), text));
    let path = home.path().join("b");
    State::small().export(&path, None, head(&key), &key).unwrap();
    assert_eq!(fault(&path, &[trusted]), None);
}

#[test]
fn keys_are_made_once_and_for_their_owner() {
    let home = home();
    let name = home.path().join("corp.signing");
    let public = SigningKey::make_files(&name, None).unwrap();
    let file = |suffix: &str| home.path().join(format!("corp.signing{suffix}"));
    assert_eq!(fs::metadata(file(".key")).unwrap().permissions().mode() & 0o777, 0o600);
    let key = SigningKey::load(&file(".key"), None).unwrap();
    assert_eq!(key.public().to_string(), public.to_string());
    let text = fs::read_to_string(file(".pub")).unwrap();
    assert_eq!(text, format!("untrusted comment: minisign public key: {}\n{public}\n", key.id()));
    assert!(public.to_string().starts_with("RW"), "{public}");
    assert!(!format!("{key:?}").contains(&fs::read_to_string(file(".key")).unwrap()[40..]));
    let before = tree(home.path());
    assert!(matches!(SigningKey::make_files(&name, None), Err(KeyFileError::Exists { .. })));
    assert_eq!(tree(home.path()), before);
    fs::remove_file(file(".key")).unwrap();
    assert!(matches!(SigningKey::make_files(&name, None), Err(KeyFileError::Exists { .. })));
    assert!(!file(".key").exists(), "half a pair was left");
}

#[test]
fn a_password_protects_a_key() {
    let home = home();
    let name = home.path().join("key");
    for bad in ["", &"x".repeat(1025)] {
        let refused = SigningKey::make_files(&name, Some(bad));
        assert!(matches!(refused, Err(KeyFileError::InvalidPassword)));
    }
    let public = SigningKey::make_files(&name, Some("correct horse")).unwrap();
    let load = |password| SigningKey::load(&home.path().join("key.key"), password);
    assert!(matches!(load(None), Err(KeyFileError::NeedsPassword { .. })));
    assert!(matches!(load(Some("battery staple")), Err(KeyFileError::WrongPassword { .. })));
    assert_eq!(load(Some("correct horse")).unwrap().public().to_string(), public.to_string());
}

#[test]
fn no_other_file_is_taken_for_a_key() {
    let home = home();
    key(home.path());
    let path = home.path().join("key.key");
    let text = fs::read_to_string(&path).unwrap();
    let line = text.lines().nth(1).unwrap().len();
    let start = text.len() - 1 - line;
    let load = || SigningKey::load(&path, None);
    for at in start..text.len() - 1 {
        let mut damaged = text.clone().into_bytes();
        damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
        fs::write(&path, &damaged).unwrap();
        // What a password would cost says nothing where there is none.
        let costs = (8..72).contains(&(at - start));
        assert!(load().is_err() || costs, "byte {}", at - start);
        fs::write(&path, &text[..at]).unwrap();
        assert!(load().is_err(), "the first {at}");
    }
    for bad in ["", "\n\n", "x\ny\n", "untrusted comment: x\n\n"] {
        fs::write(&path, bad).unwrap();
        assert!(matches!(load(), Err(KeyFileError::Invalid { .. })), "{bad}");
    }
    fs::write(&path, vec![0xff; 5000]).unwrap();
    assert!(load().is_err());
    fs::remove_file(&path).unwrap();
    assert!(matches!(load(), Err(KeyFileError::Io { .. })));
}

#[test]
fn only_a_public_key_is_one() {
    let home = home();
    let text = key(home.path()).public().to_string();
    assert_eq!(text.parse::<TrustedKey>().unwrap().to_string(), text);
    let other = text.replacen("RW", "RX", 1);
    for bad in
        ["", &text[1..], &text[..55], &format!("{text}="), &format!(" {text}"), &format!("{text}\n"), &other]
    {
        assert!(bad.parse::<TrustedKey>().is_err(), "{bad}");
    }
    let id = key(home.path()).id();
    assert_eq!(id.to_string().parse(), Ok(id));
    for wrong in ["0123456789abcdef", "", "+1", "11112222333344445"] {
        assert!(wrong.parse::<bundle::KeyId>().is_err(), "{wrong}");
    }
    // minisign prints no zeros in front; one key in sixteen has some.
    let id: bundle::KeyId = "0D8F8B9897FE0A6C".parse().unwrap();
    assert_eq!((id.to_string().as_str(), "D8F8B9897FE0A6C".parse()), ("D8F8B9897FE0A6C", Ok(id)));
    let public = "RWTn467U0eqnDgwQtm09rHxtQYyVfja5Q0GYlm7fxnb1bzPvdSndxYhp";
    let key: TrustedKey = public.parse().unwrap();
    assert_eq!(key.file(), format!("untrusted comment: minisign public key: EA7EAD1D4AEE3E7\n{public}\n"));
}

#[test]
fn tar_unpacks_a_part_to_the_layout_of_files() {
    let (home, state) = (home(), State::of_documents(5, 1300));
    let key = key(home.path());
    let [files, parts] = ["files", "parts"].map(|name| home.path().join(name));
    state.export(&files, None, head(&key), &key).unwrap();
    state.export(&parts, Some(5000), head(&key), &key).unwrap();
    for name in tree(&parts).keys().filter(|name| name.to_string_lossy().starts_with("part-")) {
        let unpacked = Command::new("tar").arg("-xf").arg(name).current_dir(&parts).output().unwrap();
        assert!(unpacked.status.success() && unpacked.stderr.is_empty(), "{unpacked:?}");
    }
    assert_eq!(tree(&parts.join("blobs")), tree(&files.join("blobs")));
}
