//! An HTTP/1.1 client over a bare socket. It owns connections and answers; it hides nothing: what a
//! test writes is what goes out, and a body that stops early is reported as such.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::Upstream;
use super::wire::{Fields, read_head, read_line};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Where requests go; every request has a connection of its own.
#[derive(Clone, Copy)]
pub(crate) struct Client(pub(crate) SocketAddr);

impl Client {
    /// A client of the registry itself.
    pub(crate) fn of(registry: &Upstream) -> Self {
        Self(SocketAddr::from(([127, 0, 0, 1], registry.port())))
    }

    pub(crate) fn get(self, target: &str) -> Answer {
        self.send("GET", target, &[])
    }

    pub(crate) fn head(self, target: &str) -> Answer {
        self.send("HEAD", target, &[])
    }

    pub(crate) fn get_with(self, target: &str, name: &str, value: &str) -> Answer {
        self.send("GET", target, &[(name, value)])
    }

    pub(crate) fn send(self, method: &str, target: &str, fields: &[(&str, &str)]) -> Answer {
        self.try_send(method, target, fields).unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    /// Sends a JSON body.
    pub(crate) fn post(self, target: &str, body: &str) -> Answer {
        self.send_body("POST", target, &[("content-type", "application/json")], body.as_bytes())
    }

    pub(crate) fn try_send(self, method: &str, target: &str, fields: &[(&str, &str)]) -> io::Result<Answer> {
        let mut conversation = Conversation::open(self.0)?;
        conversation.ask(method, target, fields)?;
        conversation.answer_to(method)
    }
}

/// One connection, driven by hand.
pub(crate) struct Conversation(BufReader<TcpStream>);

impl Conversation {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&address, TIMEOUT)?)
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// A connection that comes from another address of this machine.
    pub(crate) fn open_from(from: IpAddr, address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
        socket.connect_timeout(&address.into(), TIMEOUT)?;
        Self::over(socket.into())
    }

    /// A connection that takes little more than what is read from it.
    pub(crate) fn open_narrow(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_recv_buffer_size(64 << 10)?;
        socket.connect_timeout(&address.into(), TIMEOUT)?;
        Self::over(socket.into())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Sends one request that closes the connection; a `host` among `fields` replaces the usual one.
    pub(crate) fn ask(&mut self, method: &str, target: &str, fields: &[(&str, &str)]) -> io::Result<()> {
        let mut request = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\n");
        if !fields.iter().any(|(name, _)| *name == "host") {
            request.push_str(&format!("host: {}\r\n", self.0.get_ref().peer_addr()?));
        }
        for (name, value) in fields {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        self.write(request.as_bytes())
    }

    /// Takes a little of what was answered, head or body.
    pub(crate) fn take(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        self.0.read(piece)
    }

    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        self.answer_to("GET")
    }

    pub(crate) fn answer_to(&mut self, method: &str) -> io::Result<Answer> {
        let mut answer = self.begin()?;
        if method != "HEAD" && answer.status != 304 {
            self.finish(&mut answer)?;
        }
        Ok(answer)
    }

    /// Reads status and headers and leaves the body where it is.
    pub(crate) fn begin(&mut self) -> io::Result<Answer> {
        let (start, fields) = read_head(&mut self.0)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = start.split(' ').nth(1).and_then(|code| code.parse().ok());
        Ok(Answer {
            status: status.ok_or(io::ErrorKind::InvalidData)?,
            fields,
            body: Vec::new(),
            whole: true,
        })
    }

    /// Reads the body of an answer that `begin` started.
    pub(crate) fn finish(&mut self, answer: &mut Answer) -> io::Result<()> {
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.whole = self.read_chunks(&mut answer.body)?;
            return Ok(());
        }
        let Some(length) = answer.header("content-length").and_then(|text| text.parse::<u64>().ok()) else {
            return self.0.read_to_end(&mut answer.body).map(drop);
        };
        let ended = (&mut self.0).take(length).read_to_end(&mut answer.body);
        answer.whole = ended.is_ok() && answer.body.len() as u64 == length;
        Ok(())
    }

    /// Waits for answers that take longer than those of a usual test.
    pub(crate) fn patient(self) -> Self {
        self.0.get_ref().set_read_timeout(Some(10 * TIMEOUT)).unwrap();
        self
    }

    /// Passes on the body of an answer that `begin` started, and says how long it was.
    pub(crate) fn pass_on(&mut self, answer: &Answer, into: &mut impl Write) -> io::Result<u64> {
        let length = answer.header("content-length").and_then(|text| text.parse().ok());
        io::copy(&mut (&mut self.0).take(length.ok_or(io::ErrorKind::InvalidData)?), into)
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            let Some(size) = read_line(&mut self.0)? else { return Ok(false) };
            let size = u64::from_str_radix(&size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            if (&mut self.0).take(size).read_to_end(body)? as u64 != size || read_line(&mut self.0)?.is_none()
            {
                return Ok(false);
            }
            if size == 0 {
                return Ok(true);
            }
        }
    }

    /// Whether the peer has closed, having said nothing more.
    pub(crate) fn is_over(&mut self) -> bool {
        self.0.fill_buf().map_or(true, <[u8]>::is_empty)
    }

    /// Closes one side of the connection.
    pub(super) fn shut(&self, side: Shutdown) -> io::Result<()> {
        self.0.get_ref().shutdown(side)
    }

    /// Hangs up at once.
    pub(crate) fn hang_up(self) {
        self.0.get_ref().shutdown(Shutdown::Both).ok();
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    /// False when the connection ended before the announced body did.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// What the cache says it did.
    pub(crate) fn cache(&self) -> &str {
        self.header("cache-status").unwrap_or_else(|| panic!("no Cache-Status on {self:?}"))
    }

    pub(crate) fn is_hit(&self) -> bool {
        self.cache().starts_with("scriptorium; hit")
    }

    /// Asserts success and gives the answer back.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.text());
        assert!(self.whole, "the body ended after {} bytes: {:?}", self.body.len(), self.fields);
        self
    }

    /// Asserts a problem document of this status and type, complete with what the contract demands of
    /// every error, and yields it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let problem = self.json();
        let kind = match slug {
            "about:blank" => slug.to_owned(),
            slug => format!("https://agentvolumes.org/problems/{slug}"),
        };
        assert_eq!(problem["type"], kind, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for member in ["title", "detail", "instance"] {
            assert!(
                problem[member].as_str().is_some_and(|text| !text.is_empty()),
                "no {member} in {problem}"
            );
        }
        problem
    }

    /// Asserts that the truth "could not ask" was told: a 502, 503 or 504 that invents no type.
    #[track_caller]
    pub(crate) fn could_not_ask(&self) -> Value {
        assert!((502..=504).contains(&self.status), "{} {}", self.status, self.text());
        assert_eq!(self.header("cache-control"), Some("no-store"));
        self.problem(self.status, "about:blank")
    }
}
