//! Bounds: what a bundle may take of memory, and how much of it there may be.
//!
//! Owns a test that reaches each bound. Must not know damage.

use std::fs::{self, File};
use std::io::{self, Read};

use allocation_counter::measure;
use bundle::{
    BundleOpenError, MAX_ITEMS, MAX_MANIFEST, ManifestReadError, OpenBundle, Receipt, read_manifest,
};

use super::fixture::{LAYOUTS, State, fault, head, home, key, open, scratch, small_bundle};

#[test]
fn an_inspection_remembers_little_of_each_blob() {
    for layout in [None, Some(1 << 20)] {
        let (home, state) = (home(), State::of_documents(20_000, 8));
        let key = key(home.path());
        let path = home.path().join("b");
        state.export(&path, layout, head(&key), &key).unwrap();
        let trusted = [key.public().clone()];
        let taken = measure(|| {
            let inspection = open(&path, &trusted).inspect().unwrap();
            assert_eq!((inspection.documents, inspection.problems.len()), (20_000, 0));
        });
        // A list that grows is there twice for a moment.
        assert!(taken.bytes_max < 20_000 * 64 * 3 + (1 << 20), "{} bytes", taken.bytes_max);
    }
}

#[test]
fn a_blob_takes_no_memory_by_its_size() {
    for layout in LAYOUTS {
        let (home, state) = (home(), State::of_documents(1, 16 << 20));
        let key = key(home.path());
        let path = home.path().join("b");
        let taken = measure(|| {
            state.export(&path, layout, head(&key), &key).unwrap();
            assert_eq!(fault(&path, &[key.public().clone()]), None);
        });
        assert!(taken.bytes_max < 2 << 20, "{} bytes", taken.bytes_max);
    }
}

#[test]
fn a_manifest_that_is_too_large_is_not_read() {
    let home = home();
    let (path, trusted) = small_bundle(home.path(), None);
    let file = File::options().write(true).open(path.join("manifest.json")).unwrap();
    file.set_len(MAX_MANIFEST + 1).unwrap();
    let opened = OpenBundle::open(&path, std::slice::from_ref(&trusted), scratch());
    assert!(matches!(opened, Err(BundleOpenError::TooLarge)));
    fs::write(path.join("manifest.json.minisig"), vec![b'x'; 1 << 20]).unwrap();
    file.set_len(10).unwrap();
    assert_eq!(open(&path, &[trusted]).signature().as_str(), "bad");
}

/// A text with a list of as many items as are asked for, made as it is read.
struct Endless<F> {
    item: F,
    number: usize,
    piece: Vec<u8>,
}

impl<F: Fn(usize) -> String> Endless<F> {
    fn new(begin: &str, item: F) -> Self {
        Self { item, number: 0, piece: begin.as_bytes().to_vec() }
    }
}

impl<F: Fn(usize) -> String> Read for Endless<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            self.piece = (self.item)(self.number).into_bytes();
            self.number += 1;
        }
        let read = self.piece.len().min(buffer.len());
        buffer[..read].copy_from_slice(&self.piece[..read]);
        self.piece.drain(..read);
        Ok(read)
    }
}

#[test]
fn lists_have_an_end() {
    let comma = |number| if number == 0 { "" } else { "," };
    let manifest = || {
        let item = |number| format!("{}{{\"root\":\"{number:09}\",\"reason\":\"x\"}}", comma(number));
        Endless::new("{\"format\":\"scriptorium-bundle/1\",\"missing\":[", item)
    };
    let mut seen = 0;
    let read = read_manifest(manifest, |_| {
        seen += 1;
        Ok::<_, ManifestReadError>(())
    });
    assert!(read.unwrap_err().to_string().contains("too many items"));
    assert_eq!(seen, MAX_ITEMS);
    let digest = |number| format!("{}\"{number:064x}\"", comma(number));
    let receipt = Endless::new("{\"format\":\"scriptorium-receipt/1\",\"documents\":[", digest);
    assert!(Receipt::read(receipt).unwrap_err().to_string().contains("too many digests"));
}
