//! A crowd of connections, each of which costs its client little and the proxy as much as it can: memory is bounded
//! whatever they do, and an honest client is served meanwhile.

mod attack;
mod frames;

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread;

use crate::support::{Client, Conversation, Proxy, Release, Setup, Upstream, each, eventually, setting, tls};

use attack::{Attack, Held};

/// Connections at once, unless the environment says otherwise; a shake of hands costs this machine more.
const USUAL: usize = 2_000;
const USUAL_ENCRYPTED: usize = 500;

/// What a connection may take on average: 100 MB for 20,000.
const EACH: u64 = 5 << 10;

/// What the process takes that is not for connections: other threads wake, tables grow, freed memory lies between.
const BESIDES: u64 = 8 << 20;

/// A registry with an index of about 2 KB and one of about 50 KB, and a proxy before it that holds both.
fn besieged(set: impl FnOnce(Setup) -> Setup) -> (Upstream, Proxy, [String; 2]) {
    let upstream = Upstream::start();
    let long: Vec<_> = (0..100).map(|number| Release::new("desk", &format!("1.{number}.0"))).collect();
    let small = Release::new("lamp", "1.0.0");
    long.iter().chain([&small]).for_each(|release| upstream.publish(release));
    let patient =
        Setup::before(&upstream).set("limits.header_timeout", "10m").set("limits.send_timeout", "10m");
    (upstream, set(patient).start(), [small.index(), long[0].index()])
}

/// A new client gets an index. While all others are being answered, it may be the one that is closed, and tries again.
fn serve_an_honest_client(attack: Attack, to: SocketAddr, target: &str) {
    let over_tls = || tls::try_get(TcpStream::connect(to).ok()?, target).ok();
    let plain = || Some(Client(to).try_send("GET", target, &[]).ok()?.ok().body);
    let got = eventually("an answer", || if attack.is_encrypted() { over_tls() } else { plain() });
    assert!(got.len() > 200, "{attack:?}: {}", String::from_utf8_lossy(&got));
}

