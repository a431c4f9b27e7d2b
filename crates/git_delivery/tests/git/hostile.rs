//! Hostile packs: each gets the error that names its fault, costs little, and leaves nothing.

use std::cell::Cell;
use std::time::Instant;

use git_delivery::{CommitId, FetchError, GitAllowance, GitExcess, GitLimits, PackFault};

use super::backend::Backend;
use super::fetching::Place;
use super::forgery::*;
use super::repository::Repository;
use super::{ROOMY, ROOMY_ARCHIVE, archive_of, archive_within};

pub(super) const ANY: &str = "9fceb02d0ae598e95dc970b74767f19372d61af8";

/// What fetching `reference` from a server ends with. Nothing may be left, and little memory used.
pub(super) fn refused_within(mut server: Forger, reference: &str, limits: &GitLimits) -> FetchError {
    let place = Place::new();
    let mut refused = None;
    let memory = allocation_counter::measure(|| {
        refused = Some(place.fetch(&mut server, &[reference], limits).unwrap_err());
    });
    let refused = refused.unwrap();
    assert!(place.files().is_empty(), "{refused:?} left {:?}", place.files());
    // A difference, its base and the result, the cache, and buffers.
    let most = 5 * limits.max_held as u64 + (2 << 20);
    assert!(memory.bytes_max < most, "{refused:?} took {} bytes at once", memory.bytes_max);
    refused
}

pub(super) fn refused(server: Forger) -> FetchError {
    refused_within(server, ANY, &ROOMY)
}

#[track_caller]
fn assert_fault(pack: &[u8], expected: PackFault) {
    let refused = refused(Forger::sends(pack));
    assert!(matches!(refused, FetchError::Pack(fault) if fault == expected), "{expected:?}: {refused:?}");
}

#[track_caller]
fn assert_excess(pack: &[u8], limits: &GitLimits, expected: GitExcess) {
    let refused = refused_within(Forger::sends(pack), ANY, limits);
    assert!(
        matches!(refused, FetchError::Exceeded(excess) if excess == expected),
        "{expected:?}: {refused:?}"
    );
}

pub(super) fn small() -> ForgedPack {
    ForgedPack::default().whole(BLOB, b"hello")
}

#[test]
fn the_forger_can_be_honest() {
    let (pack, commit) = small().commit_of(b"hello");
    let place = Place::new();
    place.fetch(&mut Forger::sends(&pack.finish()), &[&commit.to_string()], &ROOMY).unwrap();
    archive_of(&place.objects(), commit).unwrap();

    // The file is a difference from a file that is a difference from a later one, by place and by name.
    let pack = ForgedPack::default()
        .on_name(name_of("blob", b"hello!"), &delta(6, 5, &copy(5)))
        .on_last(&delta(5, 4, &copy(4)))
        .whole(BLOB, b"hello!");
    let (pack, commit) = pack.commit_of(b"hell");
    let place = Place::new();
    place.fetch(&mut Forger::sends(&pack.finish()), &[&commit.to_string()], &ROOMY).unwrap();
    archive_of(&place.objects(), commit).unwrap();
}

#[test]
fn a_pack_that_claims_another_number_of_objects_is_refused() {
    let pack = small().whole(BLOB, b"world");
    // The checksum is read as an entry.
    let refused_as_entry = refused(Forger::sends(&pack.claiming(3)));
    assert!(matches!(refused_as_entry, FetchError::Pack(_)), "{refused_as_entry:?}");
    assert_fault(&pack.claiming(1), PackFault::Checksum);
    assert_fault(&pack.claiming(0), PackFault::Empty);
    assert_excess(&pack.claiming(u32::MAX), &ROOMY, GitExcess::Objects(ROOMY.max_objects));
    let whole = pack.finish();
    for len in 0..whole.len() {
        let refused = refused(Forger::sends(&whole[..len]));
        assert!(matches!(refused, FetchError::Pack(PackFault::Truncated)), "{len}: {refused:?}");
    }
}

#[test]
fn an_object_that_claims_another_length_is_refused() {
    for claimed in [0, 4, 6, 1000] {
        assert_fault(
            &ForgedPack::default().raw(BLOB, claimed, &[], &deflated(b"hello")).finish(),
            PackFault::Length,
        );
    }
    let claimed = ROOMY.max_file + 1;
    let pack = ForgedPack::default().raw(BLOB, claimed, &[], &deflated(b"hello")).finish();
    assert_excess(&pack, &ROOMY, GitExcess::File(ROOMY.max_file));
    for kind in [COMMIT, TREE] {
        let claimed = ROOMY.max_held as u64 + 1;
        let pack = ForgedPack::default().raw(kind, claimed, &[], &deflated(b"hello")).finish();
        assert_excess(&pack, &ROOMY, GitExcess::Held(ROOMY.max_held));
    }
    // More bits than a length has.
    let pack = ForgedPack::default().raw(BLOB, u64::MAX, &[], &deflated(b"hello")).finish();
    assert_excess(&pack, &ROOMY, GitExcess::File(ROOMY.max_file));
    let mut endless = small().finish();
    endless[12..].fill(0xff);
    assert_fault(&endless, PackFault::Entry);
}

