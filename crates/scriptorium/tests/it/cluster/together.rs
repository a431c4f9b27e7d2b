//! Whether a proxy works together with the others, as an operator sees it, and a start without an engine that will do.

use std::process::Command;
use std::thread;

use tempfile::TempDir;

use super::{Cluster, metric, wait_for};
use crate::support::authority::Authority;
use crate::support::bucket::Bucket;
use crate::support::proxy::scriptorium;
use crate::support::redis::Redis;
use crate::support::{Release, Setup, Upstream, eventually, free_ports};

#[test]
fn what_is_held_is_served_whatever_becomes_of_the_engine_and_its_state_is_told() {
    let Some(mut cluster) = Cluster::of(2) else { return };
    let release = Release::new("@acme/lamp", "1.0.0");
    cluster.upstream.publish(&release);
    let targets = [release.index(), release.exact(), release.download()];
    let serves = |cluster: &Cluster| {
        for proxy in &cluster.proxies {
            targets.iter().for_each(|target| drop(proxy.client().get(target).ok()));
            let ready = proxy.admin().get("/readyz").ok().json();
            assert!(ready["cluster"]["state"].is_string(), "{ready}");
        }
    };
    serves(&cluster);
    assert_eq!(metric(&cluster.proxies[0], "scriptorium_cluster_up").as_deref(), Some("1"));
    assert_eq!(metric(&cluster.proxies[0], "scriptorium_cluster_nodes").as_deref(), Some("2"));

    cluster.redis.down();
    serves(&cluster);
    cluster.wait_for("alone", 1);
    serves(&cluster);
    assert_eq!(metric(&cluster.proxies[0], "scriptorium_cluster_up").as_deref(), Some("0"));
    cluster.redis.up();
    cluster.wait_for("together", 2);

    cluster.redis.signal("STOP");
    serves(&cluster);
    cluster.wait_for("alone", 1);
    serves(&cluster);
    cluster.redis.signal("CONT");
    cluster.wait_for("together", 2);

    cluster.redis.command("CONFIG SET min-replicas-to-write 1");
    cluster.wait_for("alone", 1);
    serves(&cluster);
    cluster.redis.command("CONFIG SET min-replicas-to-write 0");
    cluster.wait_for("together", 2);

    cluster.redis.command("FLUSHALL");
    serves(&cluster);
    cluster.wait_for("together", 2);
    let log = cluster.proxies[0].whole_log();
    let told = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert_eq!(told("this proxy works alone"), 3, "{log}");
    assert_eq!(told("this proxy works together"), 4, "{log}");
    assert!(log.contains("it refuses connections; check host and port in `cluster.url`"), "{log}");
}

#[test]
fn a_proxy_that_ends_is_no_longer_counted() {
    let Some(mut cluster) = Cluster::of(3) else { return };
    cluster.proxies[2].crash();
    cluster.proxies[..2].iter().for_each(|proxy| wait_for(proxy, "together", 2));
    cluster.proxies[2].revive();
    cluster.wait_for("together", 3);
}

#[test]
fn a_start_without_the_engine_serves_alone_and_joins_later() {
    let (Some(bucket), Some(mut redis)) = (Bucket::start(), Redis::start()) else { return };
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    redis.down();
    let proxy = redis.joined_by(bucket.below(Setup::before(&upstream)), 1).start();
    proxy.client().get(&release.download()).ok();
    wait_for(&proxy, "alone", 1);
    redis.up();
    wait_for(&proxy, "together", 1);
    proxy.client().get(&release.download()).ok();
}

