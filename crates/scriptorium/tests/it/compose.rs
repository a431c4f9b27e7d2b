//! `packaging/compose.yaml`: what it starts, started here by the programs of this machine with the file's own settings. Only
//! addresses differ, and the bucket is the one of the tests.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::wait_for;
use crate::support::bucket::Bucket;
use crate::support::yaml::{at, documents, text};
use crate::support::{Client, Proxy, Release, Setup, Upstream, eventually, free_ports};

const PROXIES: [&str; 3] = ["proxy-1", "proxy-2", "proxy-3"];

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(file)).unwrap()
}

/// A value of the file, with what it takes from its environment: the registry, and nothing else.
fn filled_in(text: &str, registry: &str) -> String {
    let mut parts = text.split("${");
    let mut filled = parts.next().unwrap().to_owned();
    for part in parts {
        let (variable, rest) = part.split_once('}').unwrap();
        let default = variable.split_once(":-").map(|(_, default)| default);
        filled += default.unwrap_or_else(|| {
            assert!(variable.starts_with("REGISTRY:?"), "{variable} has no default");
            registry
        });
        filled += rest;
    }
    filled.replace("$$", "$")
}

fn environment(service: &Value, registry: &str) -> Vec<(String, String)> {
    let variables = at(service, "/environment").as_object().unwrap().iter();
    variables.map(|(name, value)| (name.clone(), filled_in(value.as_str().unwrap(), registry))).collect()
}

/// The file that the only volume of a service brings to `place`.
fn mounted(service: &Value, place: &str) -> String {
    let (file, target) = text(service, "/volumes/0").split_once(':').unwrap();
    assert_eq!(target, format!("{place}:ro,z"));
    read(file)
}

/// A program that ends when dropped.
struct Program(Child);

