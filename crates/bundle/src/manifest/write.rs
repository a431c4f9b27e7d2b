//! From items to the text of a manifest: the head in one line, then one for each item.
//!
//! Owns the one text that a state has. Must not know where it is written, nor whether what it lists is there.

use std::any::Any;
use std::io::{self, Write};

use super::head::{FORMAT, ManifestHead};
use super::item::{ListedItem, ManifestSection};

/// Why an item cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum UnorderedItem {
    /// The text cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A field is out of bounds.
    #[error("an item of `{section}`: {told}", section = section.as_str())]
    Invalid {
        /// The list.
        section: ManifestSection,
        /// What is expected.
        told: &'static str,
    },
    /// It comes twice, or after one that it should precede.
    #[error("an item of `{}` comes twice or out of order", .0.as_str())]
    Order(ManifestSection),
    /// There are too many.
    #[error("`{}` has too many items; make several bundles", .0.as_str())]
    TooMany(ManifestSection),
}

/// Writes a manifest: the head, then the lists one after another.
pub struct ManifestWriter<W> {
    out: W,
    /// How many lists were begun.
    begun: usize,
    /// Items of the list that is open.
    items: usize,
    /// The item that was written last.
    last: Option<Box<dyn Any>>,
}

impl<W: Write> ManifestWriter<W> {
    /// Writes the head, which was checked.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(mut out: W, head: &ManifestHead) -> io::Result<Self> {
        let fields = serde_json::to_string(head)?;
        let fields = fields.strip_prefix('{').and_then(|fields| fields.strip_suffix('}')).unwrap_or_default();
        write!(out, "{{\"format\":\"{FORMAT}\",{fields}")?;
        Ok(Self { out, begun: 0, items: 0, last: None })
    }

    /// Writes an item, which must stand after the one before.
    ///
    /// # Errors
    /// [`UnorderedItem`]
    pub fn item<T: ListedItem>(&mut self, item: &T) -> Result<(), UnorderedItem> {
        let section = T::SECTION;
        item.check().map_err(|told| UnorderedItem::Invalid { section, told })?;
        let before = self.last.as_ref().and_then(|last| last.downcast_ref::<T>());
        if self.begun > section as usize + 1 || before.is_some_and(|before| !before.precedes(item)) {
            return Err(UnorderedItem::Order(section));
        }
        self.begin(section as usize + 1)?;
        if self.items >= T::MOST {
            return Err(UnorderedItem::TooMany(section));
        }
        self.out.write_all(if self.items == 0 { b"\n" } else { b",\n" })?;
        self.items += 1;
        self.last = Some(Box::new(item.clone()));
        Ok(serde_json::to_writer(&mut self.out, item).map_err(io::Error::from)?)
    }

    /// Begins every list up to this one.
    fn begin(&mut self, lists: usize) -> io::Result<()> {
        while let Some(section) = ManifestSection::ALL.get(self.begun).filter(|_| self.begun < lists) {
            let end = if self.begun == 0 { "" } else { "]" };
            write!(self.out, "{end},\n\"{}\":[", section.as_str())?;
            (self.begun, self.items) = (self.begun + 1, 0);
        }
        Ok(())
    }

    /// Writes the end.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.begin(ManifestSection::ALL.len())?;
        self.out.write_all(b"]}\n")?;
        self.out.flush()?;
        Ok(self.out)
    }
}
