//! Trees that give no archive.

use std::time::{Duration, Instant};

use archive::{ArchiveError, ArchiveLimits, Excess, PathFault, TreeFile, Violation};
use git_delivery::{GitExcess, GitLimits, ObjectError, TreeError};

use super::repository::Repository;
use super::{ROOMY, ROOMY_ARCHIVE, archive_of, archive_within, noise};

/// The error of a tree that is written as it is. `FILE`, `TREE` and `COMMIT` stand for objects that are there.
fn refused(entries: &[(&str, &[u8], &str)]) -> TreeError {
    let repository = Repository::new();
    let file = repository.object("blob", b"hello");
    let tree = repository.tree(&[("100644", b"below", &file)]);
    let commit = repository.commit_of(&tree);
    let objects = [("FILE", file), ("TREE", tree), ("COMMIT", commit.to_string())];
    let object = |name: &str| objects.iter().find(|(known, _)| *known == name).unwrap().1.as_str();
    let entries: Vec<_> = entries.iter().map(|(mode, name, what)| (*mode, *name, object(what))).collect();
    archive_of(&repository.objects(), repository.commit_of_tree(&entries)).unwrap_err()
}

#[test]
fn only_regular_files_and_folders_are_taken() {
    for (mode, object, expected) in [
        ("120000", "FILE", "a symbolic link"),
        ("160000", "COMMIT", "a submodule"),
        ("100600", "FILE", "a file of an unknown mode"),
        ("100777", "FILE", "a file of an unknown mode"),
        ("40755", "TREE", "a folder of an unknown mode"),
    ] {
        let refused = refused(&[("40000", b"a", "TREE"), (mode, b"x", object)]);
        let TreeError::EntryType { path, found } = &refused else { panic!("{mode}: {refused:?}") };
        assert_eq!((path.to_string().as_str(), *found), ("x", expected), "{mode}");
    }
}

#[test]
fn a_name_that_git_does_not_check_out_is_refused() {
    let long = [b'a'; 256];
    for name in [
        &b".git"[..],
        b".GIT",
        b"git~1",
        b".git ",
        b".git::$INDEX_ALLOCATION",
        ".g\u{200c}it".as_bytes(),
        b".",
        b"..",
        b"",
        b"a/b",
        &long,
    ] {
        for (mode, object) in [("100644", "FILE"), ("40000", "TREE")] {
            let refused = refused(&[(mode, name, object)]);
            assert!(matches!(refused, TreeError::Name(_)), "{}: {refused:?}", name.escape_ascii());
        }
    }
}

#[test]
fn a_path_outside_the_archive_profile_is_refused() {
    let fault = |name: &[u8]| match refused(&[("100644", name, "FILE")]) {
        TreeError::Archive(ArchiveError::Profile(Violation::Path { fault, .. })) => fault,
        other => panic!("{}: {other:?}", name.escape_ascii()),
    };
    assert_eq!(fault(b"a\nb"), PathFault::Control);
    assert_eq!(fault(b"\xff"), PathFault::NotUtf8);
    assert_eq!(fault(b"a:b"), PathFault::Colon);
    assert_eq!(fault(b"VOLUME.TOML"), PathFault::Manifest);
    let alias = refused(&[("100644", b"README", "FILE"), ("100644", b"readme", "FILE")]);
    assert!(matches!(alias, TreeError::Archive(ArchiveError::Profile(Violation::Alias { .. }))), "{alias:?}");
    let parent = refused(&[("100644", b"a", "FILE"), ("40000", b"a", "TREE")]);
    assert!(
        matches!(parent, TreeError::Archive(ArchiveError::Profile(Violation::FileAsParent(_)))),
        "{parent:?}"
    );
}

