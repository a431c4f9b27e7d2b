//! Servers that lie, stall and never end: a clear error, nothing stored, and other releases are not harmed.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::host::GitHost;
use super::lamp;
use crate::support::{Proxy, Release, Reply, Setup, Upstream, each, eventually};

/// The answer that says what a server can do.
const ABILITIES: &[u8] = b"000eversion 2\n0012fetch=shallow\n0000";
const COMMIT: &str = "9fceb02d0ae598e95dc970b74767f19372d61af8";

/// A server that answers every command with `answer`, and a proxy before a registry that names it.
fn before(answer: Reply, change: impl FnOnce(Setup) -> Setup) -> (Upstream, Upstream, Proxy, Release) {
    let (host, registry) = (Upstream::start(), Upstream::start());
    let advertisement = "application/x-git-upload-pack-advertisement";
    host.reply("/x/info/refs?service=git-upload-pack", Reply::new(200, advertisement, ABILITIES));
    host.reply_to("POST", "/x/git-upload-pack", answer);
    let mut release = lamp("1.0.0");
    let repository = format!("{}/x", host.url());
    release.dist = Some(json!({ "source": "git", "repository": repository, "ref": COMMIT }));
    registry.publish(&release);
    let setup = Setup::before(&registry).set("upstream.git_hosts", vec![host.authority()]);
    let proxy = change(setup).start();
    (host, registry, proxy, release)
}

fn result(body: Vec<u8>) -> Reply {
    Reply::new(200, "application/x-git-upload-pack-result", body)
}

fn line(content: &[u8]) -> Vec<u8> {
    [format!("{:04x}", content.len() + 4).as_bytes(), content].concat()
}

/// A pack as it is sent.
fn sent(pack: &[u8]) -> Reply {
    let mut body = line(b"packfile\n");
    pack.chunks(60_000).for_each(|piece| body.extend(line(&[b"\x01", piece].concat())));
    body.extend(b"0000");
    result(body)
}

/// A pack of one blob that claims to have `claimed` bytes, of `content`.
fn pack(claimed: u64, content: &[u8]) -> Vec<u8> {
    let mut pack = b"PACK\0\0\0\x02\0\0\0\x01".to_vec();
    let (mut rest, first) = (claimed >> 4, (claimed & 15) as u8 | 3 << 4);
    pack.push(first | if rest > 0 { 0x80 } else { 0 });
    while rest > 0 {
        pack.push((rest & 0x7f) as u8 | if rest > 0x7f { 0x80 } else { 0 });
        rest >>= 7;
    }
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    zlib.write_all(content).unwrap();
    pack.extend(zlib.finish().unwrap());
    pack.extend([0; 20]);
    pack
}