fn besiege(attack: Attack, long: bool) {
    let count = setting("SCRIPTORIUM_CROWD", if attack.is_encrypted() { USUAL_ENCRYPTED } else { USUAL });
    let room = EACH * count as u64;
    let (_upstream, proxy, targets) = besieged(|setup| {
        let setup = setup.set("limits.max_connection_memory", format!("{}B", room * 96 / 100));
        if attack.is_encrypted() { tls::encrypted(setup) } else { setup }
    });
    let (to, target) = (proxy.client().0, &targets[usize::from(long)]);
    serve_an_honest_client(attack, to, target);
    let before = proxy.memory();
    let held: Vec<Held> = thread::scope(|scope| {
        let part = |part: usize| {
            let numbers = (0..count).filter(move |number| number % 4 == part);
            scope.spawn(move || {
                numbers.filter_map(|number| attack.begin(number, to, target).ok()).collect::<Vec<_>>()
            })
        };
        let parts: Vec<_> = (0..4).map(part).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    for target in &targets {
        serve_an_honest_client(attack, to, target);
    }
    let grown = proxy.peak_memory().saturating_sub(before);
    eprintln!(
        "{attack:?} by {} connections: {} MB before, {} MB more at the most, {} KiB each",
        held.len(),
        before >> 20,
        grown >> 20,
        (grown / (held.len() as u64).max(1)) >> 10
    );
    assert!(grown < room + BESIDES, "{attack:?}: {} KiB more for {count} connections", grown >> 10);
}

/// One after the other: each has the machine's memory to itself, as far as this process goes.
fn besiege_with(attacks: &[(Attack, bool)]) {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let only = setting("SCRIPTORIUM_ATTACK", String::new());
    for (attack, long) in attacks.iter().filter(|(attack, _)| format!("{attack:?}").starts_with(&only)) {
        besiege(*attack, *long);
    }
}

#[test]
fn connections_that_say_little_and_take_nothing_need_little_memory() {
    besiege_with(&[
        (Attack::Silent, false),
        (Attack::Head(1), false),
        (Attack::Head(8 << 10), false),
        (Attack::Head(31 << 10), false),
        (Attack::Idle, false),
        (Attack::Deaf, true),
        (Attack::Pipelined, true),
    ]);
}

#[test]
fn connections_with_tls_that_say_little_and_take_nothing_need_little_memory() {
    besiege_with(&[
        (Attack::Handshake(100), false),
        (Attack::Handshake(59_000), false),
        (Attack::Encrypted, false),
        (Attack::EncryptedDeaf, true),
    ]);
}

#[test]
fn connections_of_http2_that_ask_much_and_take_nothing_need_little_memory() {
    besiege_with(&[
        (Attack::Http2, false),
        (Attack::Streams, true),
        (Attack::Body(960 << 10), true),
        (Attack::Http2Head(31 << 10), false),
        (Attack::Pings, false),
        (Attack::Settings, false),
        (Attack::Resets, true),
    ]);
}

fn has_metric(proxy: &Proxy, line: &str) -> bool {
    proxy.admin().get("/metrics").text().lines().any(|held| held == line)
}

fn keeping_alive(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// A connection from `from` on which something was answered.
fn answered(from: &str, proxy: &Proxy, target: &str) -> Conversation {
    let from: IpAddr = from.parse().unwrap();
    let mut conversation = Conversation::open_from(from, proxy.client().0).unwrap();
    conversation.write(&keeping_alive(target)).unwrap();
    conversation.answer().unwrap().ok();
    conversation
}

#[test]
fn a_client_with_too_many_connections_loses_its_own_that_waited_the_longest() {
    let (_upstream, proxy, [target, _]) = besieged(|setup| {
        setup
            .set("limits.max_connections_per_client", 5)
            .set("server.trusted_proxies", vec!["127.0.0.4".to_owned()])
    });
    let mut other = answered("127.0.0.3", &proxy, &target);
    let mut greedy: Vec<_> = (0..8).map(|_| answered("127.0.0.2", &proxy, &target)).collect();
    for (number, conversation) in greedy.iter_mut().enumerate() {
        let is_alive = conversation.write(&keeping_alive(&target)).is_ok() && conversation.answer().is_ok();
        assert_eq!(is_alive, number >= 3, "connection {number}");
    }
    other.write(&keeping_alive(&target)).unwrap();
    other.answer().unwrap().ok();
    let closed = r#"scriptorium_connections_closed_total{cause="max_connections_per_client",fate="evicted",port="public"}"#;
    assert!(has_metric(&proxy, &format!("{closed} 3")));
    let mut carried: Vec<_> = (0..8).map(|_| answered("127.0.0.4", &proxy, &target)).collect();
    for conversation in &mut carried {
        conversation.write(&keeping_alive(&target)).unwrap();
        conversation.answer().unwrap().ok();
    }
    assert!(has_metric(&proxy, &format!("{closed} 3")), "a trusted proxy carries many clients");
}

/// Connections to the admin port that do what `begin` does, more than it has places for.
fn crowd_at_the_admin_port(proxy: &Proxy, begin: impl Fn(&mut Conversation) + Sync) -> Vec<Conversation> {
    let open = |_| {
        let mut conversation = Conversation::open_narrow(proxy.admin().0).unwrap();
        begin(&mut conversation);
        conversation
    };
    (0..400).map(open).collect()
}

#[test]
fn no_crowd_at_the_admin_port_keeps_a_probe_out() {
    let (_upstream, proxy, _) = besieged(|setup| setup);
    let say =
        |text: &'static str| move |conversation: &mut Conversation| drop(conversation.write(text.as_bytes()));
    let crowds: [&'static str; 4] = [
        "",
        "GET /livez HTTP/1.1\r\nx: y",
        "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "POST /admin/v1/invalidate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
    ];
    for crowd in crowds {
        let _held = crowd_at_the_admin_port(&proxy, say(crowd));
        for probe in ["/livez", "/readyz"].repeat(5) {
            assert_eq!(proxy.admin().get(probe).status, 200, "{probe} beside a crowd that says {crowd:?}");
        }
    }
}

#[test]
fn a_head_at_the_admin_port_has_five_seconds() {
    let (_upstream, proxy, _) = besieged(|setup| setup);
    let began = std::time::Instant::now();
    let mut slow = Conversation::open(proxy.admin().0).unwrap();
    slow.write(b"GET /livez HTTP/1.1\r\nx: y").unwrap();
    assert!(slow.is_over());
    assert!((5..9).contains(&began.elapsed().as_secs()), "after {:?}", began.elapsed());
}

#[test]
fn a_crowd_leaves_nothing_behind() {
    let (_upstream, proxy, [target, _]) = besieged(|setup| setup);
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", proxy.pid())).unwrap().count();
    let before = descriptors();
    let held: Vec<_> =
        (0..200).map(|number| Attack::Head(1 + number).begin(number, proxy.client().0, &target)).collect();
    drop(held);
    eventually("all places free again", || {
        // A few may be opened meanwhile for other things than connections.
        (descriptors() < before + 20 && has_metric(&proxy, "scriptorium_connections{port=\"public\"} 0"))
            .then_some(())
    });
    each([1, 2, 3, 4], |_| drop(answered("127.0.0.1", &proxy, &target)));
}
