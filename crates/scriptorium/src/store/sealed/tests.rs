//! A sealed value yields what was written or an error, never anything else.

use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::store::{ObjectStorage, ValueStore};

const KEY: StorageKey = StorageKey::Invalidations;
const IDENTITY: &str = "pkg:volume/acme/x@1.2.3";

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Bytes without a period that blocks could share.
fn content(length: usize) -> Vec<u8> {
    let words = (0u64..).flat_map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).to_le_bytes());
    words.take(length).collect()
}

fn known_by() -> Sha256 {
    Sha256::of(b"tree")
}

/// The sealed value, written in pieces of `piece` bytes.
fn sealed(content: &[u8], piece: usize) -> (Vec<u8>, Seal) {
    let mut writer = SealWriter::new(Vec::new());
    content.chunks(piece).for_each(|piece| writer.write_all(piece).unwrap());
    writer.finish(known_by(), IDENTITY).unwrap()
}

async fn storing(value: Vec<u8>) -> ObjectStorage {
    let store = ObjectStorage::memory().unwrap();
    store.write(&KEY, value.into()).await.unwrap();
    store
}

fn is_corrupt<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Corrupt { .. }))
}

/// Lengths where blocks begin and end, and others.
fn lengths() -> impl Strategy<Value = usize> {
    const B: usize = BLOCK as usize;
    prop_oneof![
        Just(0),
        Just(1),
        Just(B - 1),
        Just(B),
        Just(B + 1),
        Just(3 * B),
        0..100usize,
        0..3 * B,
        Just(5_000_000)
    ]
}

#[test]
fn the_seal_says_what_was_written() {
    run(async {
        let content = content(700_000);
        let (value, seal) = sealed(&content, 65_536);
        assert_eq!(seal.length, 700_000);
        assert_eq!(seal.raw, Sha256::of(&content));
        assert_eq!((seal.known_by, seal.identity.as_str()), (known_by(), IDENTITY));
        assert!(value.starts_with(&content));
        assert_eq!(open(&storing(value).await, &KEY).await.unwrap(), Some(seal));
        assert_eq!(open(&ObjectStorage::memory().unwrap(), &KEY).await.unwrap(), None);
    });
}

#[test]
fn the_layout_is_fixed() {
    let (value, _) = sealed(b"hello", 5);
    let (raw, known_by) = (Sha256::of(b"hello"), known_by());
    let expected: [&[u8]; 10] = [
        b"hello",
        &0x9a71_bb4c_u32.to_le_bytes(),
        b"pkg:volume/acme/x@1.2.3",
        &5u64.to_le_bytes(),
        &262_144u32.to_le_bytes(),
        &23u32.to_le_bytes(),
        raw.as_bytes(),
        known_by.as_bytes(),
        b"SCRPSEAL",
        &1u32.to_le_bytes(),
    ];
    let expected = expected.concat();
    let checksum = crc32_iscsi(&expected[5..]).to_le_bytes();
    assert_eq!(value, [expected.as_slice(), &checksum].concat());
}

#[test]
fn facts_are_kept_with_the_seal_and_bounded() {
    run(async {
        for (given, kept) in [(1, 1), (MAX_FACTS, MAX_FACTS), (MAX_FACTS + 1, 0)] {
            let mut writer = SealWriter::new(Vec::new()).with_facts(content(given));
            writer.write_all(b"hello").unwrap();
            let (value, seal) = writer.finish(known_by(), IDENTITY).unwrap();
            assert_eq!(seal.facts, content(kept));
            let trailer = IDENTITY.len() + kept + 4 + 96;
            assert_eq!(value.len(), 5 + trailer, "{given}");
            assert_eq!(open(&storing(value).await, &KEY).await.unwrap(), Some(seal));
        }
    });
}

#[test]
fn a_long_trailer_takes_a_second_read() {
    run(async {
        let (value, seal) = sealed(&content(900_000), 900_000);
        let store = storing(value).await;
        for first in [96, 100, 134, 135, 136] {
            assert_eq!(open_reading(&store, &KEY, first).await.unwrap().as_ref(), Some(&seal), "{first}");
        }
    });
}

