//! Documents in content codings: what a client decodes is byte for byte what others get plain, each coding
//! has a tag of its own, and nothing but documents is coded.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::support::divergence::assert_divergent;
use crate::support::{Answer, Lie, Proxy, Release, Reply, Setup, Upstream, each, eventually};

const CODINGS: [&str; 2] = ["gzip", "zstd"];
const BROWSER: &str = "gzip, deflate, br, zstd";

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

/// A registry whose index of lamps has rows enough to be worth compressing.
fn published() -> Upstream {
    let upstream = Upstream::start();
    for minor in 1..40 {
        let row = Release::new("@acme/lamp", &format!("0.{minor}.0")).row(&upstream.url());
        upstream.list("@acme/lamp", row);
    }
    upstream.publish(&lamp());
    upstream
}

fn get(proxy: &Proxy, target: &str, accept: &str) -> Answer {
    proxy.client().get_with(target, "accept-encoding", accept).ok()
}

fn coding(answer: &Answer) -> Option<&str> {
    answer.header("content-encoding")
}

/// Asks until the answer comes in `wanted`, which it does once that was made.
fn in_coding(proxy: &Proxy, target: &str, wanted: &str) -> Answer {
    eventually(wanted, || Some(get(proxy, target, wanted)).filter(|answer| coding(answer) == Some(wanted)))
}

fn plain(answer: &Answer) -> Vec<u8> {
    match coding(answer) {
        None => answer.body.clone(),
        Some("zstd") => zstd::decode_all(&*answer.body).unwrap(),
        Some("gzip") => {
            let mut body = Vec::new();
            GzDecoder::new(&*answer.body).read_to_end(&mut body).unwrap();
            body
        }
        Some(other) => panic!("nobody asked for {other}"),
    }
}

fn tag(answer: &Answer) -> &str {
    answer.header("etag").unwrap()
}

#[test]
fn what_is_decoded_is_byte_for_byte_what_is_sent_plain() {
    let upstream = Upstream::start();
    let row = r#"{ "zebra":1.10,"apple":[1e400,-0,"\u00e9 \/ é"], "version" : "VERSION",
        "status":{"state":"available"},
        "release": {"url":"BASE/api/v1/volumes/@acme/lamp/VERSION","x":null}, "end":0.0 }"#;
    let rows: Vec<_> = (0..50).map(|minor| row.replace("VERSION", &format!("1.{minor}.0"))).collect();
    let index = format!(r#"{{ "z":1.10, "items" : [ {} ],"after":[-0] }}"#, rows.join(" ,\t"));
    upstream.reply(&lamp().index(), Reply::document(index.replace("BASE", &upstream.url())));
    let proxy = Setup::before(&upstream).start();
    let expected = index.replace("BASE", &format!("http://{}", proxy.authority()));
    assert_eq!(proxy.client().get(&lamp().index()).ok().text(), expected);
    for wanted in CODINGS {
        let coded = in_coding(&proxy, &lamp().index(), wanted);
        assert!(coded.is_hit() && coded.body.len() < expected.len() / 2);
        assert_eq!(coded.header("content-length"), Some(&*coded.body.len().to_string()));
        assert_eq!(coded.header("content-type"), Some("application/json"));
        assert_eq!(plain(&coded), expected.as_bytes(), "{wanted}");
    }
    let asked =
        upstream.seen().into_iter().filter_map(|seen| seen.fields.get("accept-encoding").map(str::to_owned));
    assert!(asked.into_iter().all(|accepted| accepted == "identity"), "registries are asked for plain bytes");
}

#[test]
fn each_client_gets_what_it_takes() {
    let upstream = published();
    let proxy = Setup::before(&upstream).start();
    for wanted in CODINGS {
        in_coding(&proxy, &lamp().index(), wanted);
    }
    let identity = proxy.client().get(&lamp().index()).ok();
    assert_eq!(coding(&identity), None);
    for (accept, expected) in [
        (BROWSER, Some("zstd")),
        ("gzip, deflate, br", Some("gzip")),
        ("zstd;q=0.5, gzip;q=0.6", Some("gzip")),
        ("zstd;q=0.7, gzip;q=0.6", Some("zstd")),
        ("identity;q=0, gzip", Some("gzip")),
        ("identity, gzip;q=0.9", None),
        ("*", Some("gzip")),
        ("*;q=0", None),
        ("gzip;q=0", None),
        ("br, deflate", None),
        ("identity;q=0", None),
        ("gzip;q=oops", None),
        ("", None),
    ] {
        let answer = get(&proxy, &lamp().index(), accept);
        assert_eq!(coding(&answer), expected, "{accept}");
        assert_eq!(plain(&answer), identity.body, "{accept}");
        assert_eq!(answer.header("vary"), Some("accept-encoding"), "{accept}");
    }
    assert_eq!(identity.header("vary"), Some("accept-encoding"));
}