impl Program {
    /// `None` where it is not installed and not required.
    fn start(command: &mut Command, required: &str) -> Option<Self> {
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let Ok(child) = spawned else {
            assert!(std::env::var_os(required).is_none(), "{command:?}: {spawned:?}");
            eprintln!("skipped: {command:?}: {spawned:?}");
            return None;
        };
        Some(Self(child))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The service `redis`, on a port of this machine, once its health check passes.
fn redis(service: &Value, folder: &Path, port: u16) -> Option<Program> {
    let environment = environment(service, "");
    let [shell, flag, script] = &at(service, "/command").as_array().unwrap()[..] else { panic!("{service}") };
    let script = filled_in(script.as_str().unwrap(), "");
    let mut command = Command::new(shell.as_str().unwrap());
    command.arg(flag.as_str().unwrap()).arg(format!("{script} --bind 127.0.0.1 --port {port}"));
    Command::new("redis-server").arg("--version").output().ok()?;
    let program =
        Program::start(command.current_dir(folder).envs(environment.clone()), "SCRIPTORIUM_REQUIRE_REDIS")?;
    assert_eq!(text(service, "/healthcheck/test/0"), "CMD-SHELL");
    let check = filled_in(text(service, "/healthcheck/test/1"), "");
    let check = check.replace("redis-cli", &format!("redis-cli -p {port}"));
    eventually("a healthy redis", || {
        let checked = Command::new("sh").args(["-c", &check]).envs(environment.clone()).status().unwrap();
        checked.success().then_some(())
    });
    Some(program)
}

/// One of the services that are proxies.
fn proxy(service: &Value, upstream: &Upstream, bucket: &Bucket, redis: u16) -> Proxy {
    assert_eq!(at(service, "/read_only"), true);
    let toml = mounted(service, "/etc/scriptorium/scriptorium.toml");
    let mut table: toml::Table = toml.parse().unwrap();
    // The image declares a volume there, which belongs to the proxy's user; podman gives no tmpfs to a user.
    let tier = table["storage"]["tier"].as_str().unwrap();
    assert!(read("Containerfile").contains(&format!("\nVOLUME {tier}\n")) && service.get("tmpfs").is_none());
    assert_eq!(text(service, "/pull_policy"), "never");
    table["storage"].as_table_mut().unwrap().remove("tier");
    let engine =
        table["cluster"]["url"].as_str().unwrap().replace("redis:6379", &format!("127.0.0.1:{redis}"));
    let mut environment = environment(service, &upstream.url());
    for (name, value) in &mut environment {
        if name == "AWS_ENDPOINT_URL" {
            assert_eq!(value, "http://bucket:9000");
            *value = format!("http://{}", bucket.authority());
        }
    }
    // nginx is on this machine, and not on a network of containers.
    let setup = Setup { table, environment }.set("server.trusted_proxies", vec!["127.0.0.0/8"]);
    setup.set("cluster.url", engine).set("log.format", "json").start()
}

/// The service `nginx` before these proxies.
fn nginx(service: &Value, folder: &Path, port: u16, proxies: &[Proxy]) -> Option<Program> {
    let mut server = mounted(service, "/etc/nginx/conf.d/default.conf");
    assert!(text(service, "/ports/0").ends_with(":8080") && server.contains("listen 8080;"));
    server = server.replace("listen 8080;", &format!("listen 127.0.0.1:{port};"));
    for (name, proxy) in PROXIES.iter().zip(proxies) {
        let place = format!("{name}:8080");
        assert!(server.contains(&place));
        server = server.replace(&place, &proxy.authority());
    }
    let place = |name: &str| folder.join(name).display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {};\n", place(kind)))
        .concat();
    let (pid, file) = (place("pid"), folder.join("nginx.conf"));
    let whole = format!(
        "daemon off;\npid {pid};\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{server}}}\n"
    );
    fs::write(&file, whole).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-e").arg("stderr").arg("-p").arg(folder).arg("-c").arg(file).stderr(Stdio::null());
    let program = Program::start(&mut command, "SCRIPTORIUM_REQUIRE_NGINX")?;
    eventually("nginx", || std::net::TcpStream::connect(("127.0.0.1", port)).ok().map(drop));
    Some(program)
}

#[test]
fn what_the_file_starts_works_as_one() {
    let [file] = &documents("compose.yaml")[..] else { panic!("one document") };
    let services = at(file, "/services");
    assert_eq!(text(services, "/bucket-made/entrypoint/3"), "store/volumes");
    let Some(bucket) = Bucket::start() else { return };
    let (upstream, folder, [redis_port, port]) = (Upstream::start(), TempDir::new().unwrap(), free_ports());
    let lamp = Release::new("lamp", "1.0.0");
    upstream.publish(&lamp);
    let Some(_redis) = redis(at(services, "/redis"), folder.path(), redis_port) else { return };
    let mut proxies: Vec<_> = PROXIES
        .iter()
        .map(|name| proxy(at(services, &format!("/{name}")), &upstream, &bucket, redis_port))
        .collect();
    proxies.iter().for_each(|proxy| wait_for(proxy, "together", 3));
    let Some(_nginx) = nginx(at(services, "/nginx"), folder.path(), port, &proxies) else { return };
    let client = Client(format!("127.0.0.1:{port}").parse().unwrap());

    let exact = client.get(&lamp.exact()).ok().text();
    assert!(exact.contains(&format!("http://127.0.0.1:{port}/archives/")), "links lead back: {exact}");
    for number in 1..=9 {
        let forwarded = format!("203.0.113.{number}");
        assert_eq!(
            client.get_with(&lamp.download(), "x-forwarded-for", &forwarded).ok().body,
            lamp.archive()
        );
    }
    let asked = |target: &str| upstream.seen().iter().filter(|seen| seen.target == target).count();
    assert_eq!((asked(&lamp.source()), asked(&lamp.exact())), (1, 1), "one fetch for three proxies");
    proxies[0].signal("KILL");
    proxies[0].exit();
    for _ in 0..9 {
        client.get(&lamp.download()).ok();
    }
    let logs: Vec<_> = proxies[1..].iter_mut().map(Proxy::whole_log).collect();
    assert!(logs.iter().all(|log| log.contains(&lamp.download())), "all of them serve");
    assert!(!logs.concat().contains("203.0.113."), "nginx names the client, not the client itself");
}
