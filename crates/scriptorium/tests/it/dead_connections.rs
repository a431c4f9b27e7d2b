//! Connections that died while nobody used them: a read goes once more over a fresh one, at once, and nobody is blamed.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use crate::support::{Proxy, Setup, Upstream, each};

const CROWD: usize = 8;
const INDEX: &str = r#"{"items":[]}"#;

/// A registry that answers on young connections only.
struct Fickle {
    address: SocketAddr,
    /// Connections of an earlier age are dead.
    age: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
}

/// What a dead connection does with a request.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// Takes it and says nothing.
    Silent,
    /// Takes it and ends.
    Abrupt,
}

impl Fickle {
    fn start(death: Death) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (age, accepted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let crowd = Arc::new(Barrier::new(CROWD));
        let (ages, counted) = (Arc::clone(&age), Arc::clone(&accepted));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let (ages, crowd) = (Arc::clone(&ages), Arc::clone(&crowd));
                thread::spawn(move || converse(stream, &ages, &crowd, death));
            }
        });
        Self { address, age, accepted }
    }

    fn kill_connections(&self) {
        self.age.fetch_add(1, Ordering::SeqCst);
    }
}

fn converse(mut stream: TcpStream, ages: &AtomicUsize, crowd: &Barrier, death: Death) {
    let born = ages.load(Ordering::SeqCst);
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    while let Some(start) = lines.next() {
        let _ = lines.by_ref().find(String::is_empty);
        match (ages.load(Ordering::SeqCst) == born, death) {
            (true, _) => {}
            (false, Death::Silent) => continue,
            (false, Death::Abrupt) => return,
        }
        // The first of them come all at once, so that each has a connection of its own.
        if start.contains("/crowd-") {
            crowd.wait();
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            INDEX.len()
        );
        if stream.write_all((head + INDEX).as_bytes()).is_err() {
            return;
        }
    }
}

fn before(fickle: &Fickle) -> (Upstream, Proxy) {
    let nobody = Upstream::start();
    let setup = Setup::before(&nobody).set("upstream.url", format!("http://{}", fickle.address));
    let proxy = setup.set("upstream.read_timeout", "1s").start();
    (nobody, proxy)
}

/// Asks for an index of each of these names, all at once, and expects them.
fn ask(proxy: &Proxy, names: &str) {
    let client = proxy.client();
    thread::scope(|scope| {
        for number in 0..CROWD {
            let target = format!("/api/v1/index/volumes/{names}-{number}");
            scope.spawn(move || client.get(&target).ok());
        }
    });
}

#[test]
fn a_read_on_a_dead_connection_goes_over_a_fresh_one() {
    each([Death::Silent, Death::Abrupt], |death| {
        let fickle = Fickle::start(death);
        let (_nobody, proxy) = before(&fickle);
        proxy.client().get("/api/v1/index/volumes/first").ok();
        for round in 0..8 {
            fickle.kill_connections();
            let started = Instant::now();
            proxy.client().get(&format!("/api/v1/index/volumes/then-{round}")).ok();
            assert!(started.elapsed().as_secs() < 3, "{death:?}: {:?}", started.elapsed());
            assert_eq!(fickle.accepted.load(Ordering::SeqCst), round + 2, "{death:?}: one fresh connection");
        }
    });
}

#[test]
fn with_the_defaults_a_silent_death_costs_seconds() {
    let fickle = Fickle::start(Death::Silent);
    let nobody = Upstream::start();
    let proxy = Setup::before(&nobody).set("upstream.url", format!("http://{}", fickle.address)).start();
    ask(&proxy, "crowd");
    fickle.kill_connections();
    let started = Instant::now();
    ask(&proxy, "cold");
    assert!(started.elapsed().as_secs() < 15, "half of `read_timeout`: {:?}", started.elapsed());
    let metrics = proxy.admin().get("/metrics").ok().text();
    assert!(metrics.contains("scriptorium_upstream_up{upstream=\"public\"} 1"), "{metrics}");
}

#[test]
fn a_dead_pool_is_dropped_and_opens_no_breaker() {
    each([Death::Silent, Death::Abrupt], |death| {
        let fickle = Fickle::start(death);
        let (_nobody, proxy) = before(&fickle);
        ask(&proxy, "crowd");
        assert_eq!(fickle.accepted.load(Ordering::SeqCst), CROWD, "each has a connection of its own");
        fickle.kill_connections();
        proxy.client().get("/api/v1/index/volumes/finds-out").ok();
        let started = Instant::now();
        ask(&proxy, "later");
        assert!(
            started.elapsed().as_millis() < 900,
            "{death:?}: dead connections were tried: {:?}",
            started.elapsed()
        );
        for round in 0..3 {
            fickle.kill_connections();
            ask(&proxy, &format!("again-{round}"));
        }
        let metrics = proxy.admin().get("/metrics").ok().text();
        assert!(metrics.contains("scriptorium_upstream_up{upstream=\"public\"} 1"), "{metrics}");
    });
}

#[test]
fn a_fresh_connection_that_says_nothing_is_waited_for_once() {
    let upstream = Upstream::start();
    upstream.otherwise(crate::support::Reply::silence());
    let proxy = Setup::before(&upstream).set("upstream.read_timeout", "1s").start();
    proxy.client().get("/api/v1/index/volumes/lamp").problem(504, "about:blank");
    assert_eq!(upstream.requests("/api/v1/index/volumes/lamp"), 1);
}
