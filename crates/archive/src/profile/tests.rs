//! Entries that the archive profile refuses in one archive.

use proptest::prelude::*;

use super::*;

fn file() -> TreeNode {
    TreeNode::File(FileRecord { executable: false, offset: 0, len: 0 })
}

#[test]
fn refuses_a_duplicate_path() {
    for (first, second) in
        [(file(), file()), (file(), TreeNode::Directory), (TreeNode::Directory, TreeNode::Directory)]
    {
        let mut index = TreeIndex::default();
        index.admit("a/b", first).unwrap();
        let refused = index.admit("a/b", second);
        let expected = Violation::Duplicate("a/b".into());
        assert!(matches!(refused, Err(ArchiveError::Profile(found)) if found == expected));
    }
}

#[test]
fn refuses_a_file_that_is_a_parent_in_either_order() {
    // `a!` and `a.b` sort between `a` and `a/b`.
    for below in ["a/b", "a/b/c"] {
        for order in [["a", "a!", "a.b", below], [below, "a!", "a.b", "a"], ["a!", below, "a", "a.b"]] {
            let mut index = TreeIndex::default();
            let refused = order.iter().find_map(|path| index.admit(path, file()).err());
            let expected = Violation::FileAsParent("a".into());
            assert!(matches!(refused, Some(ArchiveError::Profile(found)) if found == expected), "{order:?}");
        }
    }
}

#[test]
fn refuses_two_paths_that_a_file_system_could_merge() {
    for (first, second) in [
        ("docs/README", "docs/readme"),
        ("Docs/a", "docs/b"),
        ("a/Docs", "a/docs/b"),
        ("caf\u{e9}/a", "cafe\u{301}/b"),
        ("ﬁle", "file"),
        ("a\u{200d}b", "ab"),
        ("x/straße/1", "x/STRASSE/2"),
    ] {
        for (one, other) in [(first, second), (second, first)] {
            let mut index = TreeIndex::default();
            index.admit("a!", file()).unwrap();
            index.admit(one, file()).unwrap();
            index.admit("d", file()).unwrap();
            let refused = index.admit(other, file());
            let expected = Violation::Alias { path: other.into(), other: one.into() };
            assert!(
                matches!(&refused, Err(ArchiveError::Profile(found)) if *found == expected),
                "{refused:?}"
            );
        }
    }
    let mut index = TreeIndex::default();
    for path in ["Docs/a", "Docs/b/C", "docs2", "Docs/b/d", "Docs/\u{e9}"] {
        index.admit(path, file()).unwrap();
    }
    let paths: Vec<_> = index.into_files().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["Docs/a", "Docs/b/C", "Docs/b/d", "Docs/\u{e9}", "docs2"]);
}

#[test]
fn directories_may_come_before_or_after_their_files() {
    let mut index = TreeIndex::default();
    for (path, node) in [
        ("a/b", file()),
        ("a", TreeNode::Directory),
        ("c", TreeNode::Directory),
        ("c/d", file()),
        ("ab", file()),
    ] {
        index.admit(path, node).unwrap();
    }
    let paths: Vec<_> = index.into_files().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["a/b", "ab", "c/d"]);
}

#[test]
fn bounds_the_bytes_of_all_paths() {
    let mut index = TreeIndex::default();
    const LENGTH: usize = 4096;
    let count = MAX_PATHS / LENGTH as u64;
    for number in 0..count {
        index.admit(&format!("{number:0>LENGTH$}"), file()).unwrap();
    }
    let refused = index.admit("a", file());
    assert!(matches!(refused, Err(ArchiveError::TooLarge(Excess::Paths(MAX_PATHS)))));
}

proptest! {
    #[test]
    fn clashes_are_found_as_by_comparing_all(
        entries in proptest::collection::vec(("[aAb!](/[abB!]){0,3}", any::<bool>()), 1..12)
    ) {
        let mut index = TreeIndex::default();
        let admitted =
            entries.iter().all(|(path, dir)| index.admit(path, if *dir { TreeNode::Directory } else { file() }).is_ok());
        let clash = |(at, (path, _)): (usize, &(String, bool))| {
            entries.iter().enumerate().any(|(other_at, (other, other_dir))| {
                at != other_at && (path == other || !other_dir && path.starts_with(&format!("{other}/")) || merged(path, other))
            })
        };
        prop_assert_eq!(admitted, !entries.iter().enumerate().any(clash));
    }
}

/// Whether both paths have a folder or name that differs only in case.
fn merged(path: &str, other: &str) -> bool {
    let starts = |path: &str| {
        let ends = path.match_indices('/').map(|(slash, _)| slash).chain([path.len()]);
        ends.map(|end| path[..end].to_owned()).collect::<Vec<_>>()
    };
    starts(path).iter().any(|one| starts(other).iter().any(|two| one != two && one.eq_ignore_ascii_case(two)))
}