#[test]
fn whatever_a_server_sends_is_a_clear_error_and_leaves_nothing() {
    let cases: [(&str, Reply, &str); 7] = [
        ("a page", Reply::new(200, "text/html", "<html>"), "does not answer as a Git server"),
        ("no pack", result(b"0000".to_vec()), "malformed"),
        (
            "a refusal",
            result([line(b"ERR not our ref <secret words>"), b"0000".to_vec()].concat()),
            "refused",
        ),
        ("no bytes", result(Vec::new()), "malformed"),
        ("another length", sent(&pack(7, b"hello")), "length"),
        ("a bomb", sent(&pack(100, &[0; 30_000_000])), "length"),
        ("a wrong checksum", sent(&pack(5, b"hello")), "checksum"),
    ];
    each(cases.map(|(name, reply, words)| Case { name, reply, words }), |Case { reply, words, .. }| {
        let (host, _registry, mut proxy, release) = before(reply, |setup| setup);
        let answer = proxy.client().get(&release.download());
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(answer.text().contains(words), "{}", answer.text());
        assert!(!answer.text().contains("secret words"));
        assert!(proxy.files("archives").is_empty());
        assert_eq!(host.count("POST", "/x/git-upload-pack"), 1, "it is not asked again for that");
        for _ in 0..3 {
            assert_eq!(proxy.client().get(&release.download()).text(), answer.text());
        }
        assert_eq!(
            host.count("POST", "/x/git-upload-pack"),
            1,
            "nor for the next clients, within negative_ttl"
        );
        proxy.admin().post("/admin/v1/invalidate", r#"{"volume":"@acme/lamp"}"#).ok();
        assert_eq!(proxy.client().get(&release.download()).status, 502);
        assert_eq!(host.count("POST", "/x/git-upload-pack"), 2, "an invalidation has it asked");
        assert!(proxy.peak_memory() < 300 << 20, "{}", proxy.peak_memory());
        proxy.stop();
        assert!(std::fs::read_dir(proxy.data().join("git")).unwrap().next().is_none());
    });
}

#[test]
fn a_file_beyond_the_limit_is_refused_as_one_of_an_archive_is() {
    let (host, _registry, proxy, release) = before(sent(&pack(1 << 40, b"hello")), |setup| setup);
    for _ in 0..3 {
        let problem = proxy.client().get(&release.download()).problem(409, "inconsistent-registry-state");
        assert!(problem["detail"].as_str().unwrap().contains("unpack"), "{problem}");
    }
    assert_eq!(host.count("POST", "/x/git-upload-pack"), 1, "another fetch would only end the same");
}

#[test]
fn a_question_that_fails_is_put_again_as_often_as_configured_and_no_more() {
    let (host, _registry, proxy, release) =
        before(Reply::new(503, "text/plain", "later"), |setup| setup.set("upstream.retries", 2));
    let answer = proxy.client().get(&release.download());
    assert!(matches!(answer.status, 502 | 503), "{}", answer.text());
    assert_eq!(host.count("POST", "/x/git-upload-pack"), 3);
}

#[test]
fn a_host_without_the_repository_is_named_and_not_the_registry() {
    let (host, _registry, proxy, release) = before(Reply::new(404, "text/plain", "gone"), |setup| setup);
    host.reply("/x/info/refs?service=git-upload-pack", Reply::new(404, "text/plain", "gone"));
    let answer = proxy.client().get(&release.download());
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.text().contains("the Git host of this release"), "{}", answer.text());
    assert!(!answer.text().contains("the registry"), "{}", answer.text());
    // Nor in what operators see.
    let failure = proxy.admin().get("/admin/v1/status").ok().json()["upstreams"][0]["last_failure"].clone();
    let why = failure["why"].as_str().unwrap();
    assert!(why.contains(&host.authority()) && !why.contains("the registry"), "{failure}");
}

