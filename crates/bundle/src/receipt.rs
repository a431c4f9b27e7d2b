//! The receipt: what a receiver holds, so that a sender can leave it out.
//!
//! Owns the receipt's text, its digest and the difference. Must not know what the digests stand for.

use std::fmt;
use std::io::{self, BufReader, Read, Write};

use archive::Sha256;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hashing::Hashing;
use super::layout::MAX_ITEMS;
use super::manifest::{BoundedStrings, ManifestReadError, describe, object};

const FORMAT: &str = "scriptorium-receipt/1";
/// Most bytes: two full lists, with blanks.
const MAX_RECEIPT: u64 = 256 << 20;

/// Why a receipt cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The bytes do not come.
    #[error("the receipt cannot be read: {0}")]
    Io(#[source] io::Error),
    /// It is of another version, or something else.
    #[error("the receipt has the format `{0}`, and this version reads `{FORMAT}`")]
    Format(String),
    /// It is not a receipt.
    #[error("the receipt is malformed: {0}")]
    Malformed(String),
}

/// The digests of what a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    documents: Vec<Sha256>,
    files: Vec<Sha256>,
}

impl Receipt {
    /// A receipt of these documents and files; how often and in which order they come does not matter.
    #[must_use]
    pub fn new(mut documents: Vec<Sha256>, mut files: Vec<Sha256>) -> Self {
        for digests in [&mut documents, &mut files] {
            digests.sort_unstable();
            digests.dedup();
        }
        Self { documents, files }
    }

    /// Reads a receipt to its end, and gives the digest of its bytes: the `base` of a bundle that is made for it.
    ///
    /// # Errors
    /// [`ReceiptError`]
    pub fn read(source: impl Read) -> Result<(Self, Sha256), ReceiptError> {
        let mut source = Hashing::new(source.take(MAX_RECEIPT));
        let mut json =
            serde_json::Deserializer::from_reader(BufReader::new(BoundedStrings::new(&mut source)));
        let read = object::<ReceiptFields<String, Digests>, _>(&mut json)
            .and_then(|fields| json.end().map(|()| fields));
        drop(json);
        let fields = read.map_err(|error| match describe(error) {
            ManifestReadError::Io(error) => ReceiptError::Io(error),
            ManifestReadError::Format(told) | ManifestReadError::Malformed(told) => {
                ReceiptError::Malformed(told)
            }
        })?;
        if fields.format != FORMAT {
            return Err(ReceiptError::Format(super::layout::excerpt(&fields.format)));
        }
        let (Digests(documents), Digests(files)) = (fields.documents, fields.files);
        Ok((Self { documents, files }, source.hasher.finish()))
    }

    /// Writes it, and gives the digest of what was written.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, sink: impl Write) -> io::Result<Sha256> {
        let mut sink = Hashing::new(io::BufWriter::new(sink));
        let fields =
            ReceiptFields { format: FORMAT, documents: Listed(&self.documents), files: Listed(&self.files) };
        serde_json::to_writer(&mut sink, &fields)?;
        sink.write_all(b"\n")?;
        sink.flush()?;
        Ok(sink.hasher.finish())
    }

    /// Whether the receiver lacks a document.
    #[must_use]
    pub fn lacks_document(&self, digest: &Sha256) -> bool {
        self.documents.binary_search(digest).is_err()
    }

    /// Whether the receiver lacks a file.
    #[must_use]
    pub fn lacks_file(&self, digest: &Sha256) -> bool {
        self.files.binary_search(digest).is_err()
    }

    /// The documents and files of `self` that `other` does not have.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Self {
        let lacking = |mine: &[Sha256], theirs: &[Sha256]| {
            mine.iter().filter(|digest| theirs.binary_search(digest).is_err()).copied().collect()
        };
        Self {
            documents: lacking(&self.documents, &other.documents),
            files: lacking(&self.files, &other.files),
        }
    }

    /// The documents, in order.
    #[must_use]
    pub fn documents(&self) -> &[Sha256] {
        &self.documents
    }

    /// The files, in order.
    #[must_use]
    pub fn files(&self) -> &[Sha256] {
        &self.files
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptFields<F, D> {
    format: F,
    documents: D,
    files: D,
}

struct Listed<'a>(&'a [Sha256]);

impl Serialize for Listed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Sha256::hex))
    }
}

struct Digests(Vec<Sha256>);

impl<'de> Deserialize<'de> for Digests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(DigestsVisitor).map(Self)
    }
}

struct DigestsVisitor;

impl<'de> Visitor<'de> for DigestsVisitor {
    type Value = Vec<Sha256>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of digests")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Sha256>, A::Error> {
        use serde::de::Error as _;
        let mut digests: Vec<Sha256> = Vec::new();
        while let Some(text) = items.next_element::<String>()? {
            let digest = Sha256::from_hex(&text)
                .map_err(|_| A::Error::custom("expected digests of 64 lowercase hexadecimal digits"))?;
            if digests.last().is_some_and(|last| *last >= digest) {
                return Err(A::Error::custom("a digest comes twice, or they are not in order"));
            }
            if digests.len() >= MAX_ITEMS {
                return Err(A::Error::custom("too many digests"));
            }
            digests.push(digest);
        }
        Ok(digests)
    }
}
