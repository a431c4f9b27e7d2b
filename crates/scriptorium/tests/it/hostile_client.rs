//! Clients that misbehave: refused or cut off, never at the expense of others.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::tarball::Entry;
use crate::support::{Answer, Conversation, Proxy, Release, Setup, Upstream, noise};

fn warmed() -> (Upstream, Proxy, Release) {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).start();
    proxy.client().get(&release.download()).ok();
    proxy.client().get(&release.index()).ok();
    (upstream, proxy, release)
}

/// Sends bytes as they are; `None` when the proxy hung up without a word.
fn say(proxy: &Proxy, bytes: &[u8]) -> Option<Answer> {
    let mut conversation = Conversation::open(proxy.client().0).unwrap();
    conversation.write(bytes).ok();
    conversation.answer().ok()
}

fn assert_refused(answer: Option<&Answer>, what: &str) {
    assert!(answer.is_none_or(|answer| (400..500).contains(&answer.status)), "{what}: {answer:?}");
}

fn assert_others_are_served(proxy: &Proxy, release: &Release) {
    let started = Instant::now();
    assert!(proxy.client().get(&release.index()).ok().is_hit());
    assert!(started.elapsed() < Duration::from_secs(1), "took {:?}", started.elapsed());
}

#[test]
fn oversized_heads_are_refused() {
    let (_upstream, proxy, release) = warmed();
    let long = "x".repeat(1 << 20);
    let many: String = (0..5000).map(|number| format!("x-{number}: y\r\n")).collect();
    let heads = [
        format!("GET {} HTTP/1.1\r\nhost: a\r\nx-long: {long}\r\n\r\n", release.index()),
        format!("GET {} HTTP/1.1\r\nhost: a\r\n{many}\r\n", release.index()),
        format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"),
        format!("GET /api/v1/search?q={long} HTTP/1.1\r\nhost: a\r\n\r\n"),
    ];
    for head in heads {
        assert_refused(say(&proxy, head.as_bytes()).as_ref(), &head[..40]);
        assert_others_are_served(&proxy, &release);
    }
}

#[test]
fn bytes_that_are_not_http_are_refused() {
    let (_upstream, proxy, release) = warmed();
    let nonsense: [&[u8]; 7] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello over TLS\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nno colon here\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ];
    for bytes in nonsense {
        assert_refused(say(&proxy, bytes).as_ref(), &String::from_utf8_lossy(bytes));
        assert_others_are_served(&proxy, &release);
    }
}

#[test]
fn a_request_without_a_host_is_refused() {
    let (_upstream, proxy, release) = warmed();
    let answer = say(&proxy, format!("GET {} HTTP/1.1\r\n\r\n", release.index()).as_bytes()).unwrap();
    assert_eq!(answer.status, 400);
    let twice = format!("GET {} HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", release.index());
    assert_refused(say(&proxy, twice.as_bytes()).as_ref(), "two hosts");
}

#[test]
fn pipelined_requests_are_all_answered_in_order() {
    let (_upstream, proxy, release) = warmed();
    let mut conversation = Conversation::open(proxy.client().0).unwrap();
    let requests = [release.index(), release.download(), "/nowhere".to_owned(), release.exact()];
    let text: String =
        requests.iter().map(|target| format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).collect();
    conversation.write(text.as_bytes()).unwrap();
    let answers: Vec<_> = requests.iter().map(|_| conversation.answer().unwrap()).collect();
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 404, 200]);
    assert_eq!(answers[1].body, release.archive());
    assert!(answers[3].text().contains("purl"));
}

#[test]
fn an_ambiguous_length_smuggles_nothing() {
    let (_upstream, proxy, _) = warmed();
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: a\r\nx-request-id: smuggled\r\n\r\n";
    for framing in [
        "content-length: 6\r\ntransfer-encoding: chunked",
        "content-length: 5\r\ncontent-length: 6",
        "transfer-encoding: xchunked",
        "content-length: +5",
    ] {
        let mut conversation = Conversation::open(proxy.client().0).unwrap();
        let request = format!("GET /nowhere HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n0\r\n\r\n{smuggled}");
        conversation.write(request.as_bytes()).unwrap();
        assert_refused(conversation.answer().ok().as_ref(), framing);
        let id =
            conversation.answer().ok().and_then(|second| second.header("x-request-id").map(str::to_owned));
        assert_ne!(id.as_deref(), Some("smuggled"), "{framing}: the rest was taken for a request");
    }
}

#[test]
fn a_body_on_a_read_delays_nobody() {
    let (_upstream, proxy, release) = warmed();
    let mut slow = Conversation::open(proxy.client().0).unwrap();
    let head =
        format!("GET {} HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nonly this", release.index());
    slow.write(head.as_bytes()).unwrap();
    assert_others_are_served(&proxy, &release);
    let answer = slow.answer().ok();
    assert!(answer.is_none_or(|answer| answer.status == 200 || (400..500).contains(&answer.status)));
}

#[test]
fn a_head_that_never_ends_delays_nobody() {
    let (_upstream, proxy, release) = warmed();
    let mut dribbling: Vec<_> = (0..50).map(|_| Conversation::open(proxy.client().0).unwrap()).collect();
    for conversation in &mut dribbling {
        conversation.write(b"GET /api/v1/index/volumes/lamp HTTP/1.1\r\nhost: a\r\nx-").unwrap();
    }
    assert_others_are_served(&proxy, &release);
}

#[test]
fn two_thousand_idle_connections_harm_nobody() {
    let (_upstream, proxy, release) = warmed();
    let before = proxy.peak_memory();
    let idle: Vec<_> =
        (0..2000.min(open_files() / 2)).map(|_| Conversation::open(proxy.client().0).unwrap()).collect();
    assert_others_are_served(&proxy, &release);
    assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
    let grown = (proxy.peak_memory() - before) as usize / idle.len();
    assert!(grown < 64 << 10, "{grown} bytes for an idle connection");
}

/// How many files this process, and its children after it, may have open.
fn open_files() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX)
}

#[test]
fn a_client_that_reads_nothing_blocks_nobody() {
    let upstream = Upstream::start();
    let content = noise(5, 16 << 20);
    let release = Release::new("lamp", "1.0.0").adding(Entry::file("data.bin", content));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).start();
    proxy.client().get(&release.index()).ok();
    let mut deaf: Vec<_> = (0..20).map(|_| Conversation::open(proxy.client().0).unwrap()).collect();
    for conversation in &mut deaf {
        conversation.ask("GET", &release.download(), &[]).unwrap();
        conversation.begin().unwrap();
    }
    assert_others_are_served(&proxy, &release);
    assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
}
