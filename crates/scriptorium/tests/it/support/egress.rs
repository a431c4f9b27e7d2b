//! A company's proxy: the only way to names that this machine cannot resolve. It tells whom it was asked for.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The proxy.
pub(crate) struct Egress {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Where each `host:port` is.
    places: Mutex<HashMap<String, SocketAddr>>,
    credential: Option<String>,
    /// First lines of what it was asked.
    asked: Mutex<Vec<String>>,
    /// How often all tunnels died.
    dead: Mutex<usize>,
}

impl Egress {
    /// One that takes everybody.
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    /// One that takes who sends this as `Proxy-Authorization`.
    pub(crate) fn start_with(credential: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { credential: credential.map(str::to_owned), ..Shared::default() });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets `authority` be found at `address`.
    pub(crate) fn knows(&self, authority: &str, address: SocketAddr) {
        self.shared.places.lock().unwrap().insert(authority.to_owned(), address);
    }

    /// What it was asked so far, such as `CONNECT registry.test:443 HTTP/1.1`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Passes nothing on any more of the tunnels there are, and closes none.
    pub(crate) fn kill_tunnels(&self) {
        *self.shared.dead.lock().unwrap() += 1;
    }
}

fn serve(mut client: TcpStream, shared: &Arc<Shared>) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let line = head.lines().next()?.to_owned();
    shared.asked.lock().unwrap().push(line.clone());
    let sent = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then(|| value.to_owned())
    });
    if shared.credential.is_some() && sent != shared.credential {
        let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"x\"\r\ncontent-length: 0\r\n\r\n";
        return client.write_all(refusal.as_bytes()).ok();
    }
    let mut words = line.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let authority =
        target.strip_prefix("http://").map_or(target, |rest| rest.split('/').next().unwrap_or(rest));
    let place = shared.places.lock().unwrap().get(authority).copied();
    let Some(mut server) = place.and_then(|place| TcpStream::connect(place).ok()) else {
        return client.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").ok();
    };
    if method != "CONNECT" {
        // One request a connection, none of which has a body.
        let path = target.strip_prefix("http://")?.strip_prefix(authority)?;
        server.write_all(head.replacen(target, path, 1).as_bytes()).ok()?;
        server.shutdown(Shutdown::Write).ok()?;
        return io::copy(&mut server, &mut client).ok().map(drop);
    }
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
    let born = *shared.dead.lock().unwrap();
    let back = (server.try_clone().ok()?, client.try_clone().ok()?, Arc::clone(shared));
    thread::spawn(move || pass(back.0, back.1, &back.2, born));
    pass(client, server, shared, born)
}

fn pass(mut from: TcpStream, mut to: TcpStream, shared: &Shared, born: usize) -> Option<()> {
    let mut buffer = [0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).ok()?;
        if *shared.dead.lock().unwrap() != born {
            // Keeps both ends open and says nothing.
            if read == 0 { return None } else { continue }
        }
        if read == 0 {
            return to.shutdown(Shutdown::Write).ok();
        }
        to.write_all(&buffer[..read]).ok()?;
    }
}
