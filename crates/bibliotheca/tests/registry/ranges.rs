//! Ranges of archives, honoured or answered wrongly.

use bibliotheca::{PublishedRelease, RegistryServer, ScriptedReply};

use crate::send;

const TARGET: &str = "/cdn/x.tar.gz";

/// The answer to a request for a range of ten letters.
fn asked(range: &str, reply: impl Fn(ScriptedReply) -> ScriptedReply) -> (u16, Option<String>, String) {
    let server = RegistryServer::start();
    server.reply(TARGET, reply(ScriptedReply::archive("abcdefghij")));
    let answer = send(&server.authority(), "GET", TARGET, &[("range", range)]);
    assert_eq!(server.ranges(TARGET), [range]);
    assert!(answer.whole);
    let letters = answer.body.iter().map(|byte| char::from(*byte)).collect();
    (answer.status, answer.header("content-range").map(str::to_owned), letters)
}

fn expected(status: u16, content_range: &str, body: &str) -> (u16, Option<String>, String) {
    (status, Some(content_range.to_owned()), body.to_owned())
}

#[test]
fn a_range_is_answered_as_scripted() {
    type Reply = ScriptedReply;
    assert_eq!(asked("bytes=2-5", Reply::ranged), expected(206, "bytes 2-5/10", "cdef"));
    assert_eq!(asked("bytes=8-99", Reply::ranged), expected(206, "bytes 8-9/10", "ij"));
    assert_eq!(asked("bytes=10-10", Reply::ranged), expected(416, "bytes */10", ""));
    let garbled: String = "cdef".bytes().map(|byte| char::from(byte ^ 0xff)).collect();
    assert_eq!(asked("bytes=2-5", Reply::ranged_wrongly), expected(206, "bytes 2-5/10", &garbled));
    assert_eq!(asked("bytes=2-5", Reply::ranged_elsewhere), expected(206, "bytes 1-4/10", "bcde"));
    assert_eq!(asked("bytes=0-3", Reply::ranged_elsewhere), expected(206, "bytes 1-4/10", "bcde"));
    assert_eq!(asked("bytes=8-9", Reply::ranged_elsewhere), expected(206, "bytes 7-8/10", "hi"));
    let whole = (200, None, "abcdefghij".to_owned());
    assert_eq!(asked("bytes=2-5", |reply| reply), whole);
    for other in ["bytes=5-2", "bytes=2-", "bytes=-2", "bytes=0-1,4-5", "lines=1-2"] {
        assert_eq!(asked(other, Reply::ranged), whole, "{other}");
    }
}

#[test]
fn a_part_can_break_off_and_a_request_without_a_range_gets_the_whole() {
    let (server, release) = (RegistryServer::start(), PublishedRelease::new("lamp", "1.0.0"));
    server.publish_ranged(&release);
    let (archive, target) = (release.archive(), release.source());
    let get = |fields: &[(&str, &str)]| send(&server.authority(), "GET", &target, fields);
    let whole = get(&[]);
    assert_eq!((whole.status, whole.whole, &whole.body), (200, true, &archive));
    assert_eq!(server.ranges(&target), [""; 0]);
    let part = get(&[("range", "bytes=10-19")]);
    assert_eq!((part.status, &part.body[..]), (206, &archive[10..20]));
    server.reply(&target, ScriptedReply::archive(archive.clone()).ranged().cut_after(3));
    let part = get(&[("range", "bytes=10-19")]);
    assert_eq!((part.status, part.whole, &part.body[..]), (206, false, &archive[10..13]));
    assert_eq!(server.ranges(&target).len(), 2);
}
