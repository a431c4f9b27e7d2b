//! The configuration from outside: files, variables and flags in, settings or errors out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;
use toml::{Table, Value};
use url::Url;

use super::*;
use crate::clock::Timestamp;
use crate::domain::Sha256;

mod at_once;
mod clients;
mod cluster;
mod compare;
mod doubts;
mod environment;
mod full;
mod pages;
mod policies;
mod sources;

use full::full;

const UPSTREAM: &str = "[[upstreams]]\nname = \"public\"\nurl = \"https://registry.example.com\"\n";
const EXAMPLE: &str = include_str!("../../../../config/scriptorium.toml");

/// A folder with a configuration file in it.
struct Site {
    folder: TempDir,
}

impl Site {
    fn new(text: &str) -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(site.file(), text).unwrap();
        site
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("scriptorium.toml")
    }

    fn load(&self, env: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
        Config::load(Some(&self.file()), owned(env), Overrides::default(), Timestamp(0))
    }
}

fn owned(env: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>().into_iter()
}

fn load(text: &str) -> Loaded {
    Site::new(text).load(&[]).unwrap()
}

/// The errors of a file, each as `line:column: key: message`.
fn errors(text: &str) -> Vec<String> {
    let site = Site::new(text);
    let file = site.file();
    let strip = |error: &ConfigError| {
        let told = error.to_string();
        told.strip_prefix(&format!("{}:", file.display())).unwrap_or(&told).trim_start().to_owned()
    };
    site.load(&[]).unwrap_err().0.iter().map(strip).collect()
}

fn public() -> Upstream {
    Upstream::new("public", Url::parse("https://registry.example.com").unwrap())
}

fn example() -> Config {
    Config { upstreams: vec![public()], ..Config::default() }
}

fn pem(name: &str) -> PemFile {
    PemFile::read(testdata(name)).unwrap()
}

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/testdata").join(name)
}

/// `section.key` of everything in a table; of a list of tables the first stands for all.
fn keys(table: &Table) -> std::collections::BTreeSet<String> {
    let below = |key: &str, table: &Table| {
        keys(table).into_iter().map(move |inner| format!("{key}.{inner}")).collect()
    };
    let of = |(key, value): (&String, &Value)| -> Vec<String> {
        match (value, value.get(0)) {
            (Value::Table(table), _) | (_, Some(Value::Table(table))) => below(key, table),
            _ => vec![key.clone()],
        }
    };
    table.iter().flat_map(of).collect()
}

#[test]
fn one_client_has_a_share_unless_it_is_said() {
    for (said, downloads, connections) in [
        ("", (1024, 256), (20_000, 10_000)),
        ("max_downloads = 100\nmax_connections = 100", (100, 25), (100, 50)),
        ("max_downloads = 3\nmax_connections = 1", (3, 1), (1, 1)),
        ("max_downloads_per_client = 9\nmax_connections_per_client = 9", (1024, 9), (20_000, 9)),
        (
            "max_downloads = 100\nmax_downloads_per_client = 100\nmax_connections = 5\nmax_connections_per_client = 5",
            (100, 100),
            (5, 5),
        ),
    ] {
        let limits = load(&format!("{UPSTREAM}[limits]\n{said}")).config.limits;
        assert_eq!((limits.max_downloads, limits.max_downloads_per_client), downloads, "{said}");
        assert_eq!((limits.max_connections, limits.max_connections_per_client), connections, "{said}");
    }
}

#[test]
fn a_share_that_is_none_is_told() {
    let notes = |text: &str| load(&format!("{UPSTREAM}{text}")).notes.join("\n");
    for (text, told) in [
        ("[limits]\nmax_requests = 200", "limits.max_requests_per_client (1024)"),
        (
            "[limits]\nmax_downloads = 10\nmax_downloads_per_client = 10",
            "limits.max_downloads_per_client (10)",
        ),
        (
            "[limits]\nmax_connections = 10\nmax_connections_per_client = 5000",
            "limits.max_connections_per_client",
        ),
        ("[server]\nclient_address = \"proxy-protocol\"", "server.trusted_proxies is empty"),
    ] {
        assert!(notes(text).contains(told), "{text}: {}", notes(text));
    }
    assert_eq!(notes("[limits]\nmax_requests = 200\nmax_requests_per_client = 50\nmax_downloads = 1"), "");
}

