//! How the listening sockets change hands: from the process that serves to the one that takes its place.
//!
//! The next process waits at a socket in a private folder. The running one, told by SIGQUIT, sends its listeners there
//! with their addresses, and stops once it is told that they came; else it serves on. Whoever else could reach the socket
//! is refused by either side: the kernel says who the other is. A listener must be what it is called. Owns the exchange.
//! Must not know what is served.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{socket_acceptconn, socket_peercred};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use crate::private::{Private, user};

/// How long the next process waits for the running one.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);
/// How long either may be silent once they talk.
const WORD: Duration = Duration::from_secs(2);

/// Most listeners that are sent, and the longest that their addresses may be.
const MOST: usize = 8;
const LONGEST: usize = 1024;

/// Says that the listeners came.
const TAKEN: &[u8] = b"taken";

/// A listener with the address it is configured by.
pub(super) type Offer = (SocketAddr, TcpListener);

/// Where two processes meet.
#[derive(Debug, Clone)]
pub struct Meeting {
    /// Private folders, in the order in which they are tried; made when they are needed.
    pub folders: Vec<PathBuf>,
    /// How the socket in it is called.
    pub name: String,
}

impl Meeting {
    /// Whether a process waits there.
    fn found(&self) -> Option<PathBuf> {
        self.folders.iter().find_map(|folder| {
            let path = match Private::existing(folder) {
                Ok(folder) => folder?.path().join(&self.name),
                Err(error) => {
                    tracing::warn!(%error, "no process can wait there for the sockets");
                    return None;
                }
            };
            is_socket(&path).then_some(path)
        })
    }

    /// Sends `offers` to the process that waits, and waits until it has them.
    pub(super) fn hand_over(&self, offers: &[Offer]) -> Result<(), String> {
        let path =
            self.found().ok_or("no process waits for the sockets; start it first, with `--upgrade`")?;
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        let mut next = UnixStream::connect(&path).map_err(failed)?;
        is_ours(&next)?;
        next.set_read_timeout(Some(WORD))
            .and_then(|()| next.set_write_timeout(Some(WORD)))
            .map_err(failed)?;
        send(&next, offers).map_err(failed)?;
        let mut word = [0; TAKEN.len()];
        next.read_exact(&mut word).map_err(failed)?;
        if word == TAKEN { Ok(()) } else { Err("the process that waits did not take the sockets".to_owned()) }
    }

    /// Waits for the running process and takes what it sends.
    pub(super) fn take_over(&self) -> Result<Vec<Offer>, TakeOver> {
        let mut refused = None;
        for folder in &self.folders {
            let path = folder.join(&self.name);
            let opened = Private::open(folder).map_err(|error| error.to_string());
            match opened.and_then(|_| Waiting::at(&path)) {
                Ok(waiting) => return waiting.take().map_err(|reason| TakeOver { path, reason }),
                Err(reason) => refused = refused.or(Some(TakeOver { path, reason })),
            }
        }
        let nowhere =
            || TakeOver { path: PathBuf::new(), reason: "there is no folder to meet in".to_owned() };
        Err(refused.unwrap_or_else(nowhere))
    }
}

/// Why nothing was taken over.
#[derive(Debug)]
pub(super) struct TakeOver {
    pub(super) path: PathBuf,
    pub(super) reason: String,
}

/// The socket at which the next process waits, gone with the value.
struct Waiting {
    listener: UnixListener,
    path: PathBuf,
}