#[test]
fn damaged_bytes_are_refused() {
    let pack = small().finish();
    for (at, expected) in [(0, PackFault::Header), (7, PackFault::Header), (15, PackFault::Zlib)] {
        let mut damaged = pack.clone();
        damaged[at] ^= 0xff;
        assert_fault(&damaged, expected);
    }
    let mut damaged = pack.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_fault(&damaged, PackFault::Checksum);
    assert_fault(&[&pack[..], b"x"].concat(), PackFault::Trailing);
    // Kinds that no object has.
    for kind in [0, 5] {
        assert_fault(
            &ForgedPack::default().raw(kind, 5, &[], &deflated(b"hello")).finish(),
            PackFault::Entry,
        );
    }
}

#[test]
fn a_bomb_costs_no_more_than_the_limit_of_inflated_bytes() {
    let zeros = vec![0; 100 << 20];
    let pack = ForgedPack::default().whole(BLOB, &zeros).finish();
    assert!(pack.len() < 1 << 20);
    let limits = GitLimits { max_inflated: 64 << 20, ..ROOMY };
    assert_excess(&pack, &limits, GitExcess::Inflated(64 << 20));
    // The bomb explodes behind the length that it claims.
    let pack = ForgedPack::default().raw(BLOB, 5, &[], &deflated(&zeros)).finish();
    assert_fault(&pack, PackFault::Length);
}

#[test]
fn differences_that_grow_are_refused() {
    // One copy of 16 MiB less a byte, sixty-four times: a gigabyte from three hundred bytes.
    let len = 0x00ff_ffff;
    let base = vec![0; len as usize];
    let limits = GitLimits { max_held: 16 << 20, ..ROOMY };
    let bomb = delta(u64::from(len), 64 * u64::from(len), &copy(len).repeat(64));
    let pack = ForgedPack::default().whole(BLOB, &base).on_first(&bomb).finish();
    assert_excess(&pack, &limits, GitExcess::Held(16 << 20));

    // Many differences, each within the limit.
    let each = delta(u64::from(len), u64::from(len), &copy(len));
    let pack =
        (0..200).fold(ForgedPack::default().whole(BLOB, &base), |pack, _| pack.on_first(&each)).finish();
    let limits = GitLimits { max_inflated: 256 << 20, ..limits };
    assert_excess(&pack, &limits, GitExcess::Inflated(256 << 20));
}

#[test]
fn a_chain_of_differences_is_no_longer_than_the_limit() {
    let same = delta(5, 5, &copy(5));
    let chain = |links: usize| (0..links).fold(small(), |pack, _| pack.on_last(&same)).finish();
    assert_excess(&chain(5000), &ROOMY, GitExcess::DeltaDepth(60));
    // A chain at the limit is complete, and lacks only what was asked for.
    assert_fault(&chain(60), PackFault::Lacks);
    assert_excess(&chain(61), &ROOMY, GitExcess::DeltaDepth(60));
}

#[test]
fn a_difference_that_cannot_be_applied_is_refused() {
    for bad in [
        delta(6, 5, &copy(5)),
        delta(5, 6, &copy(5)),
        delta(5, 4, &copy(5)),
        delta(5, 6, &copy(6)),
        delta(5, 5, &[0]),
        delta(5, 5, &[5, b'x']),
        delta(5, 5, &[0xff]),
        vec![0x80; 30],
        Vec::new(),
    ] {
        assert_fault(&small().on_last(&bad).finish(), PackFault::Delta);
    }
    let huge = delta(5, u64::MAX, &copy(5));
    assert_excess(&small().on_last(&huge).finish(), &ROOMY, GitExcess::Held(ROOMY.max_held));
}

#[test]
fn a_difference_from_nothing_is_refused() {
    let same = delta(5, 5, &copy(5));
    // From itself, from before the pack, from within the header, and from within another entry.
    for distance in [0, 5, 1 << 40, 20, 3] {
        assert_fault(&small().at_distance(distance, &same).finish(), PackFault::DeltaBase);
    }
    // A thin pack: the base is said to be here already.
    assert_fault(&small().on_name([7; 20], &same).finish(), PackFault::Incomplete);
    // Two that differ from each other, with others upon them.
    let (one, other) = (name_of("blob", b"hello"), name_of("blob", b"world"));
    let pack = ForgedPack::default().on_name(one, &same).on_last(&same).on_name(other, &same).on_last(&same);
    assert_fault(&pack.finish(), PackFault::Incomplete);
}

