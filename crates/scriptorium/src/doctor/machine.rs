//! What the machine gives the process: open files and ports; and files of the configuration that others can read.
//!
//! Owns these checks. Must not know anything of registries or of the storage.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Diagnosis;
use crate::app;
use crate::config::{Config, PemFile, Server};
use crate::listen;
use crate::rights;

/// Reading and writing by everybody.
const EVERYBODY: u32 = 0o006;

pub(super) fn ports(server: &Server) -> Vec<Diagnosis> {
    vec![port("server.listen", server.listen), port("server.admin_listen", server.admin_listen)]
}

fn port(key: &'static str, address: SocketAddr) -> Diagnosis {
    let about = address.to_string();
    let error = match TcpListener::bind(address) {
        Ok(_) => return Diagnosis::good(key, about, "free"),
        Err(error) => error,
    };
    match (error.kind(), listen::port_holder(address)) {
        (ErrorKind::AddrInUse, Some(holder)) if holder.name == env!("CARGO_PKG_NAME") => {
            Diagnosis::good(key, about, format!("in use by {holder}, which is probably this proxy"))
        }
        (ErrorKind::AddrInUse, holder) => {
            let holder = holder.map_or("another process".to_owned(), |holder| holder.to_string());
            let advice = format!("stop it, or choose another `{key}`");
            Diagnosis::bad(key, about, format!("in use by {holder}")).advise(advice)
        }
        (ErrorKind::PermissionDenied, _) => Diagnosis::bad(key, about, "this user may not listen there")
            .advise("choose a port above 1023, or grant CAP_NET_BIND_SERVICE"),
        _ => Diagnosis::bad(key, about, error.to_string()).advise("name an address of this machine"),
    }
}

/// Whether so many connections can be open at once.
pub(super) fn descriptors(connections: usize) -> Diagnosis {
    let (check, about) = ("open files", String::new());
    let needed = app::descriptors_for(connections);
    match rlimit::Resource::NOFILE.get_hard() {
        Ok(most) if most >= needed => {
            Diagnosis::good(check, about, format!("{most} allowed, {needed} needed at most"))
        }
        Ok(most) => {
            let found = format!("{most} allowed, {needed} needed for limits.max_connections = {connections}");
            let advice = "raise the hard limit (LimitNOFILE, ulimit -Hn), or lower limits.max_connections";
            Diagnosis::doubtful(check, about, found).advise(advice)
        }
        Err(error) => Diagnosis::doubtful(check, about, format!("the limit is unknown: {error}")),
    }
}

/// Whether the audit record can be written. It is not made, nor read.
pub(super) fn audit_record(path: &Path) -> Diagnosis {
    let (check, about) = ("log.audit", path.display().to_string());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.exists() {
        return match OpenOptions::new().append(true).open(path) {
            Ok(file) if file.metadata().is_ok_and(|found| found.is_file()) => {
                Diagnosis::good(check, about, "can be written")
            }
            Ok(_) => {
                Diagnosis::bad(check, about, "no regular file").advise("name one that only this proxy writes")
            }
            Err(error) => Diagnosis::bad(check, about, error.to_string()).advise("let this user write it"),
        };
    }
    if !folder.is_dir() {
        let found = format!("its folder {} is not there", folder.display());
        return Diagnosis::bad(check, about, found)
            .advise(format!("make it: `install -d {}`", folder.display()));
    }
    match rights::missing(folder) {
        Some(missing) => Diagnosis::bad(check, about, missing.to_string()),
        None => Diagnosis::good(check, about, "can be made"),
    }
}

/// Private keys that every user of the machine can read.
pub(super) fn private_keys(config: &Config) -> Vec<Diagnosis> {
    let own = config.server.tls.iter().map(|tls| &tls.key);
    let clients = config.upstreams.iter().filter_map(|upstream| upstream.egress.client_key.as_ref());
    let relayed = config.relays.iter().filter_map(|relay| relay.egress.client_key.as_ref());
    own.chain(clients).chain(relayed).map(private_key).collect()
}

fn private_key(file: &PemFile) -> Diagnosis {
    let (check, about) = ("private key", file.path().display().to_string());
    match file.path().metadata() {
        Ok(found) if found.permissions().mode() & EVERYBODY == 0 => {
            Diagnosis::good(check, about, "readable for this user, closed to strangers")
        }
        Ok(_) => Diagnosis::bad(check, &*about, "every user of this machine can read or replace it")
            .advise(format!("chmod 600 {about}")),
        Err(error) => Diagnosis::bad(check, about, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::CheckOutcome;
    use super::*;

    #[test]
    fn an_audit_record_that_cannot_be_written_is_told_and_none_is_made() {
        let home = tempfile::tempdir().unwrap();
        let outcome = |path: &str| audit_record(&home.path().join(path)).outcome;
        assert_eq!(outcome("audit.jsonl"), CheckOutcome::Good);
        assert_eq!(outcome("nowhere/audit.jsonl"), CheckOutcome::Bad);
        assert_eq!(audit_record(home.path()).outcome, CheckOutcome::Bad, "a folder");
        assert_eq!(audit_record(Path::new("/dev/null")).outcome, CheckOutcome::Bad);
        assert_eq!(home.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_port_in_use_names_its_process() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let found = port("server.listen", taken.local_addr().unwrap());
        assert_eq!(found.outcome, CheckOutcome::Bad, "{found:?}");
        assert!(found.found.contains(&format!("process {}", std::process::id())), "{found:?}");
        assert_eq!(port("server.listen", "192.0.2.1:8080".parse().unwrap()).outcome, CheckOutcome::Bad);
        assert_eq!(port("server.listen", "127.0.0.1:0".parse().unwrap()).outcome, CheckOutcome::Good);
    }

    #[test]
    fn too_few_descriptors_are_doubtful() {
        assert_eq!(descriptors(1).outcome, CheckOutcome::Good);
        assert_eq!(descriptors(usize::MAX / 2).outcome, CheckOutcome::Doubtful);
    }
}