#[test]
fn a_tree_out_of_order_is_malformed() {
    for entries in [
        &[("100644", &b"b"[..], "FILE"), ("100644", b"a", "FILE")][..],
        &[("100644", b"a", "FILE"), ("100644", b"a", "FILE")],
        // A folder sorts as if its name ended in a slash.
        &[("40000", b"a", "TREE"), ("100644", b"a.b", "FILE")],
    ] {
        let refused = refused(entries);
        assert!(matches!(refused, TreeError::Object(ObjectError::Malformed(_))), "{refused:?}");
    }
    let repository = Repository::new();
    let broken = repository.object("tree", b"100644 a\0too short");
    let refused = archive_of(&repository.objects(), repository.commit_of(&broken)).unwrap_err();
    assert!(matches!(refused, TreeError::Object(ObjectError::Malformed(_))), "{refused:?}");
}

#[test]
fn an_object_of_another_kind_or_none_is_told() {
    let another = refused(&[("100644", b"a", "TREE")]);
    assert!(matches!(another, TreeError::Object(ObjectError::Kind { .. })), "{another:?}");
    let another = refused(&[("40000", b"a", "FILE")]);
    assert!(matches!(another, TreeError::Object(ObjectError::Kind { .. })), "{another:?}");

    let repository = Repository::new();
    let absent = "9fceb02d0ae598e95dc970b74767f19372d61af8";
    let commit = repository.commit_of_tree(&[("100644", b"a", absent)]);
    let missing = archive_of(&repository.objects(), commit).unwrap_err();
    assert!(matches!(missing, TreeError::Object(ObjectError::Missing(_))), "{missing:?}");
    assert!(missing.to_string().contains(absent), "{missing}");
    let file = repository.object("blob", b"hello").parse().unwrap();
    assert!(matches!(
        archive_of(&repository.objects(), file).unwrap_err(),
        TreeError::Object(ObjectError::NoCommit)
    ));
}

#[test]
fn damage_on_the_disk_is_found() {
    for packed in [false, true] {
        let repository = Repository::new();
        let noise = noise(0, 100_000);
        let commit = repository.commit(&[TreeFile { path: "noise", executable: false, content: &noise }]);
        let file = if packed {
            repository.git(&["repack", "-a", "-d", "--quiet"]);
            let files = std::fs::read_dir(repository.folder().join("pack")).unwrap();
            let mut paths = files.map(|file| file.unwrap().path());
            paths.find(|path| path.extension().unwrap() == "pack").unwrap()
        } else {
            let blob = repository.git(&["rev-parse", "HEAD:noise"]);
            repository.folder().join(&blob[..2]).join(&blob[2..])
        };
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, bytes).unwrap();
        let damaged = archive_of(&repository.objects(), commit).unwrap_err();
        assert!(matches!(damaged, TreeError::Object(ObjectError::Damaged(_))), "{packed}: {damaged:?}");
    }
}

#[test]
fn a_sound_object_under_the_name_of_another_is_found() {
    let repository = Repository::new();
    let commit = repository.commit(&[TreeFile { path: "a", executable: false, content: b"hello" }]);
    let place = |id: &str| repository.folder().join(&id[..2]).join(&id[2..]);
    let blob = place(&repository.git(&["rev-parse", "HEAD:a"]));
    for other in [&b"world"[..], b"hello, world"] {
        let other = place(&repository.object("blob", other));
        std::fs::remove_file(&blob).unwrap();
        std::fs::copy(other, &blob).unwrap();
        let damaged = archive_of(&repository.objects(), commit).unwrap_err();
        assert!(matches!(damaged, TreeError::Object(ObjectError::Damaged(_))), "{damaged:?}");
    }
}

/// A commit of folders within folders, each of which has `width` names for the one below it, down to `last`.
fn nested(repository: &Repository, depth: usize, width: usize, last: String) -> git_delivery::CommitId {
    let names: Vec<String> = (0..width).map(|at| format!("{at:04}")).collect();
    let tree = (0..depth).fold(last, |below, _| {
        let entries: Vec<_> = names.iter().map(|name| ("40000", name.as_bytes(), below.as_str())).collect();
        repository.tree(&entries)
    });
    repository.commit_of(&tree)
}