#[test]
fn the_most_objects_cost_a_few_hundred_bytes_each() {
    let limits = GitLimits { max_objects: 50_000, max_held: 1 << 20, ..ROOMY };
    let compressed = deflated(&delta(5, 5, &copy(5)));
    // Each waits for another object that never comes.
    let pack = (0..50_000_u32).fold(ForgedPack::default(), |pack, at| {
        let mut base = [0; 20];
        base[..4].copy_from_slice(&at.to_be_bytes());
        pack.raw(REF_DELTA, 6, &base, &compressed)
    });
    let (pack, place) = (pack.finish(), Place::new());
    let mut refused = None;
    let memory = allocation_counter::measure(|| {
        refused = Some(place.fetch(&mut Forger::sends(&pack), &[ANY], &limits).unwrap_err());
    });
    assert!(matches!(refused, Some(FetchError::Pack(PackFault::Incomplete))), "{refused:?}");
    let own = memory.bytes_max - 2 * pack.len() as u64;
    assert!(own < 50_000 * 400, "{own} bytes at once");
}

#[test]
fn a_pack_without_what_was_asked_for_is_refused() {
    assert_fault(&small().finish(), PackFault::Lacks);
    let fault = |pack: ForgedPack, commit: CommitId| match refused_within(
        Forger::sends(&pack.finish()),
        &commit.to_string(),
        &ROOMY,
    ) {
        FetchError::Pack(fault) => fault,
        other => panic!("{other:?}"),
    };
    let (pack, commit) = ForgedPack::default().commit_of(b"absent");
    assert_eq!(fault(pack, commit), PackFault::Lacks);
    let (pack, commit) = small().commit_of_tree(&[b"40000 a\0", &[7; 20][..]].concat());
    assert_eq!(fault(pack, commit), PackFault::Lacks);
    let (pack, commit) = small().commit_of_tree(b"100644 a\0too short");
    assert_eq!(fault(pack, commit), PackFault::Object);
    let (pack, commit) = small().commit_of_tree(&[b"40000 a\0", &name_of("blob", b"hello")[..]].concat());
    assert_eq!(fault(pack, commit), PackFault::Object);
    let blob = hex(name_of("blob", b"hello")).parse().unwrap();
    assert_eq!(fault(small(), blob), PackFault::Object);
    let broken = b"tree of nothing";
    let commit = hex(name_of("commit", broken)).parse().unwrap();
    assert_eq!(fault(ForgedPack::default().whole(COMMIT, broken), commit), PackFault::Object);
}

#[test]
fn trees_that_share_are_each_read_once() {
    let file = name_of("blob", b"hello");
    let (mut pack, mut below) = (small(), [b"100644 a\0", &file[..]].concat());
    for _ in 0..40 {
        let name = name_of("tree", &below);
        pack = pack.whole(TREE, &below);
        below = (0..10).flat_map(|at| [format!("40000 {at}\0").as_bytes(), &name[..]].concat()).collect();
    }
    let (pack, commit) = pack.commit_of_tree(&below);
    let place = Place::new();
    let ticks = Cell::new(0_u32);
    let started = Instant::now();
    let now = || {
        ticks.set(ticks.get() + 1);
        started
    };
    let allowance = GitAllowance::new(&ROOMY, &now);
    let mut server = Forger::sends(&pack.finish());
    place.fetch_within(&mut server, &[&commit.to_string()], &allowance).unwrap();
    assert!(ticks.get() < 2000, "looked at the time {} times", ticks.get());
    assert!(archive_within(&place.objects(), commit, (&ROOMY, &ROOMY_ARCHIVE)).is_err());
}

#[test]
fn the_real_server_is_bounded_as_well() {
    let repository = Repository::new();
    let zeros = vec![0; 40 << 20];
    repository.commit(&[archive::TreeFile { path: "zeros", executable: false, content: &zeros }]);
    let place = Place::new();
    let limits = GitLimits { max_inflated: 32 << 20, ..ROOMY };
    let refused = place.fetch(&mut Backend::of(&repository), &["main"], &limits).unwrap_err();
    assert!(matches!(refused, FetchError::Exceeded(GitExcess::Inflated(_))), "{refused:?}");
    assert!(place.files().is_empty());
}
