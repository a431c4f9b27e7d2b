//! What the upstream makes of a `Range`: nothing, the part, or a lie about it.

use std::ops::Range;

/// How ranges of a body are answered.
#[derive(Clone, Copy)]
pub(super) enum Ranging {
    /// With the whole.
    Ignored,
    /// With the part.
    Honoured,
    /// With other bytes than the part's.
    Garbled,
    /// With another part.
    Elsewhere,
}

impl Ranging {
    /// Status, `Content-Range` and body; nothing where the range changes nothing.
    pub(super) fn answer(self, range: Range<usize>, whole: &[u8]) -> Option<(u16, String, Vec<u8>)> {
        if matches!(self, Self::Ignored) {
            return None;
        }
        if range.start >= whole.len() {
            return Some((416, format!("bytes */{}", whole.len()), Vec::new()));
        }
        let Range { start, end } = range;
        let sent = match self {
            Self::Elsewhere if start == 0 => 1..(end + 1).min(whole.len()),
            Self::Elsewhere => start - 1..end.min(whole.len()) - 1,
            _ => start..end.min(whole.len()),
        };
        let mask = if matches!(self, Self::Garbled) { 0xff } else { 0 };
        let stated = format!("bytes {}-{}/{}", sent.start, sent.end - 1, whole.len());
        Some((206, stated, whole[sent].iter().map(|byte| byte ^ mask).collect()))
    }
}

/// The bytes that a `Range` of the form `bytes=a-b` asks for; every other form may be ignored.
pub(super) fn requested(range: &str) -> Option<Range<usize>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
    (first <= last).then(|| first..last.saturating_add(1))
}

mod tests {
    use crate::support::{Answer, Client, Release, Reply, Upstream};

    const PLACE: &str = "/cdn/x.tar.gz";

    fn client(upstream: &Upstream) -> Client {
        Client(upstream.authority().parse().unwrap())
    }

    /// What comes of asking for a range of ten letters.
    fn asked(range: &str, reply: impl Fn(Reply) -> Reply) -> (u16, Option<String>, String) {
        let upstream = Upstream::start();
        upstream.reply(PLACE, reply(Reply::archive("abcdefghij")));
        let answer = client(&upstream).get_with(PLACE, "range", range);
        assert_eq!(upstream.ranges(PLACE), [range]);
        assert!(answer.whole);
        (answer.status, answer.header("content-range").map(str::to_owned), latin(&answer))
    }

    fn latin(answer: &Answer) -> String {
        answer.body.iter().map(|byte| char::from(*byte)).collect()
    }

    fn said(status: u16, stated: &str, body: &str) -> (u16, Option<String>, String) {
        (status, Some(stated.to_owned()), body.to_owned())
    }

    #[test]
    fn a_range_is_answered_as_scripted() {
        assert_eq!(asked("bytes=2-5", Reply::ranged), said(206, "bytes 2-5/10", "cdef"));
        assert_eq!(asked("bytes=8-99", Reply::ranged), said(206, "bytes 8-9/10", "ij"));
        assert_eq!(asked("bytes=10-10", Reply::ranged), said(416, "bytes */10", ""));
        let garbled: String = "cdef".bytes().map(|byte| char::from(byte ^ 0xff)).collect();
        assert_eq!(asked("bytes=2-5", Reply::ranged_wrongly), said(206, "bytes 2-5/10", &garbled));
        assert_eq!(asked("bytes=2-5", Reply::ranged_elsewhere), said(206, "bytes 1-4/10", "bcde"));
        assert_eq!(asked("bytes=0-3", Reply::ranged_elsewhere), said(206, "bytes 1-4/10", "bcde"));
        assert_eq!(asked("bytes=8-9", Reply::ranged_elsewhere), said(206, "bytes 7-8/10", "hi"));
        let whole = (200, None, "abcdefghij".to_owned());
        assert_eq!(asked("bytes=2-5", |reply| reply), whole);
        for other in ["bytes=5-2", "bytes=2-", "bytes=-2", "bytes=0-1,4-5", "lines=1-2"] {
            assert_eq!(asked(other, Reply::ranged), whole, "{other}");
        }
    }

    #[test]
    fn a_part_can_break_off_and_a_question_without_a_range_gets_the_whole() {
        let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
        upstream.publish_ranged(&release);
        let (archive, place) = (release.archive(), release.source());
        assert_eq!(client(&upstream).get(&place).ok().body, archive);
        assert_eq!(upstream.ranges(&place), [""; 0]);
        let part = client(&upstream).get_with(&place, "range", "bytes=10-19");
        assert_eq!((part.status, &part.body[..]), (206, &archive[10..20]));
        upstream.reply(&place, Reply::archive(archive.clone()).ranged().cut_after(3));
        let part = client(&upstream).get_with(&place, "range", "bytes=10-19");
        assert_eq!((part.status, part.whole, &part.body[..]), (206, false, &archive[10..13]));
        assert_eq!(upstream.ranges(&place).len(), 2);
    }
}
