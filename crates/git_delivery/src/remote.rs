//! A repository on a server: what the server can do, which commit a reference names, and the pack of a commit.
//!
//! Owns the commands `ls-refs` and `fetch` of protocol version 2, and the order of a fetch: received, indexed, found complete, then committed to
//! the folder of the repository. Must not know HTTP, hosts, or what a release is.

use std::collections::BTreeMap;
use std::path::Path;

use gix_hash::ObjectId;

use crate::pack::StagedPack;
use crate::packet_lines::{Command, PacketLine, PacketLines};
use crate::transport::{GitRequest, GitTransport, ask};
use crate::{CommitId, FetchError, GitAllowance, GitExcess, GitObjects, GitReference, RepositoryFolder};

/// The longest advertisement of abilities.
const MAX_ABILITIES: u64 = 64 << 10;
/// The most commits that one fetch asks for.
pub const MAX_WANTED: usize = 64;

/// A repository whose server was asked what it can do.
pub struct RemoteRepository<'a> {
    transport: &'a mut dyn GitTransport,
    allowance: &'a GitAllowance<'a>,
    abilities: Abilities,
}

/// What a server can do.
#[derive(Debug, Default, Clone, Copy)]
struct Abilities {
    fetches: bool,
    /// Whether it gives a commit without its history.
    shallow: bool,
    /// Whether it wants to be told the kind of names.
    object_format: bool,
}

impl<'a> RemoteRepository<'a> {
    /// Asks the server what it can do.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn connect(
        transport: &'a mut dyn GitTransport,
        allowance: &'a GitAllowance<'a>,
    ) -> Result<Self, FetchError> {
        let limit = (MAX_ABILITIES, GitExcess::Listing(MAX_ABILITIES));
        let body = ask(&mut *transport, &GitRequest::Abilities, allowance, limit)?;
        let abilities = Abilities::read(&mut PacketLines::of(body))?;
        Ok(Self { transport, allowance, abilities })
    }

    /// The commits that references name, in their order: that of a tag is the one that the tag points at. `None` for a reference that
    /// the server does not have.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn resolve(&mut self, references: &[GitReference]) -> Result<Vec<Option<CommitId>>, FetchError> {
        let candidates = |reference: &GitReference| match reference {
            GitReference::Commit(_) => Vec::new(),
            GitReference::Name(name) => name.candidates(),
        };
        let mut listed: BTreeMap<String, Option<ObjectId>> =
            references.iter().flat_map(candidates).map(|name| (name, None)).collect();
        if !listed.is_empty() {
            self.list(&mut listed)?;
        }
        let named = |reference: &GitReference| match reference {
            GitReference::Commit(commit) => Some(*commit),
            GitReference::Name(_) => candidates(reference)
                .iter()
                .find_map(|name| listed.get(name).copied().flatten())
                .map(CommitId),
        };
        Ok(references.iter().map(named).collect())
    }

    fn list(&mut self, listed: &mut BTreeMap<String, Option<ObjectId>>) -> Result<(), FetchError> {
        let command = self.command("ls-refs").line("peel");
        let command =
            listed.keys().fold(command, |command, name| command.line(&format!("ref-prefix {name}")));
        let max_listing = self.allowance.limits().max_listing;
        let limit = (max_listing, GitExcess::Listing(max_listing));
        let command = command.end();
        let body = ask(&mut *self.transport, &GitRequest::Command(&command), self.allowance, limit)?;
        let mut lines = PacketLines::of(body);
        loop {
            let line = match lines.next_line()? {
                PacketLine::Text(line) => line,
                PacketLine::SectionEnd => {
                    return Err(FetchError::Malformed("a list of references has sections"));
                }
                PacketLine::End => return Ok(()),
            };
            let (id, name) =
                listed_reference(line).ok_or(FetchError::Malformed("a line names no reference"))?;
            if let Some(listed) = listed.get_mut(name) {
                *listed = Some(id);
            }
        }
    }

    /// Fetches commits without their history, where the server can, into `folder`. Returns the objects that came, which can be read whatever
    /// becomes of the folder. The pack is staged in `staging`, which is on the same file system, and nothing is left there.
    ///
    /// # Errors
    /// [`FetchError`]; then nothing is kept.
    pub fn fetch(
        &mut self,
        wanted: &[CommitId],
        folder: &RepositoryFolder,
        staging: &Path,
    ) -> Result<GitObjects, FetchError> {
        debug_assert!(!wanted.is_empty() && wanted.len() <= MAX_WANTED, "callers bound what they want");
        let command = self.command("fetch").line("no-progress").line("ofs-delta");
        let command = if self.abilities.shallow { command.line("deepen 1") } else { command };
        let command = wanted.iter().fold(command, |command, id| command.line(&format!("want {id}")));
        let command = command.line("done").end();
        let max_pack = self.allowance.limits().max_pack;
        // Lines have heads, and those about progress are no part of the pack.
        let limit = (max_pack.saturating_add(max_pack / 16 + (1 << 20)), GitExcess::Pack(max_pack));
        let body = ask(&mut *self.transport, &GitRequest::Command(&command), self.allowance, limit)?;
        let mut lines = PacketLines::of(body);
        find_pack(&mut lines)?;
        let staged = lines.pack(|pack| StagedPack::receive(pack, staging, self.allowance))?;
        let objects = staged.complete(wanted, self.allowance)?;
        folder.take(staged)?;
        Ok(objects)
    }

    fn command(&self, name: &str) -> Command {
        let command = Command::default().line(&format!("command={name}"));
        let command = if self.abilities.object_format { command.line("object-format=sha1") } else { command };
        command.section()
    }
}

