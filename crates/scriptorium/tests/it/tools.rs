//! The tools themselves: a suite whose upstream, client or digests were wrong would prove nothing.

use serde_json::json;

use crate::support::tarball::{Entry, tar_gz, tree_digest};
use crate::support::{Client, Conversation, Release, Reply, Upstream, eventually};

fn client(upstream: &Upstream) -> Client {
    Client(upstream.authority().parse().unwrap())
}

#[test]
fn tree_digests_equal_the_protocols_vectors() {
    let hello = || Entry::file("volume.toml", "hello");
    let vectors = [
        (vec![hello()], "f7e51421b3759bf543486409eed53c8eb4b3a06b840c21b1a72269c835c7f9d1"),
        (
            vec![hello(), Entry::file("agents/review.md", "agent\n")],
            "193847dcdd04ffbf2a26185b54406001b52b8e6e2ce3102b638534fccbfd5c1c",
        ),
        (
            vec![Entry::script("scripts/run.sh", "#!/bin/sh\necho ok\n")],
            "ae0d7f0da8f1ac127af0abd7ff409db01f7eef202c09f7b7d8ce051b81dea55f",
        ),
        (
            vec![Entry::file("empty.txt", "")],
            "9df98c2ebc1150e8de1da65f92d243f2bcfd30e4f013c30fe2ef95f10bc28190",
        ),
        (
            vec![Entry::file("docs/unicode.txt", "안녕")],
            "2739cda93a5d9e9ef1440e4388c90a7909b53900115ea53989725d493950e2d0",
        ),
    ];
    for (entries, digest) in vectors {
        assert_eq!(tree_digest(&entries), format!("sha256:{digest}"));
    }
}

#[test]
fn archives_unpack_to_what_went_in() {
    let entries = Release::new("lamp", "1.0.0").entries;
    let packed = tar_gz(&entries);
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&packed[..]));
    let unpacked: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(unpacked, entries.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>());
}

#[test]
fn the_upstream_publishes_counts_and_revalidates() {
    let (upstream, release) = (Upstream::start(), Release::new("@acme/lamp", "1.0.0"));
    upstream.publish(&release);
    let index = client(&upstream).get(&release.index().replace('@', "%40")).ok();
    assert_eq!(index.json()["items"][0]["integrity"], release.integrity());
    assert_eq!(client(&upstream).get(&release.source()).ok().body, release.archive());
    let tag = index.header("etag").unwrap();
    assert_eq!(client(&upstream).get_with(&release.index(), "if-none-match", tag).status, 304);
    assert_eq!(client(&upstream).get("/api/v1/index/volumes/other").status, 404);
    assert_eq!(
        (upstream.requests(&release.index()), upstream.seen().len(), upstream.connections()),
        (2, 4, 4)
    );
}

#[test]
fn the_upstream_breaks_off_pauses_and_lies() {
    let upstream = Upstream::start();
    let whole = Reply::archive(vec![7; 1000]);
    upstream.reply("/cut", whole.clone().cut_after(10));
    upstream.reply("/lie", whole.clone().claiming(2000));
    let (pausing, hold) = whole.pausing_after(10);
    upstream.reply("/pause", pausing);
    for (target, length) in [("/cut", 10), ("/lie", 1000)] {
        let answer = client(&upstream).get(target);
        assert_eq!((answer.whole, answer.body.len()), (false, length), "{target}");
    }
    let mut conversation = Conversation::open(client(&upstream).0).unwrap();
    conversation.ask("GET", "/pause", &[]).unwrap();
    let mut answer = conversation.begin().unwrap();
    hold.release();
    conversation.finish(&mut answer).unwrap();
    assert_eq!(answer.ok().body.len(), 1000);
}

#[test]
fn the_upstream_holds_answers_back() {
    let upstream = Upstream::start();
    upstream.reply("/held", Reply::json(&json!({})));
    let hold = upstream.hold("/held");
    let mut conversation = Conversation::open(client(&upstream).0).unwrap();
    conversation.ask("GET", "/held", &[]).unwrap();
    eventually("the request", || (upstream.requests("/held") == 1).then_some(()));
    hold.release();
    conversation.answer().unwrap().ok();
}

#[test]
fn the_upstream_goes_and_comes_back() {
    let upstream = Upstream::start();
    let mut open = Conversation::open(client(&upstream).0).unwrap();
    upstream.down();
    assert!(open.is_over());
    assert!(client(&upstream).try_send("GET", "/", &[]).is_err());
    upstream.up();
    assert_eq!(client(&upstream).get("/").status, 404);
}
