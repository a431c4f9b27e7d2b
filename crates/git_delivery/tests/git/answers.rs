//! Hostile answers around a pack: endless, trickling, broken, in another form or of another protocol.

use std::cell::Cell;
use std::io::{self, Cursor, Read};
use std::rc::Rc;
use std::time::{Duration, Instant};

use git_delivery::{
    FetchError, GitAllowance, GitAnswer, GitExcess, GitLimits, GitRequest, GitTransport, RemoteRepository,
};
use proptest::prelude::*;

use super::fetching::Place;
use super::forgery::*;
use super::hostile::{ANY, refused, refused_within, small};
use super::{ROOMY, archive_of};

/// Repeats its bytes for ever.
struct Endless(Vec<u8>, usize);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&self.0[self.1..]).read(buffer)?;
        self.1 = (self.1 + read) % self.0.len();
        Ok(read)
    }
}

fn endless(first: Vec<u8>, then: Vec<u8>) -> Box<dyn Read> {
    Box::new(Cursor::new(first).chain(Endless(then, 0)))
}

#[test]
fn an_answer_that_never_ends_is_cut_off() {
    let limits = GitLimits { max_pack: 4 << 20, ..ROOMY };
    let excess = |server: Forger, reference: &str| match refused_within(server, reference, &limits) {
        FetchError::Exceeded(excess) => excess,
        other => panic!("{other:?}"),
    };
    let abilities = endless(line(b"version 2\n"), line(b"x=y\n"));
    assert_eq!(excess(Forger::with_abilities(abilities, Vec::new()), ANY), GitExcess::Listing(64 << 10));
    let listing = endless(Vec::new(), line(format!("{ANY} refs/tags/v10\n").as_bytes()));
    assert_eq!(excess(Forger::new(vec![listing]), "v1"), GitExcess::Listing(limits.max_listing));

    let pack = GitExcess::Pack(4 << 20);
    for body in [
        // Sections, messages about progress, and empty lines of the pack.
        endless(Vec::new(), line(b"shallow x\n")),
        endless(line(b"packfile\n"), band(2, b"counting objects\n")),
        endless(line(b"packfile\n"), line(b"\x01")),
        // An object whose compressed bytes go on and give nothing: empty blocks.
        endless(
            [line(b"packfile\n"), band(1, b"PACK\0\0\0\x02\0\0\0\x01\x35\x78\x01")].concat(),
            band(1, &[0, 0, 0, 0xff, 0xff].repeat(1000)),
        ),
        // The bytes of an object whose length is within the limit of a file.
        endless(
            [line(b"packfile\n"), band(1, b"PACK\0\0\0\x02\0\0\0\x01\xb0\x80\x80\x20\x78\x01")].concat(),
            band(1, &[&[0, 0xff, 0xff, 0, 0][..], &[7; 0xffff]].concat()),
        ),
    ] {
        assert_eq!(excess(Forger::new(vec![body]), ANY), pack);
    }
}

/// Gives one byte at a time, and the time passes.
struct Trickle(Cursor<Vec<u8>>, Rc<Cell<Duration>>);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1.set(self.1.get() + Duration::from_secs(1));
        self.0.read(&mut buffer[..1])
    }
}

#[test]
fn a_server_that_trickles_has_no_more_than_its_time() {
    let (pack, commit) = ForgedPack::default().whole(BLOB, &[7; 100]).commit_of(&[7; 100]);
    let (pack, passed) = (pack.finish(), Rc::new(Cell::new(Duration::ZERO)));
    let started = Instant::now();
    let now = || started + passed.get();
    let fetch = |seconds: u64| {
        let limits = GitLimits { max_time: Duration::from_secs(seconds), ..ROOMY };
        passed.set(Duration::ZERO);
        let body = Trickle(Cursor::new(fetched(&pack)), passed.clone());
        let place = Place::new();
        let allowance = GitAllowance::new(&limits, &now);
        let mut server = Forger::new(vec![Box::new(body)]);
        let fetched = place.fetch_within(&mut server, &[&commit.to_string()], &allowance);
        assert_eq!(place.files().is_empty(), fetched.is_err());
        fetched
    };
    let late = fetch(60).unwrap_err();
    assert!(matches!(late, FetchError::Exceeded(GitExcess::Time(_))), "{late:?}");
    assert!(passed.get() < Duration::from_secs(62), "{:?}", passed.get());
    fetch(600).unwrap();
}

