//! Releases that Git delivers, as clients of the proxy see them: the real `git http-backend` delivers, and hostile servers try to.

mod delivered;
mod guarded;
mod host;
mod hostile;
mod kept;
mod late;
mod moved;

use crate::support::Release;
use crate::support::tarball::Entry;

fn lamp(version: &str) -> Release {
    Release::new("@acme/lamp", version).adding(Entry::file("docs/unicode.txt", "안녕\r\n"))
}
