//! Fetching from the real server.

use std::path::Path;
use std::time::Instant;

use archive::{TreeFile, pack_files};
use git_delivery::{
    CommitId, FetchError, GitAllowance, GitExcess, GitLimits, GitObjects, GitReference, GitTransport,
    RemoteRepository, RepositoryFolder,
};
use tempfile::TempDir;

use super::backend::Backend;
use super::repository::Repository;
use super::{ROOMY, archive_of, noise};

/// A folder for packs, and one where they are staged.
pub(super) struct Place {
    home: TempDir,
    pub(super) folder: RepositoryFolder,
}

impl Place {
    pub(super) fn new() -> Self {
        Self::of(u64::MAX)
    }

    pub(super) fn of(max_bytes: u64) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("staging")).unwrap();
        let folder = RepositoryFolder::open(&home.path().join("objects"), max_bytes).unwrap();
        Self { home, folder }
    }

    pub(super) fn objects(&self) -> GitObjects {
        self.folder.objects(&ROOMY).unwrap()
    }

    pub(super) fn staging(&self) -> std::path::PathBuf {
        self.home.path().join("staging")
    }

    /// The names of all files.
    pub(super) fn files(&self) -> Vec<String> {
        fn below(folder: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { below(&path, found) } else { found.push(path.display().to_string()) }
            }
        }
        let mut found = Vec::new();
        below(self.home.path(), &mut found);
        found
    }

    /// Fetches `references` in one go.
    pub(super) fn fetch(
        &self,
        transport: &mut dyn GitTransport,
        references: &[&str],
        limits: &GitLimits,
    ) -> Result<Vec<CommitId>, FetchError> {
        let now = Instant::now;
        let allowance = GitAllowance::new(limits, &now);
        self.fetch_within(transport, references, &allowance)
    }

    pub(super) fn fetch_within(
        &self,
        transport: &mut dyn GitTransport,
        references: &[&str],
        allowance: &GitAllowance<'_>,
    ) -> Result<Vec<CommitId>, FetchError> {
        let references: Vec<GitReference> = references.iter().map(|text| text.parse().unwrap()).collect();
        let mut remote = RemoteRepository::connect(transport, allowance)?;
        let commits: Vec<_> = remote.resolve(&references)?.into_iter().map(Option::unwrap).collect();
        remote.fetch(&commits, &self.folder, &self.staging())?;
        Ok(commits)
    }
}

pub(super) fn notes(version: usize) -> Vec<(String, Vec<u8>)> {
    let text = |note: usize| {
        let lines =
            (0..300).map(|line| format!("{line}: {}\n", if line == note + version { "new" } else { "old" }));
        lines.collect::<String>().into_bytes()
    };
    let mut files: Vec<_> = (0..30).map(|note| (format!("notes/{note}.md"), text(note))).collect();
    files.push(("volume.toml".to_owned(), format!("# {version}\n").into_bytes()));
    files
}

pub(super) fn listed(files: &[(String, Vec<u8>)]) -> Vec<TreeFile<'_>> {
    files.iter().map(|(path, content)| TreeFile { path, executable: false, content }).collect()
}

/// A repository with five versions, each with a tag: `v0` … `v4`. Those with an even number have tags with a message.
pub(super) fn versions() -> (Repository, Vec<CommitId>) {
    let repository = Repository::new();
    let commits = (0..5).map(|version| {
        let commit = repository.commit(&listed(&notes(version)));
        let tag = format!("v{version}");
        match version % 2 {
            0 => repository.git(&["tag", "--annotate", "--message=x", &tag]),
            _ => repository.git(&["tag", &tag]),
        };
        commit
    });
    let commits = commits.collect();
    (repository, commits)
}

