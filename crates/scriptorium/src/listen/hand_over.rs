//! Handing the listening sockets from the running process to the one that replaces it.
//!
//! The next process waits at a Unix socket in a private folder. On SIGQUIT, the running process sends its listeners there
//! with their addresses, and stops once the next process confirms them; else it serves on. Both sides ask the kernel for
//! the user at the other end, and refuse any other. The next process checks that each listener has its address. Owns the
//! exchange. Must not know what is served.

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

use crate::private::{PrivateFolder, user};

/// How long the next process waits for the running one.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks for a connection.
const POLL: Duration = Duration::from_millis(20);
/// How long either may be silent once connected.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Most listeners that are sent, and the most bytes that their addresses may have.
const MOST: usize = 8;
const LONGEST: usize = 1024;

/// Confirms the listeners.
const TAKEN: &[u8] = b"taken";

/// A listener with the address that it is configured by.
#[derive(Debug)]
pub(super) struct BoundListener {
    pub(super) address: SocketAddr,
    pub(super) listener: TcpListener,
}

/// Where the next process waits for the listeners.
#[derive(Debug, Clone)]
pub(crate) struct HandOver {
    /// Private folders, in the order in which they are tried; made when they are needed.
    pub(crate) folders: Vec<PathBuf>,
    /// The name of the Unix socket in the folder.
    pub(crate) name: String,
}

impl HandOver {
    /// The socket at which a process may wait.
    fn found(&self) -> Option<PathBuf> {
        self.folders.iter().find_map(|folder| {
            let path = match PrivateFolder::existing(folder) {
                Ok(folder) => folder?.path().join(&self.name),
                Err(error) => {
                    tracing::warn!(%error, "the folder for handing over sockets is refused");
                    return None;
                }
            };
            is_socket(&path).then_some(path)
        })
    }

    /// Sends the listeners to the process that waits, and waits until that process confirms them. Answers with its number.
    pub(super) fn hand_over(&self, listeners: &[BoundListener]) -> Result<u32, String> {
        let path =
            self.found().ok_or("no process waits for the sockets; start it first, with `--upgrade`")?;
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        let mut next = UnixStream::connect(&path).map_err(failed)?;
        let pid = is_ours(&next)?;
        next.set_read_timeout(Some(ANSWER_TIMEOUT))
            .and_then(|()| next.set_write_timeout(Some(ANSWER_TIMEOUT)))
            .map_err(failed)?;
        send(&next, listeners).map_err(failed)?;
        let mut answer = [0; TAKEN.len()];
        next.read_exact(&mut answer).map_err(failed)?;
        if answer == TAKEN { Ok(pid) } else { Err("the next process did not confirm the sockets".to_owned()) }
    }

    /// Waits for the running process and takes the listeners that it sends.
    pub(super) fn take_over(&self) -> Result<Vec<BoundListener>, TakeOverError> {
        let mut refused = None;
        for folder in &self.folders {
            let path = folder.join(&self.name);
            let opened = PrivateFolder::open(folder).map_err(|error| error.to_string());
            match opened.and_then(|_| HandOverSocket::at(&path)) {
                Ok(waiting) => return waiting.take().map_err(|reason| TakeOverError { path, reason }),
                Err(reason) => refused = refused.or(Some(TakeOverError { path, reason })),
            }
        }
        let nowhere =
            || TakeOverError { path: PathBuf::new(), reason: "no folder is configured for it".to_owned() };
        Err(refused.unwrap_or_else(nowhere))
    }
}

/// Why no listeners were taken over.
#[derive(Debug)]
pub(super) struct TakeOverError {
    pub(super) path: PathBuf,
    pub(super) reason: String,
}

/// The socket at which the next process waits, removed with the value.
struct HandOverSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl HandOverSocket {
    fn at(path: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| error.to_string();
        if let Ok(found) = fs::symlink_metadata(path) {
            if !found.file_type().is_socket() || found.uid() != user() {
                return Err("this file is no socket of this user; look at it and remove it".to_owned());
            }
            // A socket without a listener was left by a process that was killed.
            if UnixStream::connect(path).is_ok() {
                return Err("another process waits here for the sockets; end it first".to_owned());
            }
            fs::remove_file(path).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let waiting = Self { listener, path: path.to_owned() };
        waiting.listener.set_nonblocking(true).map_err(failed)?;
        Ok(waiting)
    }

    fn take(&self) -> Result<Vec<BoundListener>, String> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match self.listener.accept() {
                Ok((running, _)) => match taken(&running) {
                    Ok(Some(listeners)) => return Ok(listeners),
                    // Another process checked whether this one waits.
                    Ok(None) => {}
                    Err(reason) => tracing::warn!(reason, "sockets were offered and refused"),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(POLL),
                Err(error) => return Err(error.to_string()),
            }
        }
        Err(format!("nothing came within {} s", PATIENCE.as_secs()))
    }
}