#[test]
fn the_example_file_has_every_key_and_its_commented_ones_are_ready_to_use() {
    let uncommented: Vec<_> = EXAMPLE
        .lines()
        .map(|line| {
            line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' ')).unwrap_or(line)
        })
        .collect();
    let text = uncommented.join("\n");
    assert_eq!(keys(&text.parse().unwrap()), keys(&full().to_toml().parse().unwrap()));

    // Proxies that agree need a bucket.
    let site = Site::new(&text.replace("file:///var/lib/scriptorium", "s3://volumes"));
    for copy in ["roots.txt", "jwks.json", "policy.toml"] {
        std::fs::copy(testdata(copy), site.folder.path().join(copy)).unwrap();
    }
    for copy in ["cert.pem", "corp-ca.pem", "client.pem"] {
        std::fs::copy(testdata("server-cert.pem"), site.folder.path().join(copy)).unwrap();
    }
    for copy in ["key.pem", "client.key"] {
        std::fs::copy(testdata("server-key.pem"), site.folder.path().join(copy)).unwrap();
    }
    let secrets = [
        ("PUBLIC_READ_TOKEN", "t"),
        ("GIT_READ_TOKEN", "t"),
        ("PROXY_CREDENTIAL", "user:password"),
        ("REDIS_PASSWORD", "p"),
    ];
    site.load(&secrets).unwrap();
}

#[test]
fn every_error_is_told_at_once_with_its_place() {
    let told = errors(
        r#"
colour = "red"
[server]
listen = "8080"
admin_listen = "0.0.0.0:9090"
treads = 4
[[upstreams]]
url = "https://user:hunter2@registry.example.com"
retries = -1
connect_timeout = "0s"
volumes = ["@acme/*", "@acme*", 3]
[[upstreams]]
name = "twin"
url = "ftp://registry.example.com"
token_env = "NOT_SET_ANYWHERE"
[[upstreams]]
name = "twin"
url = "http://twin.example?x=1"
[cache]
index_ttl = "11y"
memory = "0B"
offline = "no"
[log]
level = "loud"
"#,
    );
    let found: Vec<_> =
        told.iter().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        found,
        [
            "4:1 server.listen",
            "6:1 server.treads",
            "17:1 upstreams[2].name",
            "7:1 upstreams[0].name",
            "8:1 upstreams[0].url",
            "11:23 upstreams[0].volumes[1]",
            "11:33 upstreams[0].volumes[2]",
            "10:1 upstreams[0].connect_timeout",
            "9:1 upstreams[0].retries",
            "14:1 upstreams[1].url",
            "15:1 upstreams[1].token_env",
            "18:1 upstreams[2].url",
            "20:1 cache.index_ttl",
            "21:1 cache.memory",
            "22:1 cache.offline",
            "24:1 log.level",
            "2:1 colour",
            "5:1 server.admin_token_sha256",
        ],
        "{told:#?}"
    );
    assert!(told.iter().all(|line| line.contains("expected") || line.contains("did you mean")), "{told:#?}");
    assert!(told[1].ends_with("unknown key; did you mean `threads`?"), "{}", told[1]);
    assert!(!told.concat().contains("hunter2"), "a value was echoed");
}