#[test]
fn every_kind_of_reference_gives_the_archive_of_its_files() {
    let (repository, commits) = versions();
    repository.git(&["branch", "stable/1", "v1"]);
    repository.git(&["branch", "v2", "v3"]);
    let hash = commits[2].to_string();
    for (reference, version) in [
        ("v0", 0),
        ("v1", 1),
        ("refs/tags/v0", 0),
        ("refs/heads/v2", 3),
        // A tag is meant before a branch of the same name.
        ("v2", 2),
        ("stable/1", 1),
        ("main", 4),
        (&hash, 2),
    ] {
        let place = Place::new();
        let mut backend = Backend::of(&repository);
        let fetched = place.fetch(&mut backend, &[reference], &ROOMY).unwrap();
        assert_eq!(fetched, [commits[version]], "{reference}");
        let expected = pack_files(&listed(&notes(version))).unwrap();
        assert_eq!(archive_of(&place.objects(), fetched[0]).unwrap(), expected, "{reference}");
        assert!(backend.requests.get() <= 3, "{reference}");
        assert_eq!(place.files().len(), 2, "a pack and its index, and nothing staged: {:?}", place.files());
    }
}

#[test]
fn a_tag_that_is_fetched_by_its_own_name_stands_for_its_commit() {
    let (repository, _) = versions();
    let tag = repository.git(&["rev-parse", "refs/tags/v0"]);
    let place = Place::new();
    let fetched = place.fetch(&mut Backend::of(&repository), &[&tag], &ROOMY).unwrap();
    let expected = pack_files(&listed(&notes(0))).unwrap();
    assert_eq!(archive_of(&place.objects(), fetched[0]).unwrap(), expected);
}

#[test]
fn several_references_share_one_fetch_without_their_history() {
    let (repository, commits) = versions();
    let (place, mut backend) = (Place::new(), Backend::of(&repository));
    let fetched = place.fetch(&mut backend, &["v1", "v3"], &ROOMY).unwrap();
    assert_eq!(fetched, [commits[1], commits[3]]);
    assert_eq!(backend.requests.get(), 3);
    for version in [1, 3] {
        let expected = pack_files(&listed(&notes(version))).unwrap();
        assert_eq!(archive_of(&place.objects(), commits[version]).unwrap(), expected);
    }
    assert!(archive_of(&place.objects(), commits[2]).is_err(), "the history between them came along");
}

#[test]
fn an_unknown_reference_is_no_failure() {
    let (repository, commits) = versions();
    let now = Instant::now;
    let allowance = GitAllowance::new(&ROOMY, &now);
    let mut backend = Backend::of(&repository);
    let mut remote = RemoteRepository::connect(&mut backend, &allowance).unwrap();
    // The server lists `v1` for the prefix `v`, which names nothing itself.
    let references = ["v", "v1", "absent"].map(|text| text.parse().unwrap());
    assert_eq!(remote.resolve(&references).unwrap(), [None, Some(commits[1]), None]);
}

#[test]
fn a_commit_that_the_server_lacks_is_refused() {
    let (repository, _) = versions();
    let place = Place::new();
    let absent = "9fceb02d0ae598e95dc970b74767f19372d61af8";
    let refused = place.fetch(&mut Backend::of(&repository), &[absent], &ROOMY).unwrap_err();
    let FetchError::Refused(said) = &refused else { panic!("{refused:?}") };
    assert!(said.to_string().contains("not our ref"), "{said}");
    assert!(!refused.to_string().contains("not our ref"), "the server's words are not for clients");
    assert!(place.files().is_empty());
}

#[test]
fn a_server_without_shallow_fetches_sends_the_history_too() {
    let (repository, commits) = versions();
    let place = Place::new();
    let mut backend = WithoutShallow(Backend::of(&repository));
    let fetched = place.fetch(&mut backend, &["v3"], &ROOMY).unwrap();
    let expected = pack_files(&listed(&notes(3))).unwrap();
    assert_eq!(archive_of(&place.objects(), fetched[0]).unwrap(), expected);
    assert!(archive_of(&place.objects(), commits[0]).is_ok());
}

/// A server that does not offer to leave out the history.
struct WithoutShallow(Backend);

impl GitTransport for WithoutShallow {
    fn exchange(
        &mut self,
        request: &git_delivery::GitRequest<'_>,
    ) -> std::io::Result<git_delivery::GitAnswer<'_>> {
        if let Some(body) = request.body() {
            assert!(!body.windows(6).any(|word| word == b"deepen"));
            return self.0.exchange(request);
        }
        let git_delivery::GitAnswer { content_type, mut body } = self.0.exchange(request)?;
        let mut abilities = String::new();
        std::io::Read::read_to_string(&mut body, &mut abilities)?;
        assert!(abilities.contains("fetch=shallow"), "{abilities}");
        // Of the same length, so that the length before the line holds.
        let abilities = abilities.replace("fetch=shallow", "fetch=unknown");
        Ok(git_delivery::GitAnswer { content_type, body: Box::new(std::io::Cursor::new(abilities)) })
    }
}