impl Waiting {
    fn at(path: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| error.to_string();
        if let Ok(found) = fs::symlink_metadata(path) {
            if !found.file_type().is_socket() || found.uid() != user() {
                return Err("what lies there is no socket of this user; look at it and remove it".to_owned());
            }
            // One that nobody waits at was left by a process that was killed.
            if UnixStream::connect(path).is_ok() {
                return Err("another process waits there for the sockets; end it first".to_owned());
            }
            fs::remove_file(path).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let waiting = Self { listener, path: path.to_owned() };
        waiting.listener.set_nonblocking(true).map_err(failed)?;
        Ok(waiting)
    }

    fn take(&self) -> Result<Vec<Offer>, String> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match self.listener.accept() {
                Ok((running, _)) => match taken(&running) {
                    Ok(Some(offers)) => return Ok(offers),
                    // Somebody looked whether anybody waits.
                    Ok(None) => {}
                    Err(reason) => tracing::warn!(reason, "sockets were offered and refused"),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(LOOK),
                Err(error) => return Err(error.to_string()),
            }
        }
        Err(format!("nothing came within {} s", PATIENCE.as_secs()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// What the process at the other end sends, if it sends anything.
fn taken(running: &UnixStream) -> Result<Option<Vec<Offer>>, String> {
    is_ours(running)?;
    let failed = |error: io::Error| error.to_string();
    running.set_nonblocking(false).and_then(|()| running.set_read_timeout(Some(WORD))).map_err(failed)?;
    let Some((names, listeners)) = receive(running).map_err(failed)? else { return Ok(None) };
    let addresses: Vec<SocketAddr> = names.split(' ').filter_map(|name| name.parse().ok()).collect();
    if addresses.len() != listeners.len() {
        return Err(format!("{} listeners came with {} addresses", listeners.len(), addresses.len()));
    }
    let offers: Vec<Offer> =
        addresses.into_iter().zip(listeners.into_iter().map(TcpListener::from)).collect();
    if let Some((address, _)) = offers.iter().find(|(address, listener)| !listens_at(listener, *address)) {
        return Err(format!("what came as the listener of {address} is none"));
    }
    let mut answer: &UnixStream = running;
    answer.write_all(TAKEN).map_err(failed)?;
    Ok(Some(offers))
}

/// Whether a listener is what it is called. Port 0 stands for whichever was free.
fn listens_at(listener: &TcpListener, address: SocketAddr) -> bool {
    let is_there = listener.local_addr().is_ok_and(|found| {
        found.ip() == address.ip() && (address.port() == 0 || found.port() == address.port())
    });
    is_there && socket_acceptconn(listener).unwrap_or(false)
}

/// The kernel says whose process is at the other end.
fn is_ours(stream: &UnixStream) -> Result<(), String> {
    let other = socket_peercred(stream).map_err(|error| error.to_string())?.uid.as_raw();
    if other == user() {
        return Ok(());
    }
    Err(format!("the process at the other end belongs to user {other}, and this one to user {}", user()))
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket() && found.uid() == user())
}

fn send(next: &UnixStream, offers: &[Offer]) -> io::Result<()> {
    let names: Vec<String> = offers.iter().map(|(address, _)| address.to_string()).collect();
    let listeners: Vec<_> = offers.iter().map(|(_, listener)| listener.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&listeners)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let names = names.join(" ");
    let sent = sendmsg(next, &[IoSlice::new(names.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    if sent == names.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Addresses, and listeners that no child process inherits; nothing where the other end hung up.
fn receive(running: &UnixStream) -> io::Result<Option<(String, Vec<OwnedFd>)>> {
    let (mut names, mut space) =
        ([0; LONGEST], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))]);
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(running, &mut [IoSliceMut::new(&mut names)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut listeners = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(sent) = message {
            listeners.extend(sent);
        }
    }
    let names = String::from_utf8_lossy(&names[..received.bytes]).into_owned();
    Ok((received.bytes > 0).then_some((names, listeners)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    fn meeting(home: &TempDir) -> Meeting {
        Meeting { folders: vec![home.path().join("run")], name: "upgrade.sock".to_owned() }
    }

    fn listener() -> Offer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        (listener.local_addr().unwrap(), listener)
    }

    /// What the running process is answered, and what the next one has then.
    fn exchanged(meeting: &Meeting, offers: &[Offer]) -> (Result<(), String>, Result<Vec<Offer>, TakeOver>) {
        let path = meeting.folders[0].join(&meeting.name);
        thread::scope(|scope| {
            let next = scope.spawn(|| meeting.take_over());
            while !is_socket(&path) {
                thread::yield_now();
            }
            let sent = meeting.hand_over(offers);
            (sent, next.join().unwrap())
        })
    }

    #[test]
    fn listeners_come_as_they_are_called_and_the_place_is_left_clean() {
        let home = TempDir::new().unwrap();
        let (meeting, offers) = (meeting(&home), [listener(), listener()]);
        assert!(meeting.hand_over(&offers).unwrap_err().contains("--upgrade"), "nobody waits yet");
        let (sent, taken) = exchanged(&meeting, &offers);
        sent.unwrap();
        let taken = taken.unwrap();
        let addresses = |offers: &[Offer]| offers.iter().map(|(address, _)| *address).collect::<Vec<_>>();
        assert_eq!(addresses(&taken), addresses(&offers));
        assert_eq!(taken[1].1.local_addr().unwrap(), offers[1].0);
        assert!(Private::open(&meeting.folders[0]).unwrap().names().unwrap().is_empty());
    }

    #[test]
    fn what_is_planted_at_the_place_is_refused() {
        let home = TempDir::new().unwrap();
        let meeting = meeting(&home);
        let run = Private::open(&meeting.folders[0]).unwrap();
        let (path, target) = (run.path().join(&meeting.name), home.path().join("target"));
        fs::write(&target, "theirs").unwrap();
        symlink(&target, &path).unwrap();
        assert!(meeting.take_over().unwrap_err().reason.contains("no socket of this user"));
        assert!(meeting.hand_over(&[listener()]).is_err());
        assert_eq!(fs::read_to_string(&target).unwrap(), "theirs");
        fs::remove_file(&path).unwrap();
        let waiting = UnixListener::bind(&path).unwrap();
        assert!(meeting.take_over().unwrap_err().reason.contains("another process waits"));
        // Left by a process that was killed.
        drop(waiting);
        assert!(path.exists() && meeting.hand_over(&[listener()]).is_err());
        thread::scope(|scope| {
            let next = scope.spawn(|| meeting.take_over());
            while meeting.hand_over(&[listener()]).is_err() {
                thread::yield_now();
            }
            next.join().unwrap().unwrap();
        });

        let linked = Meeting { folders: vec![home.path().join("linked")], ..meeting.clone() };
        symlink(run.path(), &linked.folders[0]).unwrap();
        assert!(linked.take_over().unwrap_err().reason.contains("is a link"));
        assert!(linked.hand_over(&[listener()]).is_err());
    }

    #[test]
    fn a_listener_that_is_another_is_refused() {
        let (mut offer, connected) = (listener(), listener());
        assert!(listens_at(&offer.1, offer.0) && listens_at(&offer.1, SocketAddr::from(([127, 0, 0, 1], 0))));
        offer.0.set_port(1);
        assert!(!listens_at(&offer.1, offer.0));
        let stream = std::net::TcpStream::connect(connected.0).unwrap();
        let address = stream.local_addr().unwrap();
        assert!(!listens_at(&TcpListener::from(OwnedFd::from(stream)), address), "a connection");
    }
}
