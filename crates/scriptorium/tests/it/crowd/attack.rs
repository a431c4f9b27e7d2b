//! What a client does to a proxy that costs the client little: one connection of each kind, held open.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use super::frames;
use crate::support::tls::shake_hands;

/// What is done on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attack {
    /// Nothing at all.
    Silent,
    /// So many bytes of a head that does not end.
    Head(usize),
    /// A question, an answer, and nothing more.
    Idle,
    /// A question, whose answer is not read.
    Deaf,
    /// A hundred questions at once, whose answers are not read.
    Pipelined,
    /// So many bytes of a handshake that does not end.
    Handshake(usize),
    /// A handshake, and nothing more.
    Encrypted,
    /// A question over TLS, whose answer is not read.
    EncryptedDeaf,
    /// HTTP/2, and nothing asked.
    Http2,
    /// As many questions as are allowed at once, and no room for an answer.
    Streams,
    /// A question with so much of a body that nobody wants.
    Body(usize),
    /// So many bytes of a head that does not end.
    Http2Head(usize),
    /// Frames that want an answer each, and are not listened to.
    Pings,
    Settings,
    /// Questions that are taken back at once.
    Resets,
}

impl Attack {
    pub(super) fn is_encrypted(self) -> bool {
        !matches!(self, Self::Silent | Self::Head(_) | Self::Idle | Self::Deaf | Self::Pipelined)
    }

    /// Attacks from a client of its own for each few connections.
    pub(super) fn begin(self, number: usize, to: SocketAddr, target: &str) -> io::Result<Held> {
        let deaf =
            matches!(self, Self::Deaf | Self::Pipelined | Self::EncryptedDeaf | Self::Pings | Self::Settings);
        let mut stream = connect(client(number), to, deaf)?;
        let question = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        let sent = match self {
            Self::Silent => Vec::new(),
            Self::Head(length) => format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(length))[..length].into(),
            Self::Idle | Self::Deaf => question.into_bytes(),
            Self::Pipelined => question.repeat(100).into_bytes(),
            Self::Handshake(length) => hello(length),
            _ => return self.encrypted(stream, target, &question),
        };
        stream.write_all(&sent)?;
        if self == Self::Idle {
            let mut answer = Vec::new();
            while !answer.ends_with(b"}") && !answer.ends_with(b"}\n") {
                let mut piece = [0; 8 << 10];
                match stream.read(&mut piece)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read => answer.extend_from_slice(&piece[..read]),
                }
            }
        }
        Ok(Held::Plain(stream))
    }

    fn encrypted(self, stream: TcpStream, target: &str, question: &str) -> io::Result<Held> {
        let old = matches!(self, Self::Encrypted | Self::EncryptedDeaf);
        let mut stream = shake_hands(stream, if old { b"http/1.1" } else { b"h2" })?;
        let mut sent = [frames::PREFACE, &frames::settings(0)].concat();
        let streams = |count: u32| (0..count).map(|number| 1 + 2 * number);
        match self {
            Self::EncryptedDeaf => sent = question.into(),
            Self::Streams => sent.extend(streams(128).flat_map(|id| frames::get(id, target))),
            Self::Body(length) => {
                sent.extend(frames::get_with_body(1, target, 56 << 10));
                stream.write_all(&sent)?;
                stream.flush()?;
                // The room for more is granted first thing.
                stream.read_exact(&mut [0])?;
                sent = frames::data(1, length);
            }
            Self::Http2Head(length) => sent.extend(frames::unfinished(1, target, length)),
            Self::Pings => sent.extend(frames::ping().repeat(2_000)),
            Self::Settings => sent.extend(frames::settings(0).repeat(2_000)),
            Self::Resets => sent
                .extend(streams(2_000).flat_map(|id| [frames::get(id, target), frames::reset(id)].concat())),
            Self::Encrypted => sent.clear(),
            _ => {}
        }
        // The proxy may have had enough of it before all of it is said.
        stream.write_all(&sent).ok();
        stream.flush().ok();
        Ok(Held::Encrypted(Box::new(stream)))
    }
}

/// A connection that is held open.
#[allow(dead_code)]
pub(super) enum Held {
    Plain(TcpStream),
    Encrypted(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// The client that a connection belongs to: few enough for each that no bound for one client is met.
fn client(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 1).to_bits() + u32::try_from(number / 50).unwrap())
}

fn connect(from: Ipv4Addr, to: SocketAddr, deaf: bool) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if deaf {
        socket.set_recv_buffer_size(1)?;
    }
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&to.into())?;
    let stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// A client's first message that is announced as 60,000 bytes long, and cut.
fn hello(length: usize) -> Vec<u8> {
    let mut message = vec![1, 0, 0xea, 0x60, 3, 3];
    message.resize(length, 0);
    message
        .chunks(16 << 10)
        .flat_map(|piece| {
            let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
            [&[22, 3, 1][..], &length, piece].concat()
        })
        .collect()
}