#[test]
fn a_password_that_the_engine_refuses_is_told_at_the_start() {
    let (Some(bucket), Some(redis)) = (Bucket::start(), Redis::start_with(Some("swordfish"))) else { return };
    let upstream = Upstream::start();
    let joined = || redis.joined_by(bucket.below(Setup::before(&upstream)), 1);
    let with = |password: &str| joined().set("cluster.password_env", "ENGINE").env("ENGINE", password);
    wait_for(&with("swordfish").start(), "together", 1);
    let folder = TempDir::new().unwrap();
    for setup in [joined(), with("hunter2")] {
        for command in ["serve", "doctor"] {
            let output = run(command, &folder, setup.clone());
            let (told, said) =
                (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
            let expected = if command == "serve" { 2 } else { 1 };
            assert_eq!(output.status.code(), Some(expected), "{told}");
            assert!(
                told.contains("cluster.password_env") || said.contains("cluster.password_env"),
                "{told}{said}"
            );
            assert!(!told.contains("hunter2") && !said.contains("hunter2"), "{told}{said}");
        }
    }
    let output = run("doctor", &folder, with("swordfish"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("answers, and takes scripts and writes"), "{said}");
    redis.command("FLUSHALL");
    run("doctor", &folder, with("swordfish"));
    assert!(redis.command("KEYS *").contains("*0"), "whoever only looks is no proxy");
}

#[test]
fn an_engine_behind_tls_is_used_and_one_that_nobody_vouches_for_is_refused() {
    let (Some(authority), Some(other)) = (Authority::new(), Authority::new()) else { return };
    let identity = authority.issue("redis", "DNS:localhost");
    let (Some(bucket), Some(redis)) = (Bucket::start(), Redis::start_encrypted(&identity)) else { return };
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let trusting = |authority: &Authority| {
        let setup = redis.joined_by(bucket.below(Setup::before(&upstream)), 1);
        setup.env("SSL_CERT_FILE", &authority.certificate())
    };
    let proxy = trusting(&authority).start();
    wait_for(&proxy, "together", 1);
    proxy.client().get(&release.download()).ok();
    let folder = TempDir::new().unwrap();
    for (command, status) in [("serve", 2), ("doctor", 1)] {
        let output = run(command, &folder, trusting(&other));
        let told = [output.stderr, output.stdout].map(|told| String::from_utf8_lossy(&told).into_owned());
        assert_eq!(output.status.code(), Some(status), "{told:?}");
        let says = "its certificate is not signed by an authority that this proxy knows";
        assert!(told.iter().any(|told| told.contains(says) && told.contains("SSL_CERT_FILE")), "{told:?}");
    }
}

pub(super) fn run(command: &str, folder: &TempDir, setup: Setup) -> std::process::Output {
    let [public, admin] = free_ports().map(|port| format!("127.0.0.1:{port}"));
    let setup = setup.set("server.listen", public).set("server.admin_listen", admin);
    let setup = setup.set("storage.tier", folder.path().join("tier").display().to_string());
    let file = folder.path().join("scriptorium.toml");
    setup.write(&file);
    let mut process: Command = scriptorium();
    process.args([command, "--config"]).arg(&file).envs(setup.environment).output().unwrap()
}

#[test]
fn a_cluster_without_a_bucket_is_refused() {
    let Some(redis) = Redis::start() else { return };
    let (upstream, folder) = (Upstream::start(), TempDir::new().unwrap());
    let setup = redis.joined_by(Setup::before(&upstream), 1);
    let setup = setup.set("storage.url", format!("file://{}", folder.path().join("data").display()));
    let output = run("serve", &folder, setup);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("s3://bucket/prefix"));
}

#[test]
fn nothing_is_said_of_a_cluster_that_is_not_configured() {
    let proxy = Setup::before(&Upstream::start()).start();
    assert!(proxy.admin().get("/admin/v1/status").ok().json().get("cluster").is_none());
    assert_eq!(proxy.admin().get("/readyz").ok().json(), serde_json::json!({"status": "ready"}));
    assert!(!proxy.admin().get("/metrics").ok().text().contains("scriptorium_cluster_up "));
}

#[test]
fn a_hit_does_not_wait_for_a_silent_engine() {
    let Some(cluster) = Cluster::with(1, |setup| setup.set("cache.index_ttl", "1h")) else { return };
    let release = Release::new("lamp", "1.0.0");
    cluster.upstream.publish(&release);
    let proxy = &cluster.proxies[0];
    proxy.client().get(&release.index()).ok();
    cluster.redis.signal("STOP");
    let hits = eventually("a thousand hits while the engine is silent", || {
        thread::scope(|scope| {
            let hit = || (0..250).all(|_| proxy.client().get(&release.index()).ok().is_hit());
            let threads = [(); 4].map(|()| scope.spawn(hit));
            Some(threads.into_iter().all(|thread| thread.join().unwrap()))
        })
    });
    cluster.redis.signal("CONT");
    assert!(hits);
    assert_eq!(cluster.upstream.requests(&release.index()), 1);
}