impl Abilities {
    fn read(lines: &mut PacketLines<'_>) -> Result<Self, FetchError> {
        let mut next = Self::first(lines)?;
        // Some servers say first which service answers.
        if next.starts_with(b"# service=") {
            let PacketLine::End = lines.next_line()? else {
                return Err(FetchError::Malformed("a service is named twice"));
            };
            lines.reopen();
            next = Self::first(lines)?;
        }
        if next != b"version 2" {
            return Err(FetchError::Unsupported("it does not speak version 2 of the protocol"));
        }
        let mut abilities = Self::default();
        loop {
            let line = match lines.next_line()? {
                PacketLine::Text(line) => line,
                PacketLine::SectionEnd => {
                    return Err(FetchError::Malformed("a list of abilities has sections"));
                }
                PacketLine::End => break,
            };
            let (name, value) = match line.iter().position(|byte| *byte == b'=') {
                Some(at) => (&line[..at], &line[at + 1..]),
                None => (line, &[][..]),
            };
            match name {
                b"fetch" => {
                    abilities.fetches = true;
                    abilities.shallow = value.split(|byte| *byte == b' ').any(|word| word == b"shallow");
                }
                b"object-format" if value != b"sha1" => {
                    return Err(FetchError::Unsupported(
                        "its repository names objects by another hash than SHA-1",
                    ));
                }
                b"object-format" => abilities.object_format = true,
                _ => {}
            }
        }
        match abilities.fetches {
            true => Ok(abilities),
            false => Err(FetchError::Unsupported("it does not offer to fetch")),
        }
    }

    fn first(lines: &mut PacketLines<'_>) -> Result<Vec<u8>, FetchError> {
        match lines.next_line()? {
            PacketLine::Text(line) => Ok(line.to_vec()),
            PacketLine::SectionEnd | PacketLine::End => Err(FetchError::Malformed("it begins with no line")),
        }
    }
}

/// Name and object of `<object> <name>[ <attribute>]…`; for a tag the object that it points at.
fn listed_reference(line: &[u8]) -> Option<(ObjectId, &str)> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (id, name) = (words.next()?, words.next()?);
    let peeled = words.find_map(|word| word.strip_prefix("peeled:"));
    let id = ObjectId::from_hex(peeled.unwrap_or(id).as_bytes()).ok()?;
    Some((id, name))
}

/// Reads up to the line behind which the pack begins.
fn find_pack(lines: &mut PacketLines<'_>) -> Result<(), FetchError> {
    let mut head = true;
    loop {
        head = match lines.next_line()? {
            PacketLine::Text(b"packfile") if head => return Ok(()),
            PacketLine::Text(_) => false,
            PacketLine::SectionEnd => true,
            PacketLine::End => return Err(FetchError::Malformed("it has no pack")),
        };
    }
}