#[test]
fn a_file_that_is_no_toml_is_told_with_line_and_column() {
    assert_eq!(errors("[server]\nlisten = \"a\nthreads = 1\n")[0].split(": ").next(), Some("2:12"));
    let missing =
        Config::load(Some(Path::new("/nowhere/x.toml")), owned(&[]), Overrides::default(), Timestamp(0))
            .unwrap_err();
    assert!(missing.to_string().starts_with("/nowhere/x.toml: expected a readable TOML file: "), "{missing}");
}

#[test]
fn tables_lists_and_values_are_not_taken_for_one_another() {
    for (text, told) in [
        ("server = 1", "1:1: server: expected a table"),
        ("upstreams = {}", "1:1: upstreams: expected a list of tables, each under [[upstreams]]"),
        ("upstreams = [1]", "1:14: upstreams[0]: expected a table"),
        ("[cache.memory]", "1:8: cache.memory: expected a size from 1 byte to 1 EiB such as \"64MiB\""),
        (
            "[server]\ntrusted_proxies = \"::1\"",
            "2:1: server.trusted_proxies: expected a list, each of it a network",
        ),
        ("", "upstreams: expected at least one [[upstreams]] table with name and url, or --upstream URL"),
    ] {
        let errors = errors(text);
        assert!(errors.iter().any(|error| error.starts_with(told)), "{text}: {errors:#?}");
    }
}

#[test]
fn tokens_repeat_neither_name_nor_digest() {
    let token = |name: &str, fill: &str| {
        format!("[[tokens]]\nname = \"{name}\"\nclass = \"ci\"\nsha256 = \"{}\"\n", fill.repeat(64))
    };
    let told = errors(&format!("{UPSTREAM}{}{}{}", token("a", "0"), token("a", "1"), token("b", "0")));
    assert_eq!(
        told,
        [
            "9:1: tokens[1].name: expected a name of its own; tokens[0] has the same",
            "15:1: tokens[2].sha256: expected a sha256 of its own; tokens[0] has the same",
        ]
    );
}

#[test]
fn sockets_are_not_shared() {
    let collide = |listen: &str, admin: &str| {
        let digest = Sha256::of(b"admin").hex();
        let server = format!(
            "[server]\nlisten = \"{listen}\"\nadmin_listen = \"{admin}\"\nadmin_token_sha256 = \"{digest}\"\n"
        );
        Site::new(&(server + UPSTREAM)).load(&[]).is_err()
    };
    assert!(collide("127.0.0.1:8080", "127.0.0.1:8080"));
    assert!(collide("0.0.0.0:8080", "127.0.0.1:8080"));
    assert!(!collide("127.0.0.1:0", "127.0.0.1:0"));
    assert!(!collide("127.0.0.1:8080", "127.0.0.2:8080"));
    assert!(!collide("0.0.0.0:8080", "0.0.0.0:9090"));
}

#[test]
fn tls_files_are_read_and_belong_together() {
    let told = |cert: &str, key: &str| {
        let site =
            Site::new(&format!("{UPSTREAM}[server]\ntls = {{ cert = \"cert.pem\", key = \"{key}\" }}\n"));
        std::fs::copy(testdata(cert), site.folder.path().join("cert.pem")).unwrap();
        for key in ["server-key.pem", "other-key.pem"] {
            std::fs::copy(testdata(key), site.folder.path().join(key)).unwrap();
        }
        let loaded = site.load(&[]).map(|loaded| loaded.config.server.tls.unwrap());
        loaded.map_err(|errors| errors.0.into_iter().filter_map(|error| error.key).collect::<Vec<_>>())
    };
    assert!(told("server-cert.pem", "server-key.pem").unwrap().cert.path().is_absolute());
    assert_eq!(told("server-cert.pem", "other-key.pem").unwrap_err(), ["server.tls.key"]);
    assert_eq!(told("server-cert.pem", "missing.pem").unwrap_err(), ["server.tls.key"]);
    assert_eq!(told("server-key.pem", "server-key.pem").unwrap_err(), ["server.tls.cert"]);
    assert_eq!(told("server-cert.pem", "cert.pem").unwrap_err(), ["server.tls.key"]);
}

