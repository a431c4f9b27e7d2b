//! Actions of commands beside the proxy, in its audit record.
//!
//! Owns that a line which cannot be written is reported and stops nothing: the action has happened. Must not know what is
//! recorded.

use std::path::Path;

use crate::audit_record::{Actor, AuditAction, AuditEntry, AuditFile};
use crate::causes::with_causes;
use crate::clock::{Clock, SystemClock};
use crate::private;

/// An entry about this command.
pub(super) fn entry(what: AuditAction) -> AuditEntry {
    AuditEntry::new(what, &Actor::Command(private::user()), None)
}

/// Appends an entry to the audit record at `path`, if the configuration names one.
pub(super) fn record(path: Option<&Path>, entry: AuditEntry) {
    let Some(path) = path else { return };
    let written = AuditFile::open(path).map_err(|error| with_causes(&error)).and_then(|mut file| {
        file.append(&[(SystemClock::default().now(), entry)]).map_err(|error| with_causes(&error))
    });
    if let Err(why) = written {
        super::complain(&format!("this is not in the audit record at {}: {why}", path.display()));
    }
}