struct Case {
    name: &'static str,
    reply: Reply,
    words: &'static str,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

#[test]
fn a_server_that_falls_silent_or_breaks_off_is_a_failure_of_the_transport() {
    let whole = sent(&pack(5, b"hello"));
    let (paused, _hold) = whole.clone().pausing_after(20);
    for (reply, status) in [(paused, 504), (whole.cut_after(25), 502)] {
        let (_host, _registry, proxy, release) =
            before(reply, |setup| setup.set("upstream.read_timeout", "1s"));
        let answer = proxy.client().get(&release.download());
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(proxy.files("archives").is_empty());
    }
}

#[test]
fn a_server_that_moves_for_ever_has_an_end() {
    // A piece each half second keeps every other bound away.
    let slow = result([line(b"packfile\n"), line(&[2; 1000]).repeat(1000)].concat());
    let slow = slow.slowed_by(Duration::from_millis(500));
    let (_host, _registry, proxy, release) = before(slow, |setup| setup.set("limits.max_git_time", "2s"));
    let began = Instant::now();
    let answer = proxy.client().get(&release.download());
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.text().contains("took longer"), "{}", answer.text());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn a_fetch_that_nobody_waits_for_leaves_its_place_to_another() {
    let slow = || {
        let body = [line(b"packfile\n"), line(&[2; 1000]).repeat(1000)].concat();
        result(body).slowed_by(Duration::from_millis(200))
    };
    let (host, registry, proxy, first) = before(slow(), |setup| setup);
    let advertisement = "application/x-git-upload-pack-advertisement";
    host.reply("/y/info/refs?service=git-upload-pack", Reply::new(200, advertisement, ABILITIES));
    host.reply_to("POST", "/y/git-upload-pack", slow());
    let [second, third] = [("pen", "y"), ("saw", "z")].map(|(name, repository)| {
        let mut release = Release::new(name, "1.0.0");
        let repository = format!("{}/{repository}", host.url());
        release.dist = Some(json!({ "source": "git", "repository": repository, "ref": COMMIT }));
        registry.publish(&release);
        release
    });
    let asking = [&first, &second].map(|release| {
        let mut client = TcpStream::connect(proxy.authority()).unwrap();
        write!(client, "GET {} HTTP/1.1\r\nhost: x\r\n\r\n", release.download()).unwrap();
        client
    });
    eventually("both of the host's places are taken", || {
        let asked = |path: &str| host.count("POST", path) == 1;
        (asked("/x/git-upload-pack") && asked("/y/git-upload-pack")).then_some(())
    });
    drop(asking);
    // That repository does not exist. Without a place it would be 503, after a minute.
    let answer = proxy.client().get(&third.download());
    assert_eq!(answer.status, 502, "{}", answer.text());
}

#[test]
fn a_repository_at_the_registrys_own_host_pauses_itself_and_not_the_registry() {
    let registry = Upstream::start();
    let refs = "/x/info/refs?service=git-upload-pack";
    registry.reply(refs, Reply::problem(429, "rate-limited", "Slow", "down").with("retry-after", "3000"));
    let mut release = lamp("1.0.0");
    let repository = format!("{}/x", registry.url());
    release.dist = Some(json!({ "source": "git", "repository": repository, "ref": COMMIT }));
    let other = Release::new("pen", "1.0.0");
    [&release, &other].into_iter().for_each(|release| registry.publish(release));
    let proxy = Setup::before(&registry).start();
    for _ in 0..3 {
        let answer = proxy.client().get(&release.download());
        let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!(answer.status == 503 && (2_900..=3_000).contains(&wait), "{}", answer.text());
    }
    assert_eq!(registry.requests(refs), 1);
    proxy.client().get(&other.exact()).ok();
    proxy.client().get(&other.download()).ok();
}

#[test]
fn trees_that_no_release_may_have_are_refused_for_good() {
    let (host, registry) = (GitHost::start(), Upstream::start());
    let mut release = host.deliver(lamp("1.0.0"));
    let tree = host.git("-acme-lamp", &["rev-parse", "HEAD^{tree}"]);
    let target = host.git("-acme-lamp", &["rev-parse", "HEAD:volume.toml"]);
    let listed = host.git("-acme-lamp", &["ls-tree", &tree]);
    for (entry, words) in [
        (format!("120000 blob {target}\tlink"), "symbolic link"),
        (format!("160000 commit {COMMIT}\tsub"), "submodule"),
        (format!("100644 blob {target}\tC:x"), "profile"),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{listed}\n{entry}\n")).unwrap();
        let script = format!("git mktree --missing < {}", file.path().display());
        let made = host.shell("-acme-lamp", &script);
        let commit = host.git("-acme-lamp", &["commit-tree", "-m", "x", &made]);
        host.git("-acme-lamp", &["tag", "--force", "v1.0.0", &commit]);
        release.dist.as_mut().unwrap()["ref"] = "v1.0.0".into();
        registry.publish(&release);
        let proxy = host.before(&registry).start();
        let refusal = proxy.client().get(&release.download()).problem(409, "inconsistent-registry-state");
        assert!(refusal["detail"].as_str().unwrap().contains(words), "{entry}: {refusal}");
        let asked = host.server.seen().len();
        proxy.client().get(&release.download()).problem(409, "inconsistent-registry-state");
        assert_eq!(host.server.seen().len(), asked, "{entry}: it is remembered");
        assert!(proxy.files("archives").is_empty());
    }
}