#[test]
fn an_identity_has_a_bound() {
    let finish = |length| SealWriter::new(Vec::new()).finish(known_by(), &"x".repeat(length));
    assert!(finish(4096).is_ok());
    assert_eq!(finish(4097).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn values_of_other_kinds_are_refused() {
    run(async {
        let (value, _) = sealed(&content(300_000), 4096);
        let mut grown = value.clone();
        grown.insert(0, 0);
        let mut swollen = value.clone();
        swollen.push(0);
        for foreign in [Vec::new(), b"short".to_vec(), content(300_000), vec![0; 96], grown, swollen] {
            assert!(is_corrupt(&open(&storing(foreign).await, &KEY).await));
        }
    });
}

#[test]
fn a_bad_range_is_not_taken_for_damage() {
    run(async {
        let (value, seal) = sealed(b"hello", 5);
        let store = storing(value).await;
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
        for range in [0..6, 6..6, 3..2, 0..u64::MAX] {
            assert!(matches!(seal.read(&store, &KEY, range).await, Err(StoreError::Io { .. })));
        }
        store.remove(&KEY).await.unwrap();
        assert!(matches!(seal.read(&store, &KEY, 0..5).await, Err(StoreError::Missing { .. })));
    });
}

#[test]
fn swapped_blocks_are_found() {
    run(async {
        let (mut value, seal) = sealed(&content(2 * BLOCK as usize), 4096);
        value[..2 * BLOCK as usize].rotate_left(BLOCK as usize);
        let store = storing(value).await;
        assert!(is_corrupt(&seal.read(&store, &KEY, 0..1).await));
        assert!(is_corrupt(&seal.read(&store, &KEY, BLOCK..BLOCK + 1).await));
    });
}

#[test]
fn steps_cover_the_range_and_end_where_blocks_end() {
    assert_eq!(steps(0..0).count(), 0);
    let last = u64::MAX - 5..u64::MAX;
    for (range, ends) in [
        (7..9, vec![9]),
        (0..STEP, vec![STEP]),
        (STEP - 1..2 * STEP + 1, vec![STEP, 2 * STEP, 2 * STEP + 1]),
        (last, vec![u64::MAX]),
    ] {
        let cut: Vec<_> = steps(range.clone()).collect();
        assert_eq!(cut.iter().map(|step| step.end).collect::<Vec<_>>(), ends);
        assert_eq!(cut[0].start, range.start);
        assert!(cut.windows(2).all(|pair| pair[0].end == pair[1].start));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_range_is_the_slice(length in lengths(), piece in 1000..300_000usize, cuts: [prop::sample::Index; 2]) {
        let content = content(length);
        let (value, _) = sealed(&content, piece);
        let [mut start, mut end] = cuts.map(|cut| cut.index(length + 1));
        if start > end {
            std::mem::swap(&mut start, &mut end);
        }
        run(async {
            let store = storing(value).await;
            let seal = open(&store, &KEY).await.unwrap().unwrap();
            let whole = start as u64..end as u64;
            let read = seal.read(&store, &KEY, whole.clone()).await.unwrap();
            assert!(read == content[start..end]);
            let mut streamed = Vec::new();
            for step in steps(whole) {
                assert!(step.end - step.start <= STEP);
                streamed.extend_from_slice(&seal.read(&store, &KEY, step).await.unwrap());
            }
            assert!(streamed == content[start..end]);
        });
    }

    #[test]
    fn a_changed_byte_never_leaves(length in lengths(), at: prop::sample::Index, mask in 1..=255u8, trailer: bool) {
        let content = content(length);
        let (mut value, sealed) = sealed(&content, 65_536);
        let at = if trailer { length + at.index(value.len() - length) } else { at.index(value.len()) };
        value[at] ^= mask;
        run(async {
            let store = storing(value).await;
            let opened = open(&store, &KEY).await;
            if at >= length {
                assert!(is_corrupt(&opened));
                return;
            }
            assert_eq!(opened.unwrap().as_ref(), Some(&sealed));
            let hit = at as u64 / BLOCK;
            for block in 0..sealed.length.div_ceil(BLOCK) {
                let range = block * BLOCK..sealed.length.min((block + 1) * BLOCK);
                let read = sealed.read(&store, &KEY, range.clone()).await;
                if block == hit {
                    assert!(is_corrupt(&read));
                } else {
                    assert!(read.unwrap() == content[range.start as usize..range.end as usize]);
                }
            }
            let whole = 0..sealed.length;
            assert!(is_corrupt(&sealed.read(&store, &KEY, whole).await));
        });
    }

    #[test]
    fn a_cut_value_is_refused(length in lengths(), at: prop::sample::Index) {
        let (mut value, sealed) = sealed(&content(length), 65_536);
        value.truncate(at.index(value.len()));
        let cut = value.len() as u64;
        run(async {
            let store = storing(value).await;
            assert!(is_corrupt(&open(&store, &KEY).await));
            if cut < sealed.length {
                let end = sealed.length;
                assert!(is_corrupt(&sealed.read(&store, &KEY, end - 1..end).await));
            }
        });
    }
}
