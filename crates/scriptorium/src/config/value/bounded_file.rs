//! Reading a file that an operator names, up to a bound.
//!
//! Owns the bound and its words. What is no plain file, such as a pipe, is read up to it as well. Must not know what is in the file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The bytes of the file at `path`, at most `longest`.
pub(super) fn read_bytes(path: &Path, longest: u64) -> Result<Vec<u8>, String> {
    let (file, mut bytes) = (File::open(path).map_err(|error| error.to_string())?, Vec::new());
    file.take(longest.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    match bytes.len() as u64 > longest {
        true => Err(format!("it is longer than {longest} bytes")),
        false => Ok(bytes),
    }
}

/// The same of a text.
pub(super) fn read_text(path: &Path, longest: u64) -> Result<String, String> {
    String::from_utf8(read_bytes(path, longest)?).map_err(|_| "it is no UTF-8 text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert!(read_bytes(&path, 5).is_err());
        std::fs::write(&path, "hello").unwrap();
        assert_eq!(read_text(&path, 5).as_deref(), Ok("hello"));
        assert_eq!(read_bytes(&path, 4), Err("it is longer than 4 bytes".to_owned()));
        assert!(read_bytes(Path::new("/dev/zero"), 4).is_err(), "whatever its length says");
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(read_text(&path, 5), Err("it is no UTF-8 text".to_owned()));
    }
}