#[test]
fn git_finds_the_index_and_the_pack_sound() {
    let (repository, _) = versions();
    repository.git(&["repack", "-a", "-d", "-F", "--quiet", "--window=50", "--depth=50"]);
    let place = Place::new();
    place.fetch(&mut Backend::of(&repository), &["v4", "v0"], &ROOMY).unwrap();
    let index = place.files().into_iter().find(|path| path.ends_with(".idx")).unwrap();
    let listing = repository.git(&["verify-pack", "--verbose", &index]);
    assert!(listing.contains("chain length = "), "the server sent no difference: {listing}");
}

#[test]
fn one_repository_gives_the_same_bytes_from_any_pack() {
    let (repository, _) = versions();
    let expected = pack_files(&listed(&notes(3))).unwrap();
    for options in [&["--window=0"][..], &["--window=50", "--depth=50"], &["--window=2", "--depth=1"]] {
        repository.git(&[&["repack", "-a", "-d", "-F", "--quiet"], options].concat());
        let place = Place::new();
        let fetched = place.fetch(&mut Backend::of(&repository), &["v3"], &ROOMY).unwrap();
        assert_eq!(archive_of(&place.objects(), fetched[0]).unwrap(), expected, "{options:?}");
    }
}

#[test]
fn each_limit_of_a_fetch_is_kept() {
    let (repository, _) = versions();
    repository.git(&["repack", "-a", "-d", "-F", "--quiet", "--window=50", "--depth=50"]);
    for (limits, expected) in [
        (GitLimits { max_pack: 1000, ..ROOMY }, GitExcess::Pack(1000)),
        (GitLimits { max_objects: 33, ..ROOMY }, GitExcess::Objects(33)),
        (GitLimits { max_file: 1000, ..ROOMY }, GitExcess::File(1000)),
        (GitLimits { max_held: 100, ..ROOMY }, GitExcess::Held(100)),
        (GitLimits { max_inflated: 1000, ..ROOMY }, GitExcess::Inflated(1000)),
        (GitLimits { max_delta_depth: 0, ..ROOMY }, GitExcess::DeltaDepth(0)),
        (GitLimits { max_listing: 100, ..ROOMY }, GitExcess::Listing(100)),
        (
            GitLimits { max_time: std::time::Duration::ZERO, ..ROOMY },
            GitExcess::Time(std::time::Duration::ZERO),
        ),
    ] {
        let place = Place::new();
        let refused = place.fetch(&mut Backend::of(&repository), &["v4"], &limits).unwrap_err();
        assert!(
            matches!(&refused, FetchError::Exceeded(excess) if *excess == expected),
            "{expected}: {refused:?}"
        );
        assert!(place.files().is_empty(), "{expected}: {:?}", place.files());
    }
    // 34 objects: a commit, two trees, 30 notes and the manifest.
    let place = Place::new();
    place.fetch(&mut Backend::of(&repository), &["v4"], &GitLimits { max_objects: 34, ..ROOMY }).unwrap();
}

#[test]
fn memory_stays_flat_while_a_repository_grows() {
    let peak = |files: u64| {
        let repository = Repository::new();
        let contents: Vec<_> = (0..files).map(|seed| (format!("{seed}"), noise(seed, 2_000_000))).collect();
        let commit = repository.commit(&listed(&contents));
        drop(contents);
        let place = Place::new();
        let now = Instant::now;
        let memory = allocation_counter::measure(|| {
            let allowance = GitAllowance::new(&ROOMY, &now);
            let mut backend = Backend::of(&repository);
            place.fetch_within(&mut backend, &["main"], &allowance).unwrap();
            let objects = place.folder.objects(&ROOMY).unwrap();
            git_delivery::archive_commit(
                &objects,
                commit,
                &super::ROOMY_ARCHIVE,
                &allowance,
                std::io::sink(),
            )
            .unwrap();
        });
        memory.bytes_max
    };
    let (small, large) = (peak(1), peak(12));
    assert!(large < small + (256 << 10) && large < 2 << 20, "{small} bytes at once, then {large}");
}
