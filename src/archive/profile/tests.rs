//! The paths and entries that the archive profile refuses.

use proptest::prelude::*;

use super::*;

fn file() -> Node {
    Node::File(FileRecord { executable: false, offset: 0, len: 0 })
}

#[test]
fn accepts_every_relative_path() {
    let longest = format!("{}b", "a/".repeat(MAX_PATH / 2 - 1) + "a");
    for good in ["a", "a/b.c", "...", ".git", "a..b/..c", "docs/안녕.txt", "a b\\c", "%2e%2e/é", &longest]
    {
        assert_eq!(accept_path(good.as_bytes()), Ok(good));
    }
}

#[test]
fn refuses_each_path_for_its_reason() {
    let too_long = "a".repeat(MAX_PATH + 1);
    for (bad, expected) in [
        (&b""[..], PathFault::Empty),
        (b"/", PathFault::Absolute),
        (b"/etc/passwd", PathFault::Absolute),
        (b".", PathFault::DotSegment),
        (b"./a", PathFault::DotSegment),
        (b"a/./b", PathFault::DotSegment),
        (b"a/..", PathFault::DotSegment),
        (b"../a", PathFault::DotSegment),
        (b"a//b", PathFault::EmptySegment),
        (b"a/", PathFault::EmptySegment),
        (b"a\0b", PathFault::Control),
        (b"a\nb", PathFault::Control),
        (b"a/\xff", PathFault::NotUtf8),
        (too_long.as_bytes(), PathFault::TooLong),
    ] {
        let refused = accept_path(bad);
        assert!(matches!(refused, Err(Violation::Path { fault, .. }) if fault == expected), "{refused:?}");
    }
}

#[test]
fn refuses_a_path_that_is_there_already() {
    for (first, second) in [(file(), file()), (file(), Node::Directory), (Node::Directory, Node::Directory)] {
        let mut index = Index::default();
        index.admit("a/b", first).unwrap();
        let refused = index.admit("a/b", second);
        let expected = Violation::Duplicate { path: "a/b".into() };
        assert!(matches!(refused, Err(ArchiveError::Profile(found)) if found == expected));
    }
}

#[test]
fn refuses_a_file_in_a_parents_place_whichever_comes_first() {
    // `a!` and `a.b` sort between `a` and `a/b`.
    for below in ["a/b", "a/b/c"] {
        for order in [["a", "a!", "a.b", below], [below, "a!", "a.b", "a"], ["a!", below, "a", "a.b"]] {
            let mut index = Index::default();
            let refused = order.iter().find_map(|path| index.admit(path, file()).err());
            let expected = Violation::FileAsParent { path: "a".into() };
            assert!(matches!(refused, Some(ArchiveError::Profile(found)) if found == expected), "{order:?}");
        }
    }
}

#[test]
fn directories_may_come_before_or_after_their_files() {
    let mut index = Index::default();
    for (path, node) in
        [("a/b", file()), ("a", Node::Directory), ("c", Node::Directory), ("c/d", file()), ("ab", file())]
    {
        index.admit(path, node).unwrap();
    }
    let paths: Vec<_> = index.into_files().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["a/b", "ab", "c/d"]);
}

#[test]
fn bounds_the_bytes_of_all_paths() {
    let mut index = Index::default();
    let count = MAX_PATHS / MAX_PATH as u64;
    for number in 0..count {
        index.admit(&format!("{number:0>MAX_PATH$}"), file()).unwrap();
    }
    let refused = index.admit("a", file());
    assert!(matches!(refused, Err(ArchiveError::TooLarge(Excess::Paths { limit: MAX_PATHS }))));
}

proptest! {
    #[test]
    fn clashes_are_found_as_by_comparing_all(
        entries in proptest::collection::vec(("[ab!](/[ab!]){0,3}", any::<bool>()), 1..12)
    ) {
        let mut index = Index::default();
        let admitted =
            entries.iter().all(|(path, dir)| index.admit(path, if *dir { Node::Directory } else { file() }).is_ok());
        let clash = |(at, (path, _)): (usize, &(String, bool))| {
            entries.iter().enumerate().any(|(other_at, (other, other_dir))| {
                at != other_at && (path == other || !other_dir && path.starts_with(&format!("{other}/")))
            })
        };
        prop_assert_eq!(admitted, !entries.iter().enumerate().any(clash));
    }
}
