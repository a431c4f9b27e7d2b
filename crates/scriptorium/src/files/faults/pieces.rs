//! The requests for damaged blocks of a stored file: the blocks alone, if they are few.
//!
//! Owns the bounds at which it is asked for all of it instead. Must not know how a file is patched.

use std::sync::Arc;

use bibliotheca::RangeSupport;
use futures_util::TryStreamExt;

use super::desk::{ARCHIVE, ARTIFACT, Proxy, Registry, Release, noise, places};
use crate::clock::ManualClock;
use crate::store::sealed::BLOCK;
use crate::store::{KeyPrefix, ObjectStorage, ValueStore};

/// The requests that mend these blocks of an artifact of `blocks`, and the metric of the repair.
async fn asked(blocks: u64, broken: impl IntoIterator<Item = u64>, ranging: RangeSupport) -> Asked {
    let release = Release::new(100, noise(3, (blocks * BLOCK) as usize));
    let (clock, registry) = (Arc::new(ManualClock::at(1_000_000)), Registry::of(&release, ranging));
    let store = Arc::new(ObjectStorage::memory().unwrap());
    let proxy = Proxy::over(store.clone(), &registry, clock);
    let held = proxy.artifact(&release).await.unwrap();
    let [_, place] = places(&release);
    let mut stored = store.read(&place).await.unwrap().unwrap().to_vec();
    broken.into_iter().for_each(|block| stored[(block * BLOCK) as usize + 5] ^= 1);
    store.write(&place, stored.into()).await.unwrap();
    registry.asked(ARTIFACT);
    assert!(proxy.read_all(&held).await.unwrap() == release.artifact, "wrong bytes");
    let count = |how| proxy.healed(how);
    Asked { questions: registry.asked(ARTIFACT), counted: [count("pieces"), count("whole"), count("failed")] }
}

struct Asked {
    questions: Vec<Option<String>>,
    /// As pieces, as a whole, in vain.
    counted: [u64; 3],
}

impl Asked {
    #[track_caller]
    fn for_pieces(self, ranges: impl IntoIterator<Item = (u64, u64)>) {
        let spelt = |(first, end)| Some(format!("bytes={}-{}", first * BLOCK, end * BLOCK - 1));
        assert_eq!(self.questions, ranges.into_iter().map(spelt).collect::<Vec<_>>());
        assert_eq!(self.counted, [1, 0, 0]);
    }

    /// After so many questions for pieces.
    #[track_caller]
    fn for_all_of_it(self, pieces: usize) {
        assert_eq!(self.questions.len(), pieces + 1, "{:?}", self.questions);
        assert!(self.questions.ends_with(&[None]) && self.questions[..pieces].iter().all(Option::is_some));
        assert_eq!(self.counted, [0, 1, 0]);
    }
}

#[tokio::test]
async fn one_broken_block_is_asked_for_alone() {
    for block in 0..4 {
        asked(4, [block], RangeSupport::Honoured).await.for_pieces([(block, block + 1)]);
    }
}

#[tokio::test]
async fn neighbours_are_one_piece_and_half_of_a_file_is_the_most() {
    asked(4, [1, 2], RangeSupport::Honoured).await.for_pieces([(1, 3)]);
    asked(4, [0, 3], RangeSupport::Honoured).await.for_pieces([(0, 1), (3, 4)]);
    asked(4, [0, 1, 3], RangeSupport::Honoured).await.for_all_of_it(0);
    asked(4, 0..4, RangeSupport::Honoured).await.for_all_of_it(0);
    asked(1, [0], RangeSupport::Honoured).await.for_all_of_it(0);
}

#[tokio::test]
async fn eight_pieces_are_asked_for_and_nine_are_not() {
    let every_other = |count: u64| (0..count).map(|at| 2 * at);
    let pieces = every_other(8).map(|at| (at, at + 1));
    asked(18, every_other(8), RangeSupport::Honoured).await.for_pieces(pieces);
    asked(18, every_other(9), RangeSupport::Honoured).await.for_all_of_it(0);
}

#[tokio::test]
async fn eight_mebibytes_are_asked_for_and_no_block_more() {
    asked(66, 0..32, RangeSupport::Honoured).await.for_pieces([(0, 32)]);
    asked(66, 0..33, RangeSupport::Honoured).await.for_all_of_it(0);
}

#[tokio::test]
async fn a_registry_that_sends_no_ranges_or_wrong_ones_is_asked_for_the_whole() {
    asked(4, [1, 3], RangeSupport::Garbled).await.for_all_of_it(2);
    asked(4, [1, 3], RangeSupport::Elsewhere).await.for_all_of_it(1);
    let Asked { questions, counted } = asked(4, [1, 3], RangeSupport::Ignored).await;
    assert_eq!(questions, [Some(format!("bytes={}-{}", BLOCK, 2 * BLOCK - 1))], "what came was the whole");
    assert_eq!(counted, [0, 1, 0]);
}

#[tokio::test]
async fn a_reader_of_a_repacked_file_takes_nothing_for_damaged() {
    let release = Release::new(3 * BLOCK as usize, Vec::new());
    let (clock, registry) =
        (Arc::new(ManualClock::at(1_000_000)), Registry::of(&release, RangeSupport::Honoured));
    let store = Arc::new(ObjectStorage::memory().unwrap());
    let proxy = Proxy::over(store.clone(), &registry, clock);
    let (one, other) = (proxy.archive(&release).await.unwrap(), proxy.archive(&release).await.unwrap());
    registry.replace_archive(&release.repacked);
    let [place, _] = places(&release);
    let mut stored = store.read(&place).await.unwrap().unwrap().to_vec();
    stored[5] ^= 1;
    store.write(&place, stored.into()).await.unwrap();
    registry.asked(ARCHIVE);
    for held in [&one, &other, &one] {
        assert!(proxy.read_all(held).await.is_err(), "nothing of it is what was begun");
    }
    let whole = registry.asked(ARCHIVE).into_iter().filter(Option::is_none).count();
    assert_eq!(whole, 1, "who comes later finds it repacked");
    let aside: Vec<_> = store.list(KeyPrefix::Quarantine).try_collect().await.unwrap();
    assert_eq!(aside.len(), 2, "one value and its note: {aside:?}");
    let held = proxy.archive(&release).await.unwrap();
    assert!(proxy.read_all(&held).await.unwrap() == release.repacked);
}