#[test]
fn trees_that_share_cost_no_more_than_the_limit_of_entries() {
    let repository = Repository::new();
    let file = repository.object("blob", b"hello");
    let limits = ArchiveLimits { max_entries: 500, ..ROOMY_ARCHIVE };
    // Ten folders of ten folders, ten times over; at the bottom a file, or nothing at all.
    for last in [repository.tree(&[("100644", b"below", &file)]), repository.tree(&[])] {
        let commit = nested(&repository, 10, 10, last);
        let started = Instant::now();
        let ticks = std::cell::Cell::new(0_u32);
        let now = || {
            ticks.set(ticks.get() + 1);
            started
        };
        let allowance = git_delivery::GitAllowance::new(&ROOMY, &now);
        let objects = repository.objects();
        let refused =
            git_delivery::archive_commit(&objects, commit, &limits, &allowance, Vec::new()).unwrap_err();
        assert!(
            matches!(refused, TreeError::Archive(ArchiveError::TooLarge(Excess::Entries(500)))),
            "{refused:?}"
        );
        assert!(ticks.get() < 10_000, "looked at the time {} times", ticks.get());
    }
}

#[test]
fn each_limit_of_a_tree_is_kept() {
    let repository = Repository::new();
    let file = repository.object("blob", &[b'x'; 100_000]);
    let big = repository.commit_of_tree(&[("100644", b"a", &file), ("100644", b"b", &file)]);
    let deep = nested(&repository, 9, 1, repository.tree(&[("100644", b"a", &file)]));
    let wide = nested(&repository, 3, 100, repository.tree(&[]));
    let excess = |commit, limits: GitLimits| match archive_within(
        &repository.objects(),
        commit,
        (&limits, &ROOMY_ARCHIVE),
    ) {
        Err(TreeError::Object(ObjectError::Exceeded(excess))) => Some(excess),
        Err(other) => panic!("{other:?}"),
        Ok(_) => None,
    };
    assert_eq!(excess(big, GitLimits { max_file: 99_999, ..ROOMY }), Some(GitExcess::File(99_999)));
    assert_eq!(excess(big, GitLimits { max_file: 100_000, ..ROOMY }), None);
    assert_eq!(excess(big, GitLimits { max_inflated: 199_999, ..ROOMY }), Some(GitExcess::Inflated(199_999)));
    assert_eq!(excess(big, GitLimits { max_inflated: 201_000, ..ROOMY }), None);
    assert_eq!(excess(deep, GitLimits { max_tree_depth: 9, ..ROOMY }), Some(GitExcess::TreeDepth(9)));
    assert_eq!(excess(deep, GitLimits { max_tree_depth: 10, ..ROOMY }), None);
    // Each of three trees that are open at once has 3,100 bytes.
    assert_eq!(excess(wide, GitLimits { max_held: 9_299, ..ROOMY }), Some(GitExcess::Held(9_299)));
    let time = Duration::ZERO;
    assert_eq!(excess(big, GitLimits { max_time: time, ..ROOMY }), Some(GitExcess::Time(time)));
}

#[test]
fn a_file_that_is_stored_whole_is_never_held() {
    let repository = Repository::new();
    let noise = noise(0, 24_000_000);
    let commit = repository.commit(&[TreeFile { path: "noise", executable: false, content: &noise }]);
    drop(noise);
    for form in ["loose", "packed"] {
        if form == "packed" {
            repository.git(&["repack", "-a", "-d", "--quiet"]);
        }
        let now = Instant::now;
        let allowance = git_delivery::GitAllowance::new(&ROOMY, &now);
        let memory = allocation_counter::measure(|| {
            let objects = repository.objects();
            git_delivery::archive_commit(&objects, commit, &ROOMY_ARCHIVE, &allowance, std::io::sink())
                .unwrap();
        });
        assert!(memory.bytes_max < 2 << 20, "{form}: {} bytes at once", memory.bytes_max);
    }
}
