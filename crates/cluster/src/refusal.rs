//! What an error of the server or of its library means.
//!
//! Owns that table, and the commands that may be refused. Must not know when they are used, and passes on nothing of the text.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::fault::EngineFault;

/// Every command that scripts use, with what follows its key, so that the key is as it was or soon gone.
pub(crate) const PROBES: [(&str, &[&str]); 11] = [
    ("GET", &[]),
    ("SET", &["0", "XX"]),
    ("INCR", &[]),
    ("PEXPIRE", &["1000"]),
    ("PTTL", &[]),
    ("DEL", &[]),
    ("ZADD", &["XX", "0", "0"]),
    ("ZREMRANGEBYSCORE", &["0", "0"]),
    ("ZCARD", &[]),
    ("XADD", &["NOMKSTREAM", "*", "0", "0"]),
    ("XRANGE", &["-", "+"]),
];
/// The others that are used.
const OTHER_COMMANDS: [&str; 6] = ["TIME", "INFO", "EVALSHA", "SCRIPT|LOAD", "SCRIPT", "SELECT"];

/// What an error means.
pub(crate) fn fault(error: &RedisError) -> EngineFault {
    // A script that was refused something says so in the middle of its text.
    let text = error.to_string();
    match error.code() {
        Some("OOM") => return EngineFault::Full,
        Some("MISCONF" | "READONLY" | "NOREPLICAS") => return EngineFault::ReadOnly,
        Some("LOADING" | "MASTERDOWN" | "BUSY") => return EngineFault::Starting,
        Some("MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" | "TRYAGAIN") => return EngineFault::Sharded,
        Some("NOAUTH" | "WRONGPASS") => return EngineFault::Password,
        Some("NOPERM") => return EngineFault::Forbidden(forbidden(&text)),
        Some("WRONGTYPE") => return EngineFault::OtherType,
        Some(_) | None => {}
    }
    if text.contains("WRONGTYPE") {
        return EngineFault::OtherType;
    }
    if text.contains("NOPERM")
        || text.contains("ACL failure")
        || text.contains("The user executing the script")
    {
        return EngineFault::Forbidden(forbidden(&text));
    }
    if text.contains("-OOM") || text.contains("OOM command not allowed") {
        return EngineFault::Full;
    }
    if text.contains("READONLY") || text.contains("MISCONF") {
        return EngineFault::ReadOnly;
    }
    if error.is_timeout() {
        return EngineFault::Slow;
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => EngineFault::Password,
        ErrorKind::Server(ServerErrorKind::ReadOnly) => EngineFault::ReadOnly,
        ErrorKind::Server(ServerErrorKind::NoPerm) => EngineFault::Forbidden(forbidden(&text)),
        ErrorKind::InvalidClientConfig => EngineFault::Address,
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType | ErrorKind::Server(_) => EngineFault::Unreadable,
        // Whoever answers is reached.
        _ if error.code().is_some() => EngineFault::Unreadable,
        _ => EngineFault::Broken,
    }
}

/// What an error means that is the answer to the choice of a database.
pub(crate) fn of_selecting(database: u16, error: &RedisError) -> EngineFault {
    match error.code() {
        // A node of a Redis Cluster has one database only, and says so.
        Some("ERR") if error.to_string().contains("cluster mode") => EngineFault::Sharded,
        Some("ERR") => EngineFault::Database(database),
        Some(_) | None => fault(error),
    }
}

/// What a server's refusal names.
fn forbidden(text: &str) -> &'static str {
    let text = text.to_ascii_lowercase();
    let named = |command: &&str| text.contains(&format!("'{}'", command.to_ascii_lowercase()));
    let commands = PROBES.iter().map(|(command, _)| *command).chain(OTHER_COMMANDS);
    match commands.into_iter().find(named) {
        Some(command) => command,
        None if text.contains("key") => "the keys of cluster.prefix",
        None => "a needed command",
    }
}
