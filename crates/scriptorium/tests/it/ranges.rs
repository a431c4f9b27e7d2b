//! Ranges of archives, as RFC 9110 has them: one range is served, an impossible one refused, and
//! everything else means the whole.

use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Setup, Upstream, noise};

fn warmed() -> (Upstream, Proxy, Release, Vec<u8>) {
    let upstream = Upstream::start();
    let release = Release::new("lamp", "1.0.0").adding(Entry::file("data.bin", noise(3, 700_000)));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).start();
    let archive = proxy.client().get(&release.download()).ok().body;
    (upstream, proxy, release, archive)
}

#[test]
fn one_range_is_served() {
    let (_upstream, proxy, release, archive) = warmed();
    let last = archive.len() - 1;
    let wanted = [
        ("bytes=0-0".to_owned(), 0, 0),
        ("bytes=0-99".to_owned(), 0, 99),
        ("bytes=100-".to_owned(), 100, last),
        ("bytes=-7".to_owned(), archive.len() - 7, last),
        (format!("bytes=-{}", archive.len() * 2), 0, last),
        (format!("bytes={last}-{last}"), last, last),
        ("bytes=5-99999999999".to_owned(), 5, last),
        ("bytes=262143-262144".to_owned(), 262_143, 262_144),
        ("bytes=262144-524288".to_owned(), 262_144, 524_288),
    ];
    for (range, from, to) in wanted {
        let answer = proxy.client().get_with(&release.download(), "range", &range);
        assert_eq!(answer.status, 206, "{range}");
        let stated = format!("bytes {from}-{to}/{}", archive.len());
        assert_eq!(answer.header("content-range"), Some(stated.as_str()), "{range}");
        assert_eq!(answer.header("content-length"), Some((to - from + 1).to_string().as_str()), "{range}");
        assert!(answer.whole && answer.body == archive[from..=to], "{range}: other bytes");
    }
}

#[test]
fn head_tells_of_the_whole() {
    let (_upstream, proxy, release, archive) = warmed();
    for range in ["bytes=0-99", "bytes=-7", "bytes=99999999999-"] {
        let head = proxy.client().send("HEAD", &release.download(), &[("range", range)]);
        assert_eq!(head.status, 200, "{range}");
        assert_eq!(head.header("content-length"), Some(archive.len().to_string().as_str()));
        assert_eq!(head.header("content-range"), None);
        assert_eq!(head.header("accept-ranges"), Some("bytes"));
    }
}

#[test]
fn a_range_of_a_cold_archive_is_served() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).start();
    let answer = proxy.client().get_with(&release.download(), "range", "bytes=10-19");
    assert_eq!(answer.status, 206);
    assert_eq!(answer.body, release.archive()[10..20]);
    assert!(upstream.seen().iter().all(|seen| seen.fields.get("range").is_none()), "the whole is verified");
}

#[test]
fn an_impossible_range_is_refused() {
    let (_upstream, proxy, release, archive) = warmed();
    for range in [format!("bytes={}-", archive.len()), "bytes=-0".to_owned(), "bytes=99999999999-".to_owned()]
    {
        let answer = proxy.client().get_with(&release.download(), "range", &range);
        answer.problem(416, "about:blank");
        assert_eq!(answer.header("content-range"), Some(format!("bytes */{}", archive.len()).as_str()));
    }
}

#[test]
fn what_is_no_single_range_means_the_whole() {
    let (_upstream, proxy, release, archive) = warmed();
    let many = format!("bytes={}", vec!["0-0"; 1000].join(","));
    for range in
        ["bytes=0-1,5-6", "lines=1-2", "bytes=9-1", "bytes=abc", "bytes", "bytes=", "0-5", "bytes=--5", &many]
    {
        let answer = proxy.client().get_with(&release.download(), "range", range);
        assert_eq!(answer.status, 200, "{range}");
        assert_eq!(answer.body, archive, "{range}");
    }
}

#[test]
fn if_range_guards_a_resumed_download() {
    let (_upstream, proxy, release, archive) = warmed();
    let tag = proxy.client().head(&release.download()).header("etag").unwrap().to_owned();
    let resume = |validator: &str| {
        proxy.client().send("GET", &release.download(), &[("range", "bytes=5-9"), ("if-range", validator)])
    };
    let resumed = resume(&tag);
    assert_eq!((resumed.status, &resumed.body[..]), (206, &archive[5..10]));
    for other in ["\"other\"".to_owned(), format!("W/{tag}"), "Sun, 06 Nov 1994 08:49:37 GMT".to_owned()] {
        let whole = resume(&other);
        assert_eq!(whole.status, 200, "{other}");
        assert_eq!(whole.body, archive);
    }
}

#[test]
fn a_matching_etag_beats_a_range() {
    let (_upstream, proxy, release, _) = warmed();
    let tag = proxy.client().head(&release.download()).header("etag").unwrap().to_owned();
    let fields = [("range", "bytes=5-9"), ("if-none-match", tag.as_str())];
    assert_eq!(proxy.client().send("GET", &release.download(), &fields).status, 304);
}
