//! Flags over environment over file, and how a variable finds its key.

use secrecy::ExposeSecret;
use url::Url;

use super::*;

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let site =
        Site::new(&format!("[server]\nlisten = \"127.0.0.1:1\"\nthreads = 3\n{UPSTREAM}retries = 1\n"));
    let env = [
        ("SCRIPTORIUM_SERVER__LISTEN", "127.0.0.1:2"),
        ("SCRIPTORIUM_SERVER__ADMIN_LISTEN", "127.0.0.1:3"),
        ("scriptorium_server__threads", "9"),
    ];
    let overrides = Overrides {
        upstream: Some("http://flag:1/".into()),
        listen: Some("127.0.0.1:4".into()),
        data: Some("/data dir".into()),
        ..Overrides::default()
    };
    let Config { server, upstreams, storage, cache, .. } =
        Config::load(Some(&site.file()), owned(&env), overrides, Timestamp(0)).unwrap().config;
    assert_eq!((server.listen.port(), server.admin_listen.port(), server.threads), (4, 3, 3));
    assert_eq!(upstreams, [Upstream::new("upstream", Url::parse("http://flag:1").unwrap())]);
    assert_eq!(storage.url, Location::File("/data dir".into()));
    assert_eq!(cache, Cache::default());
}

#[test]
fn flags_are_enough_without_a_file() {
    let flags = |data: &str| Overrides {
        upstream: Some("http://u".into()),
        data: Some(data.into()),
        ..Overrides::default()
    };
    let config = Config::load(None, owned(&[]), flags("cache"), Timestamp(0)).unwrap().config;
    assert_eq!(config.storage.url, Location::File(std::env::current_dir().unwrap().join("cache")));
    let told = Config::load(None, owned(&[]), flags(""), Timestamp(0)).unwrap_err().to_string();
    assert!(told.starts_with("--data: storage.url: expected file:///folder"), "{told}");
}

#[test]
fn the_environment_reaches_every_level_with_every_kind() {
    let env = [
        ("SCRIPTORIUM_UPSTREAMS__0__URL", "https://changed.example"),
        ("SCRIPTORIUM_UPSTREAMS__0__VOLUMES", "[\"@acme/*\", 'tools']"),
        ("SCRIPTORIUM_UPSTREAMS__1__NAME", "2"),
        ("SCRIPTORIUM_UPSTREAMS__1__URL", "\"http://quoted.example\""),
        ("SCRIPTORIUM_UPSTREAMS__1__ARCHIVE_HOSTS__0", "cdn.example"),
        ("SCRIPTORIUM_UPSTREAMS__1__TOKEN_ENV", "READ"),
        ("READ", "hunter2\n"),
        ("SCRIPTORIUM_Cache__Offline", "true"),
        ("SCRIPTORIUM_LIMITS__MAX_ENTRIES", "1_000"),
        ("SCRIPTORIUM_LIMITS__MAX_DOCUMENT", "1048576"),
        ("SCRIPTORIUM_SERVER__LISTEN", "[::1]:8080"),
        ("SCRIPTORIUM_SERVICE_HOST", "set by the platform"),
        ("UNRELATED__KEY", "x"),
    ];
    let config = Site::new(UPSTREAM).load(&env).unwrap().config;
    let [first, second] = &config.upstreams[..] else { panic!("expected two upstreams") };
    assert_eq!((first.name.as_str(), first.url.as_str()), ("public", "https://changed.example/"));
    assert_eq!(first.volumes, ["@acme/*", "tools"].map(|pattern| pattern.parse().unwrap()));
    assert_eq!((second.name.as_str(), second.url.as_str()), ("2", "http://quoted.example/"));
    assert_eq!(second.archive_hosts, ["cdn.example".parse().unwrap()]);
    assert_eq!(second.token_env.as_ref().unwrap().token.expose_secret(), "hunter2");
    assert_eq!((config.cache.offline, config.limits.max_entries), (true, 1000));
    assert_eq!((config.limits.max_document, config.server.listen.is_ipv6()), (1 << 20, true));
}

#[test]
fn bad_variables_are_named() {
    let env = [
        ("SCRIPTORIUM_SERVER__LISTEN", "nowhere"),
        ("SCRIPTORIUM_SERVER__LISTEN__PORT", "1"),
        ("SCRIPTORIUM_SERVR__LISTEN", "127.0.0.1:1"),
        ("SCRIPTORIUM_UPSTREAMS__2__URL", "http://gap.example"),
        ("SCRIPTORIUM_CACHE__", "x"),
    ];
    let told = Site::new(UPSTREAM).load(&env).unwrap_err().to_string();
    let starts: Vec<_> = told.lines().map(|line| line.split(" expected").next().unwrap()).collect();
    assert_eq!(
        starts,
        [
            "SCRIPTORIUM_SERVER__LISTEN__PORT: server.listen.port:",
            "SCRIPTORIUM_UPSTREAMS__2__URL: upstreams.2.url:",
            "SCRIPTORIUM_SERVER__LISTEN: server.listen:",
            "SCRIPTORIUM_CACHE__: cache.\"\": unknown key;",
            "SCRIPTORIUM_SERVR__LISTEN: servr: unknown key; did you mean `server`?",
        ]
    );
}

#[test]
fn a_variable_with_one_underscore_too_few_is_told() {
    let site = Site::new(UPSTREAM);
    let env = [
        ("SCRIPTORIUM_CACHE_INDEX_TTL", "1s"),
        ("SCRIPTORIUM_SERVICE_HOST", "10.0.0.1"),
        ("SCRIPTORIUM_TOKEN", "x"),
    ];
    let Loaded { notes, .. } = site.load(&env).unwrap();
    assert_eq!(
        notes,
        ["SCRIPTORIUM_CACHE_INDEX_TTL is no setting: two underscores stand between section and key, as in \
          SCRIPTORIUM_CACHE__INDEX_TTL"]
    );
}
