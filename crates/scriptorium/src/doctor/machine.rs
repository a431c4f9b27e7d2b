//! What the machine gives the process: open files and ports; and files of the configuration that others can read.
//!
//! Owns these checks. Must not know anything of registries or of the storage.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use super::Diagnosis;
use crate::app;
use crate::config::{Config, PemFile, Server};
use crate::listen;

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
            Diagnosis::doubtful(key, about, format!("in use by {holder}"))
                .advise("nothing, if that is the proxy of this configuration; else stop it")
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