impl Drop for HandOverSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The listeners that the process at the other end sends, if it sends any.
fn taken(running: &UnixStream) -> Result<Option<Vec<BoundListener>>, String> {
    is_ours(running)?;
    let failed = |error: io::Error| error.to_string();
    running
        .set_nonblocking(false)
        .and_then(|()| running.set_read_timeout(Some(ANSWER_TIMEOUT)))
        .map_err(failed)?;
    let Some((names, listeners)) = receive(running).map_err(failed)? else { return Ok(None) };
    let addresses: Vec<SocketAddr> = names.split(' ').filter_map(|name| name.parse().ok()).collect();
    if addresses.len() != listeners.len() {
        return Err(format!("{} listeners came with {} addresses", listeners.len(), addresses.len()));
    }
    let listeners = listeners.into_iter().map(TcpListener::from);
    let bound = |(address, listener)| BoundListener { address, listener };
    let listeners: Vec<_> = addresses.into_iter().zip(listeners).map(bound).collect();
    if let Some(other) = listeners.iter().find(|bound| !listens_at(&bound.listener, bound.address)) {
        return Err(format!("the socket sent for {} does not listen there", other.address));
    }
    let mut answer: &UnixStream = running;
    answer.write_all(TAKEN).map_err(failed)?;
    Ok(Some(listeners))
}

/// Whether `listener` listens at `address`. Port 0 stands for any port.
fn listens_at(listener: &TcpListener, address: SocketAddr) -> bool {
    let is_there = listener.local_addr().is_ok_and(|found| {
        found.ip() == address.ip() && (address.port() == 0 || found.port() == address.port())
    });
    is_there && socket_acceptconn(listener).unwrap_or(false)
}

/// Asks the kernel whether the process at the other end is of this user. Answers with its number.
fn is_ours(stream: &UnixStream) -> Result<u32, String> {
    let peer = socket_peercred(stream).map_err(|error| error.to_string())?;
    let other = peer.uid.as_raw();
    if other == user() {
        return Ok(peer.pid.as_raw_nonzero().get().unsigned_abs());
    }
    Err(format!("the process at the other end belongs to user {other}, and this one to user {}", user()))
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket() && found.uid() == user())
}

fn send(next: &UnixStream, listeners: &[BoundListener]) -> io::Result<()> {
    let names: Vec<String> = listeners.iter().map(|bound| bound.address.to_string()).collect();
    let listeners: Vec<_> = listeners.iter().map(|bound| bound.listener.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&listeners)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let names = names.join(" ");
    let sent = sendmsg(next, &[IoSlice::new(names.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    if sent == names.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives addresses, and listeners that no child process inherits; `None` where the other end closed the connection.
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

    fn hand_over(home: &TempDir) -> HandOver {
        HandOver { folders: vec![home.path().join("run")], name: "upgrade.sock".to_owned() }
    }

    fn listener() -> BoundListener {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        BoundListener { address: listener.local_addr().unwrap(), listener }
    }

    /// What the running process is answered, and what the next one has then.
    fn exchanged(
        meeting: &HandOver,
        listeners: &[BoundListener],
    ) -> (Result<u32, String>, Result<Vec<BoundListener>, TakeOverError>) {
        let path = meeting.folders[0].join(&meeting.name);
        thread::scope(|scope| {
            let next = scope.spawn(|| meeting.take_over());
            while !is_socket(&path) {
                thread::yield_now();
            }
            let sent = meeting.hand_over(listeners);
            (sent, next.join().unwrap())
        })
    }

    #[test]
    fn listeners_come_as_they_are_called_and_the_place_is_left_clean() {
        let home = TempDir::new().unwrap();
        let (meeting, listeners) = (hand_over(&home), [listener(), listener()]);
        assert!(meeting.hand_over(&listeners).unwrap_err().contains("--upgrade"), "nobody waits yet");
        let (sent, taken) = exchanged(&meeting, &listeners);
        assert_eq!(sent, Ok(std::process::id()));
        let taken = taken.unwrap();
        let addresses =
            |listeners: &[BoundListener]| listeners.iter().map(|bound| bound.address).collect::<Vec<_>>();
        assert_eq!(addresses(&taken), addresses(&listeners));
        assert_eq!(taken[1].listener.local_addr().unwrap(), listeners[1].address);
        assert!(PrivateFolder::open(&meeting.folders[0]).unwrap().names().unwrap().is_empty());
    }

    #[test]
    fn what_is_planted_at_the_place_is_refused() {
        let home = TempDir::new().unwrap();
        let meeting = hand_over(&home);
        let run = PrivateFolder::open(&meeting.folders[0]).unwrap();
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

        let linked = HandOver { folders: vec![home.path().join("linked")], ..meeting.clone() };
        symlink(run.path(), &linked.folders[0]).unwrap();
        assert!(linked.take_over().unwrap_err().reason.contains("is a link"));
        assert!(linked.hand_over(&[listener()]).is_err());
    }

    #[test]
    fn a_listener_that_is_another_is_refused() {
        let (BoundListener { mut address, listener }, connected) = (listener(), listener());
        assert!(listens_at(&listener, address));
        assert!(listens_at(&listener, SocketAddr::from(([127, 0, 0, 1], 0))));
        address.set_port(1);
        assert!(!listens_at(&listener, address));
        let stream = std::net::TcpStream::connect(connected.address).unwrap();
        let address = stream.local_addr().unwrap();
        assert!(!listens_at(&TcpListener::from(OwnedFd::from(stream)), address), "a connection");
    }
}