#[test]
fn an_answer_out_of_form_is_refused() {
    let malformed = |body: Vec<u8>| match refused(Forger::new(vec![Box::new(Cursor::new(body))])) {
        FetchError::Malformed(_) => {}
        other => panic!("{other:?}"),
    };
    let packfile = || line(b"packfile\n");
    malformed(Vec::new());
    malformed(FLUSH.to_vec());
    malformed(b"xxxx".to_vec());
    malformed(b"0003".to_vec());
    malformed(b"0004".to_vec());
    malformed(b"ffff".to_vec());
    malformed(b"0010short".to_vec());
    malformed([packfile(), line(b"\x04x")].concat());
    malformed([packfile(), b"0001".to_vec()].concat());
    malformed([packfile(), band(1, &small().finish())].concat());
    malformed([line(b"shallow-info\n"), packfile(), FLUSH.to_vec()].concat());

    let said = |body: Vec<u8>| match refused(Forger::new(vec![Box::new(Cursor::new(body))])) {
        FetchError::Refused(said) => said.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(said(line(b"ERR not\x1bhere\n")), "not\\u{1b}here");
    assert_eq!(said([packfile(), band(3, b"out of memory\n")].concat()), "out of memory");
    assert_eq!(said([packfile(), band(1, b"PACK"), band(3, &[b'x'; 50_000])].concat()).chars().count(), 161);
}

/// Gives its answers another media type.
struct Typed(Forger, &'static str);

impl GitTransport for Typed {
    fn exchange(&mut self, request: &GitRequest<'_>) -> io::Result<GitAnswer<'_>> {
        let answer = self.0.exchange(request)?;
        Ok(GitAnswer { content_type: self.1.to_owned(), ..answer })
    }
}

#[test]
fn an_answer_of_another_media_type_is_not_git() {
    let page = || Forger::with_abilities(Box::new(Cursor::new(abilities())), Vec::new());
    let now = Instant::now;
    let allowance = GitAllowance::new(&ROOMY, &now);
    for (media_type, is_git) in [
        ("text/html", false),
        ("", false),
        ("application/x-git-upload-pack-result", false),
        ("application/x-git-upload-pack-advertisement", true),
        ("Application/X-Git-Upload-Pack-Advertisement; charset=utf-8", true),
    ] {
        let mut transport = Typed(page(), media_type);
        match RemoteRepository::connect(&mut transport, &allowance) {
            Ok(_) => assert!(is_git, "{media_type}"),
            Err(FetchError::Unsupported(_)) => assert!(!is_git, "{media_type}"),
            Err(other) => panic!("{media_type}: {other:?}"),
        }
    }
}

#[test]
fn another_protocol_is_not_supported() {
    let abilities = |lines: &[&str]| {
        let lines: Vec<u8> = lines.iter().flat_map(|text| line(text.as_bytes())).collect();
        let body = Box::new(Cursor::new([lines, FLUSH.to_vec()].concat()));
        refused(Forger::with_abilities(body, Vec::new()))
    };
    for lines in [
        &["version 1\n"][..],
        &["9fceb02d0ae598e95dc970b74767f19372d61af8 HEAD\0multi_ack\n"],
        &["version 2\n", "ls-refs\n"],
        &["version 2\n", "fetch\n", "object-format=sha256\n"],
    ] {
        let refused = abilities(lines);
        assert!(matches!(refused, FetchError::Unsupported(_)), "{lines:?}: {refused:?}");
    }
    assert!(matches!(abilities(&[]), FetchError::Malformed(_)));
    let service =
        [line(b"# service=git-upload-pack\n"), FLUSH.to_vec(), super::forgery::abilities()].concat();
    let (pack, commit) = small().commit_of(b"hello");
    let answer: Box<dyn Read> = Box::new(Cursor::new(fetched(&pack.finish())));
    let mut server = Forger::with_abilities(Box::new(Cursor::new(service)), vec![answer]);
    Place::new().fetch(&mut server, &[&commit.to_string()], &ROOMY).unwrap();
}

/// Fails after its bytes.
struct Broken(Cursor<Vec<u8>>);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::new(io::ErrorKind::ConnectionReset, "reset by peer")),
            read => Ok(read),
        }
    }
}

#[test]
fn a_broken_exchange_is_told_from_a_broken_answer() {
    let whole = fetched(&small().finish());
    for len in 0..whole.len() - 4 {
        let body = Broken(Cursor::new(whole[..len].to_vec()));
        let refused = refused(Forger::new(vec![Box::new(body)]));
        let FetchError::Transport(cause) = refused else { panic!("{len}: {refused:?}") };
        assert_eq!(cause.kind(), io::ErrorKind::ConnectionReset);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_is_more_than_refused(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let same = delta(5, 5, &copy(5));
        let pack = small().on_last(&same).on_last(&same).on_name(name_of("blob", b"hello"), &same);
        let (pack, commit) = pack.commit_of(b"hello");
        let mut body = fetched(&pack.finish());
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        let place = Place::new();
        let mut server = Forger::new(vec![Box::new(Cursor::new(body))]);
        if place.fetch(&mut server, &[&commit.to_string()], &ROOMY).is_ok() {
            archive_of(&place.objects(), commit).unwrap();
        } else {
            prop_assert!(place.files().is_empty());
        }
    }
}
