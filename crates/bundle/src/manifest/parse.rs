//! From the text of a manifest to its items, one after another.
//!
//! Owns the strict reading: every field once, none that is unknown, lists in order and within bounds. Must not know what
//! becomes of an item. Nothing is known to be whole until the reader has reached the end.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::head::{Coverage, FORMAT, ManifestHead};
use super::item::{
    BundleGap, BundlePart, BundledDocument, BundledFile, BundledPin, ListedItem, ManifestItem,
};
use super::long_strings::BoundedStrings;
use crate::keys::KeyId;
use crate::layout::excerpt;
use archive::Sha256;

/// Why a manifest cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestReadError {
    /// The bytes do not come.
    #[error("the manifest cannot be read: {0}")]
    Io(#[source] io::Error),
    /// It is of another version.
    #[error("the bundle has the format `{0}`, and this version reads `{FORMAT}`")]
    Format(String),
    /// It is not a manifest.
    #[error("the manifest is malformed: {0}")]
    Malformed(String),
}

/// Reads a manifest to its end and gives its head, after each item in the order in which they stand. `open` gives its text
/// from the beginning, which is read twice.
///
/// `visit` may stop it with an error of its own. What it saw before an error must not be acted upon, unless the manifest was
/// read to its end before.
///
/// # Errors
/// [`ManifestReadError`], or what `visit` gave.
pub fn read_manifest<R: Read, E: From<ManifestReadError>>(
    open: impl Fn() -> R,
    mut visit: impl FnMut(ManifestItem<'_>) -> Result<(), E>,
) -> Result<ManifestHead, E> {
    let source = || io::BufReader::new(BoundedStrings::new(open()));
    read_format(source())?;
    let stopped = Cell::new(None);
    let mut sink = |item: ManifestItem<'_>| match visit(item) {
        Ok(()) => true,
        Err(error) => {
            stopped.set(Some(error));
            false
        }
    };
    let mut json = serde_json::Deserializer::from_reader(source());
    let read = ManifestVisitor(&mut sink).deserialize(&mut json).and_then(|head| json.end().map(|()| head));
    match (read, stopped.take()) {
        (_, Some(error)) => Err(error),
        (Ok(head), None) => Ok(head),
        (Err(error), None) => Err(describe(error).into()),
    }
}

/// What serde's error means, without a stranger's text at full length.
pub(crate) fn describe(error: serde_json::Error) -> ManifestReadError {
    if error.is_io() && error.io_error_kind() != Some(io::ErrorKind::InvalidData) {
        return ManifestReadError::Io(error.into());
    }
    ManifestReadError::Malformed(excerpt(&error.to_string()))
}

/// Looks for the version first, so that a manifest of a later one is told by its version and not by its fields.
fn read_format(source: impl Read) -> Result<(), ManifestReadError> {
    let found = Cell::new(None);
    let read = FormatVisitor(&found).deserialize(&mut serde_json::Deserializer::from_reader(source));
    match (found.take(), read) {
        (Some(format), _) if format == FORMAT => Ok(()),
        (Some(format), _) => Err(ManifestReadError::Format(excerpt(&format))),
        (None, Err(error)) => Err(describe(error)),
        (None, Ok(())) => Err(ManifestReadError::Malformed("missing field `format`".to_owned())),
    }
}

struct FormatVisitor<'a>(&'a Cell<Option<String>>);

