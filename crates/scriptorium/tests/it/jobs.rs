//! The pages of `docs/jobs/`, each run command by command as it stands there. Only the addresses are other ones.

use std::fs;
use std::path::Path;
use std::process::Command;

use bibliotheca::sample;
use tempfile::TempDir;

use crate::support::authority::{self, Authority};
use crate::support::bucket::Bucket;
use crate::support::egress::Egress;
use crate::support::redis::Redis;
use crate::support::shell::{Shell, commands};
use crate::support::{Upstream, free_ports};

/// A page that is being tried.
struct Page {
    commands: Vec<String>,
    folder: TempDir,
    shell: Shell,
}

impl Page {
    /// The commands of `docs/jobs/{page}.md`, with these addresses in place of the page's.
    fn open(page: &str, places: &[(&str, &str)]) -> Option<Self> {
        for tool in ["curl", "openssl"] {
            if Command::new(tool).arg("version").output().is_err() {
                eprintln!("skipped: no {tool} here");
                return None;
            }
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/jobs").join(format!("{page}.md"));
        let text = fs::read_to_string(path).unwrap();
        let mut blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let mut block = blocks.next().expect("commands").to_owned();
        assert!(blocks.next().is_none(), "{page} has commands that nobody tries");
        let [public, admin] = free_ports().map(|port| format!("127.0.0.1:{port}"));
        for (theirs, ours) in [("127.0.0.1:8181", &*public), ("127.0.0.1:9191", &*admin)].iter().chain(places)
        {
            assert!(block.contains(theirs), "{page}: {theirs}");
            block = block.replace(theirs, ours);
        }
        let folder = TempDir::new().unwrap();
        let shell = Shell::start(folder.path());
        Some(Self { commands: commands(&block), folder, shell })
    }

    /// Runs the commands before the one that contains `word`; what they printed.
    fn run_until(&mut self, word: &str) -> String {
        let at = self.commands.iter().position(|command| command.contains(word));
        let next = self.commands.split_off(at.unwrap_or_else(|| panic!("no command with {word}")));
        std::mem::replace(&mut self.commands, next).iter().map(|command| self.shell.run(command)).collect()
    }

    /// Runs the rest. Whatever is left in the background ends with the page.
    fn run_all(&mut self) -> String {
        self.commands.iter().map(|command| self.shell.run(command)).collect()
    }

    /// Runs the rest, and ends the proxy. What was printed, and the folder with what was made.
    fn run_rest(mut self) -> (String, TempDir) {
        let printed = self.run_all();
        self.shell.end();
        (printed, self.folder)
    }
}

fn registry() -> (Upstream, String) {
    let registry = Upstream::start();
    sample::publish(&registry).unwrap();
    let authority = registry.authority();
    (registry, authority)
}

/// The statuses that a loop over requests printed.
fn statuses(printed: &str) -> Vec<&str> {
    printed.lines().filter(|line| line.len() == 3 && line.bytes().all(|byte| byte.is_ascii_digit())).collect()
}

#[test]
fn a_companys_egress() {
    let Some(authority) = Authority::new() else { return };
    let (_registry, behind) = registry();
    let egress = Egress::start_with(Some("Basic dm9sdW1lczpzZWNyZXQ="));
    let identity = authority.issue("registry", "DNS:registry.example.com");
    egress.knows("registry.example.com:443", authority::door(&identity, None, behind.parse().unwrap()));
    let places = [("http://proxy.corp.example:3128", &*egress.url())];
    let Some(mut page) = Page::open("egress", &places) else { return };
    fs::copy(authority.certificate(), page.folder.path().join("corp-ca.pem")).unwrap();
    let examined = page.run_until("scriptorium serve");
    assert!(
        examined.contains("ok       proxy public") && examined.contains("ok       tls public"),
        "{examined}"
    );
    let (got, _) = page.run_rest();
    assert!(got.contains("review-agent"), "{got}");
    assert!(egress.asked().iter().all(|asked| asked.contains("registry.example.com:443")));
}

#[test]
fn ci_that_survives_outages() {
    let (registry, authority) = registry();
    let Some(mut page) = Page::open("ci", &[("127.0.0.1:8080", &*authority)]) else { return };
    let synced = page.run_until("curl");
    assert!(synced.contains("ci"), "{synced}");
    registry.down();
    let (got, folder) = page.run_rest();
    assert!(fs::read(folder.path().join("volume.tar.gz")).unwrap().len() > 100);
    assert!(got.contains("200") && got.to_lowercase().contains("cache-status"), "{got}");
}

#[test]
fn rate_limits_before_a_public_registry() {
    let (_registry, authority) = registry();
    let Some(page) = Page::open("rate-limits", &[("127.0.0.1:8080", &*authority)]) else { return };
    let (printed, _) = page.run_rest();
    assert_eq!(statuses(&printed), ["200", "200", "200", "429"], "{printed}");
    assert!(printed.contains("\"ci\";q=1000"), "{printed}");
    assert!(printed.contains("scriptorium_rate_limited_total{class=\"anonymous\"} 1"), "{printed}");
    assert!(printed.contains("scriptorium_upstream_budget_left{upstream=\"public\"} "), "{printed}");
}

#[test]
fn a_private_registry() {
    let (_registry, authority) = registry();
    let Some(page) = Page::open("private-registry", &[("127.0.0.1:8080", &*authority)]) else { return };
    let (printed, _) = page.run_rest();
    assert_eq!(statuses(&printed), ["401", "401"], "{printed}");
    assert!(printed.contains("2.0.0"), "{printed}");
}

#[test]
fn an_air_gapped_site() {
    let (registry, authority) = registry();
    let [outside, admin] = free_ports().map(|port| format!("127.0.0.1:{port}"));
    let places =
        [("127.0.0.1:8080", &*authority), ("127.0.0.1:8282", &*outside), ("127.0.0.1:9292", &*admin)];
    let Some(mut page) = Page::open("air-gap", &places) else { return };
    page.run_until("scriptorium mirror inspect");
    // Nothing inside asks it, until somebody outside syncs again.
    registry.down();
    let first = page.run_until("scriptorium mirror receipt");
    assert!(first.contains("trusted") && first.contains("secret-scanner"), "{first}");
    registry.up();
    let (_, folder) = page.run_rest();
    assert!(fs::read(folder.path().join("volume.tar.gz")).unwrap().len() > 100);
    let carried =
        |bundle: &str| fs::read_dir(folder.path().join(bundle).join("blobs/sha256")).unwrap().count();
    assert!(carried("media/second") > 0, "what the site did not hold");
    let outside: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("media/second/manifest.json")).unwrap()).unwrap();
    assert_eq!(outside["kind"], "delta");
    assert!(!folder.path().join("media/corp.key").exists(), "the key stays outside");
}

#[test]
fn three_nodes() {
    let Some((bucket, redis)) = Bucket::start().zip(Redis::start_with(Some("change-me"))) else { return };
    let (_registry, authority) = registry();
    let ports = [free_ports(), free_ports()].map(|ports| ports.map(|port| format!("127.0.0.1:{port}")));
    let places = [
        ("127.0.0.1:8080", &*authority),
        ("127.0.0.1:9000", bucket.authority()),
        ("127.0.0.1:6379", &*redis.authority()),
        ("127.0.0.1:8282", &*ports[0][0]),
        ("127.0.0.1:9292", &*ports[0][1]),
        ("127.0.0.1:8383", &*ports[1][0]),
        ("127.0.0.1:9393", &*ports[1][1]),
    ];
    let Some(mut page) = Page::open("three-nodes", &places) else { return };
    let printed = page.run_all().to_lowercase();
    let cache: Vec<_> = printed.lines().filter(|line| line.starts_with("cache-status")).collect();
    assert_eq!(cache.len(), 3, "{printed}");
    assert!(cache[0].contains("uri-miss"), "{printed}");
    assert!(cache[1..].iter().all(|line| line.contains("hit")), "{printed}");
    assert_eq!(statuses(&printed), ["200"], "{printed}");
}