#[test]
fn notes_tell_of_what_is_unreachable() {
    let loaded = load(
        "[storage]\nurl = \"s3://bucket/x\"\nmax_size = \"50GiB\"\n[rate_limits]\nci = \"9/s\"\n\
         [[upstreams]]\nname = \"a\"\nurl = \"http://a\"\nvolumes = [\"x\", \"*\"]\nwrites = true\nwrites_check = \"strict\"\n\
         [[upstreams]]\nname = \"b\"\nurl = \"http://b\"\n",
    );
    assert_eq!(loaded.notes, ["upstreams[1] (b) is never asked: one listed before it takes every volume",]);
}

#[test]
fn base_urls_lose_their_trailing_slash_and_keep_their_path() {
    let config = load("[[upstreams]]\nname = \"a\"\nurl = \"HTTP://A.example:80/x/y//\"\n").config;
    assert_eq!(config.upstreams[0].url.as_str(), "http://a.example/x/y");
}

#[test]
fn relative_places_start_from_the_file() {
    let site = Site::new(&format!("{UPSTREAM}[storage]\nurl = \"file://./my%20data\"\n"));
    let config = site.load(&[]).unwrap().config;
    assert_eq!(config.storage.url, Location::File(site.folder.path().join("my data")));
}

#[test]
fn printing_redacts() {
    let text = full().to_toml();
    assert!(text.contains("token_env = \"READ\"") && !text.contains("hunter2"), "{text}");
    assert_eq!(text.matches("\"<redacted>\"").count(), 3, "{text}");
    for secret in [b"admin".as_slice(), b"token", b"wall"] {
        assert!(!text.contains(&Sha256::of(secret).hex()), "{text}");
    }
}

fn configs() -> impl Strategy<Value = Config> {
    let period = || (0..315_576_000_000_u64).prop_map(Duration::from_millis);
    let size = || prop_oneof![1..=1_u64 << 60, (1..4096_u64).prop_map(|mebibytes| mebibytes << 20)];
    let pattern = "(@[a-z]{1,5}/)?[a-z]{1,5}\\*?|\\*".prop_map(|text| text.parse().unwrap());
    let host =
        "[a-z]{1,9}\\.example(:[1-9][0-9]{0,3})?|\\[::1\\](:80)?".prop_map(|text| text.parse().unwrap());
    let rate = || "[1-9][0-9]{0,8}/(s|min|h)".prop_map(|text| text.parse::<Rate>().unwrap());
    let lists = (prop::collection::vec(pattern, 0..4), prop::collection::vec(host, 0..4));
    let path = "file:///[a-z]{1,9}(/[a-z %]{1,5})?|memory:///|s3://[a-z]{3,9}/([a-z]{1,5})?";
    (period(), period(), size(), size(), lists, rate(), path, any::<(bool, bool)>()).prop_map(
        |(ttl, stale, memory, most, (volumes, archive_hosts), ci, url, (offline, json))| {
            let mut config = example();
            config.cache = Cache { index_ttl: ttl, stale_if_error: stale, memory, offline, ..config.cache };
            config.limits.max_archive = most;
            config.upstreams[0] = Upstream { volumes, archive_hosts, ..public() };
            config.rate_limits.ci = ci;
            config.storage.url = url.parse().unwrap_or(Location::Memory);
            config.log.format = if json { LogFormat::Json } else { LogFormat::Text };
            config
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_printed_loads_again(config in configs()) {
        prop_assert_eq!(load(&config.to_toml()).config, config);
    }

    #[test]
    fn no_text_panics(text in "\\PC*", variable in "SCRIPTORIUM_[A-Z_0-9]{0,12}", value in "\\PC*") {
        let _ = Site::new(&text).load(&[(&variable, &value)]);
        let _ = Site::new(UPSTREAM).load(&[(&variable, &value)]);
    }
}