#[test]
fn a_client_that_holds_a_coding_is_answered_with_304() {
    let upstream = published();
    let mut proxy = Setup::before(&upstream).start();
    let target = lamp().index();
    let base = format!("127.0.0.1:{}", upstream.port());
    let ask = |proxy: &Proxy, accept: &str, held: &str| {
        let fields = [("accept-encoding", accept), ("if-none-match", held), ("host", &*base)];
        proxy.client().send("GET", &target, &fields)
    };
    let made = |proxy: &Proxy, wanted: &str| {
        eventually(wanted, || {
            Some(ask(proxy, wanted, "\"other\"").ok()).filter(|answer| coding(answer) == Some(wanted))
        })
    };
    let identity = ask(&proxy, "identity", "\"other\"").ok();
    let gzip = made(&proxy, "gzip");
    let zstd = made(&proxy, "zstd");
    let tags = [tag(&identity), tag(&gzip), tag(&zstd)];
    assert!(tags.iter().all(|tag| tag.starts_with('"')), "strong: {tags:?}");
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
    let cases = [
        ("gzip", tags[1], 304),
        ("zstd", tags[2], 304),
        ("identity", tags[0], 304),
        // What was got before its coding was made is as good as ever.
        (BROWSER, tags[0], 304),
        (BROWSER, tags[1], 304),
        // A coding that the client does not take any more is none to keep.
        ("gzip", tags[2], 200),
        ("identity", tags[1], 200),
        ("gzip;q=0", tags[1], 200),
    ];
    let check = |proxy: &Proxy| {
        for (accept, held, status) in cases {
            let answer = ask(proxy, accept, held);
            assert_eq!(answer.status, status, "{accept} with {held}");
            assert_eq!(answer.header("vary"), Some("accept-encoding"));
            if status == 304 {
                assert_eq!((tag(&answer), coding(&answer)), (held, None), "{accept}");
            }
        }
    };
    check(&proxy);
    assert_eq!(tag(&ask(&proxy, "gzip", "*")), tags[1]);
    proxy.restart();
    check(&proxy);
}

#[test]
fn head_says_what_get_sends() {
    let upstream = published();
    let proxy = Setup::before(&upstream).start();
    for wanted in CODINGS {
        let get = in_coding(&proxy, &lamp().index(), wanted);
        let head = proxy.client().send("HEAD", &lamp().index(), &[("accept-encoding", wanted)]);
        assert_eq!(head.status, 200);
        for name in ["content-encoding", "content-length", "content-type", "etag", "vary"] {
            assert_eq!(head.header(name), get.header(name), "{name}");
        }
    }
}

#[test]
fn what_is_no_document_is_not_coded() {
    let upstream = published();
    let proxy = Setup::before(&upstream).start();
    let archive = get(&proxy, &lamp().download(), BROWSER);
    assert_eq!((coding(&archive), archive.header("vary")), (None, None));
    assert_eq!(archive.body, lamp().archive());
    // Too short to gain anything: there is but one way to send it.
    let exact = get(&proxy, &lamp().exact(), BROWSER);
    assert_eq!((coding(&exact), exact.header("vary")), (None, None));
    let long = "Words of the registry's own. ".repeat(100);
    upstream.reply("/api/v1/index/volumes/gone", Reply::problem(404, "not-found", "Refused", &long));
    for _ in 0..5 {
        for target in ["/nowhere", "/api/v1/index/volumes/gone"] {
            let problem = proxy.client().get_with(target, "accept-encoding", BROWSER);
            problem.problem(404, "not-found");
            assert_eq!(coding(&problem), None);
        }
    }
}

#[test]
fn a_document_that_changes_changes_in_every_coding() {
    let upstream = published();
    let proxy = Setup::before(&upstream).short_lived().start();
    let target = lamp().index();
    let before: Vec<_> = CODINGS.iter().map(|wanted| in_coding(&proxy, &target, wanted)).collect();
    upstream.publish(&Release::new("@acme/lamp", "2.0.0"));
    let current = eventually("the new row", || {
        Some(proxy.client().get(&target).ok()).filter(|answer| answer.text().contains("2.0.0"))
    });
    for (wanted, before) in CODINGS.iter().zip(before) {
        let tag = tag(&before);
        let fields = [("accept-encoding", *wanted), ("if-none-match", tag)];
        assert_eq!(plain(&proxy.client().send("GET", &target, &fields).ok()), current.body);
        assert_eq!(plain(&in_coding(&proxy, &target, wanted)), current.body);
    }
}

#[test]
fn a_row_that_is_set_aside_is_so_in_every_coding() {
    each(CODINGS, |wanted| {
        let upstream = published();
        Lie::RowIntegrity.tell(&upstream, &lamp());
        let proxy = Setup::before(&upstream).start();
        let before = in_coding(&proxy, &lamp().index(), wanted);
        assert!(!String::from_utf8(plain(&before)).unwrap().contains("inconsistent-registry-state:"));
        assert_divergent(&proxy.client().get(&lamp().exact()), &lamp(), "release", "integrity");
        let aside = proxy.client().get(&lamp().index()).ok();
        assert!(aside.text().contains("inconsistent-registry-state:"));
        assert_eq!(plain(&get(&proxy, &lamp().index(), wanted)), aside.body, "at once");
        let coded = in_coding(&proxy, &lamp().index(), wanted);
        assert_eq!(plain(&coded), aside.body);
        assert_ne!(tag(&coded), tag(&before));
    });
}

#[test]
fn a_flood_of_hosts_does_not_make_memory_grow() {
    let upstream = Upstream::start();
    let row = lamp().row("http://BASE").to_string();
    let index = format!(r#"{{"items":[{row}],"filler":"{}"}}"#, "words and words ".repeat(128 << 10));
    upstream.reply(&lamp().index(), Reply::document(index.replace("BASE", &upstream.authority())));
    let proxy = Setup::before(&upstream).start();
    for number in 0..150 {
        let host = format!("host-{number}.example");
        let fields = [("accept-encoding", CODINGS[number % 2]), ("host", &host)];
        let answer = proxy.client().send("GET", &lamp().index(), &fields).ok();
        assert!(plain(&answer) == index.replace("BASE", &host).as_bytes(), "{host}");
    }
    assert!(proxy.peak_memory() < 150 << 20, "{} bytes", proxy.peak_memory());
}
