//! What a repository's folder keeps, for how long, and what becomes of it when it is damaged or used by several at once.

use std::time::Instant;

use archive::{TreeFile, pack_files};
use git_delivery::{CommitId, GitAllowance, RemoteRepository};

use super::backend::Backend;
use super::fetching::{Place, listed, notes, versions};
use super::repository::Repository;
use super::{ROOMY, archive_of, noise};

#[test]
fn the_oldest_packs_make_room_for_the_last_one() {
    let repository = Repository::new();
    let commits: Vec<_> = (0..4)
        .map(|seed| {
            repository.commit(&[TreeFile {
                path: "noise",
                executable: false,
                content: &noise(seed, 100_000),
            }])
        })
        .collect();
    let place = Place::of(250_000);
    for commit in &commits {
        place.fetch(&mut Backend::of(&repository), &[&commit.to_string()], &ROOMY).unwrap();
    }
    let there: Vec<bool> =
        commits.iter().map(|commit| archive_of(&place.objects(), *commit).is_ok()).collect();
    assert_eq!(there, [false, false, true, true]);
    assert_eq!(place.files().len(), 4);
}

#[test]
fn a_repository_keeps_no_more_than_64_packs() {
    let repository = Repository::new();
    let place = Place::new();
    let commits: Vec<_> = (0..66_u8)
        .map(|version| {
            let commit = repository.commit(&[TreeFile { path: "a", executable: false, content: &[version] }]);
            place.fetch(&mut Backend::of(&repository), &[&commit.to_string()], &ROOMY).unwrap();
            commit
        })
        .collect();
    let objects = place.objects();
    let lost: Vec<_> = commits.iter().filter(|commit| !objects.holds(**commit)).collect();
    assert_eq!(lost, [&commits[0], &commits[1]]);
}

#[test]
fn the_same_pack_is_kept_once_and_read_until_its_reader_is_done() {
    let (repository, commits) = versions();
    // The last pack alone has room.
    let place = Place::of(0);
    for _ in 0..2 {
        place.fetch(&mut Backend::of(&repository), &["v1"], &ROOMY).unwrap();
        assert_eq!(place.files().len(), 2, "{:?}", place.files());
    }
    let before = place.objects();
    place.fetch(&mut Backend::of(&repository), &["v2"], &ROOMY).unwrap();
    assert_eq!(place.files().len(), 2, "{:?}", place.files());
    assert!(before.holds(commits[1]) && !place.objects().holds(commits[1]));
    let expected = pack_files(&listed(&notes(1))).unwrap();
    assert_eq!(archive_of(&before, commits[1]).unwrap(), expected);
}

#[test]
fn a_pack_that_was_damaged_is_replaced_by_the_same_one() {
    let (repository, commits) = versions();
    let place = Place::new();
    place.fetch(&mut Backend::of(&repository), &["v1"], &ROOMY).unwrap();
    for file in place.files() {
        let sound = std::fs::read(&file).unwrap();
        let mut later_damaged = sound.clone();
        later_damaged[20..].fill(7);
        for damaged in [&later_damaged[..], &vec![0; sound.len()], &sound[..50], b""] {
            std::fs::write(&file, damaged).unwrap();
            assert!(archive_of(&place.objects(), commits[1]).is_err());
            place.fetch(&mut Backend::of(&repository), &["v1"], &ROOMY).unwrap();
            assert_eq!(std::fs::read(&file).unwrap(), sound);
            archive_of(&place.objects(), commits[1]).unwrap();
        }
    }
    place.folder.clear(&place.staging()).unwrap();
    assert!(place.files().is_empty() && !place.objects().holds(commits[1]));
}

#[test]
fn a_damaged_index_is_not_believed() {
    let (repository, commits) = versions();
    let place = Place::new();
    place.fetch(&mut Backend::of(&repository), &["v1"], &ROOMY).unwrap();
    let index = place.files().into_iter().find(|path| path.ends_with(".idx")).unwrap();
    let sound = std::fs::read(&index).unwrap();
    let expected = pack_files(&listed(&notes(1))).unwrap();
    for at in (0..sound.len()).step_by(5) {
        let mut damaged = sound.clone();
        damaged[at] ^= 0x80;
        std::fs::write(&index, &damaged).unwrap();
        if let Ok(archive) = archive_of(&place.objects(), commits[1]) {
            assert_eq!(archive, expected, "byte {at}");
        }
    }
}

#[test]
fn fetches_at_once_do_not_harm_each_other() {
    let (repository, commits) = versions();
    // Each fetch makes room for its own pack alone.
    let place = Place::of(0);
    let fetch = |commit: CommitId| {
        let now = Instant::now;
        let allowance = GitAllowance::new(&ROOMY, &now);
        let mut backend = Backend::of(&repository);
        let mut remote = RemoteRepository::connect(&mut backend, &allowance).unwrap();
        let objects = remote.fetch(&[commit], &place.folder, &place.staging()).unwrap();
        archive_of(&objects, commit).unwrap()
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            for (version, commit) in commits.iter().enumerate() {
                scope
                    .spawn(move || assert_eq!(fetch(*commit), pack_files(&listed(&notes(version))).unwrap()));
            }
        }
    });
    fetch(commits[0]);
    assert_eq!(place.files().len(), 2, "{:?}", place.files());
}