impl<'de> DeserializeSeed<'de> for FormatVisitor<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FormatVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "format" {
                self.0.set(Some(map.next_value()?));
                return Err(A::Error::custom("enough was read"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Format,
    Origin,
    KeyId,
    Sequence,
    Kind,
    Base,
    Created,
    Expires,
    Documents,
    Files,
    Pins,
    Missing,
    Parts,
}

/// Takes an item, and says whether to go on.
type Sink<'a> = &'a mut dyn FnMut(ManifestItem<'_>) -> bool;

struct ManifestVisitor<'a>(Sink<'a>);

impl<'de> DeserializeSeed<'de> for ManifestVisitor<'_> {
    type Value = ManifestHead;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ManifestHead, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ManifestVisitor<'_> {
    type Value = ManifestHead;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the object of a manifest")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ManifestHead, A::Error> {
        let Self(sink) = self;
        let (mut format, mut origin, mut key_id) = (None, None, None);
        let (mut sequence, mut kind, mut base) = (None, None, None);
        let (mut created, mut expires) = (None, None);
        let (mut documents, mut files, mut pins) = (None, None, None);
        let (mut missing, mut parts) = (None, None);
        while let Some(field) = map.next_key()? {
            match field {
                Field::Format => once(&mut format, "format", map.next_value::<String>()?)?,
                Field::Origin => once(&mut origin, "origin", map.next_value::<String>()?)?,
                Field::KeyId => once(&mut key_id, "key_id", map.next_value::<KeyId>()?)?,
                Field::Sequence => once(&mut sequence, "sequence", map.next_value::<u64>()?)?,
                Field::Kind => once(&mut kind, "kind", map.next_value::<Coverage>()?)?,
                Field::Base => once(&mut base, "base", map.next_value::<Option<Sha256>>()?)?,
                Field::Created => once(&mut created, "created", map.next_value()?)?,
                Field::Expires => once(&mut expires, "expires", map.next_value()?)?,
                Field::Documents => {
                    once(&mut documents, "documents", list::<BundledDocument, A>(&mut map, sink)?)?;
                }
                Field::Files => once(&mut files, "files", list::<BundledFile, A>(&mut map, sink)?)?,
                Field::Pins => once(&mut pins, "pins", list::<BundledPin, A>(&mut map, sink)?)?,
                Field::Missing => once(&mut missing, "missing", list::<BundleGap, A>(&mut map, sink)?)?,
                Field::Parts => once(&mut parts, "parts", list::<BundlePart, A>(&mut map, sink)?)?,
            }
        }
        if needed(format, "format")? != FORMAT {
            return Err(A::Error::custom("`format` changed while it was read"));
        }
        needed(documents, "documents")?;
        let files: usize = needed(files, "files")?;
        needed(pins, "pins")?;
        needed(missing, "missing")?;
        let head = ManifestHead {
            origin: needed(origin, "origin")?,
            key_id: needed(key_id, "key_id")?,
            sequence: needed(sequence, "sequence")?,
            kind: needed(kind, "kind")?,
            base: needed(base, "base")?,
            created: needed(created, "created")?,
            expires: needed(expires, "expires")?,
        };
        head.check().map_err(A::Error::custom)?;
        if head.kind == Coverage::Lifecycle && files > 0 {
            return Err(A::Error::custom("a lifecycle bundle has no files"));
        }
        Ok(head)
    }
}

fn once<T, E: serde::de::Error>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

fn needed<T, E: serde::de::Error>(slot: Option<T>, name: &'static str) -> Result<T, E> {
    slot.ok_or_else(|| E::missing_field(name))
}

/// Reads one list; how many items it has.
fn list<'de, T: ListedItem, A: MapAccess<'de>>(map: &mut A, sink: Sink<'_>) -> Result<usize, A::Error> {
    map.next_value_seed(ListVisitor { sink, kind: PhantomData::<T> })
}

struct ListVisitor<'a, T> {
    sink: Sink<'a>,
    kind: PhantomData<T>,
}

impl<'de, T: ListedItem> DeserializeSeed<'de> for ListVisitor<'_, T> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: ListedItem> Visitor<'de> for ListVisitor<'_, T> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the list `{}`", T::SECTION.as_str())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<usize, A::Error> {
        let (mut before, mut count) = (None::<T>, 0);
        while let Some(Object(item)) = items.next_element::<Object<T>>()? {
            count += 1;
            let told = |what: &str| A::Error::custom(format!("`{}`: {what}", T::SECTION.as_str()));
            if count > T::MOST {
                return Err(told("too many items"));
            }
            item.check().map_err(told)?;
            if before.as_ref().is_some_and(|before| !before.precedes(&item)) {
                return Err(told("an item comes twice, or they are not in order"));
            }
            if !(self.sink)(item.as_item()) {
                return Err(told("stopped"));
            }
            before = Some(item);
        }
        Ok(count)
    }
}

/// A value from an object alone: what serde derives takes a list of the fields' values, too.
struct Object<T>(T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object(deserializer).map(Self)
    }
}

pub(crate) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Only<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Only(PhantomData))
}

/// An optional value whose field must be there.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}
