//! Why the engine did not do what it was asked, and what the operator can do about it.
//!
//! Every text is from here: nothing that a server sent is in it, and no password. Owns this closed set. Must not know how a
//! fault is detected.

use std::time::Duration;

use connect_failure::{ConnectFailure, ConnectTarget};

/// The longest that any operation takes.
pub const DEADLINE: Duration = Duration::from_millis(500);

/// Why the engine did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum EngineFault {
    /// There is no connection.
    #[error("no connection to the engine could be made: {0}")]
    Unconnected(#[from] ConnectFailure),
    /// A web server answers where the engine should.
    #[error("a web server answers instead of the engine")]
    WebServer,
    /// It lets in nobody from other machines.
    #[error("the engine is in protected mode, and lets in nobody from other machines")]
    Protected,
    /// It has as many connections as it may.
    #[error("the engine has as many connections as it may have")]
    Crowded,
    /// The connection broke, and is made anew.
    #[error("the connection to the engine broke")]
    Broken,
    /// No answer within the deadline. What was asked may happen yet.
    #[error("the engine did not answer within {} ms", DEADLINE.as_millis())]
    Slow,
    /// It takes no writes: a replica, or a server whose disk is full.
    #[error("the engine refuses writes")]
    ReadOnly,
    /// It has no memory left.
    #[error("the engine is full")]
    Full,
    /// It is starting or failing over.
    #[error("the engine is loading or changing its primary")]
    Starting,
    /// It does not know the password.
    #[error("the engine refuses the password")]
    Password,
    /// It does not have the database with this number.
    #[error("the engine does not have database {0}")]
    Database(u16),
    /// The user may not use this.
    #[error("the engine's user may not use {0}")]
    Forbidden(&'static str),
    /// Somebody else uses the keys.
    #[error("a key that begins with cluster.prefix has another type than this program gives it")]
    OtherType,
    /// It is one of several servers, each of which has some of the keys.
    #[error("the engine is a node of a Redis Cluster")]
    Sharded,
    /// It is older than this needs.
    #[error("the engine is too old")]
    TooOld,
    /// It answered something else.
    #[error("the engine's answer cannot be read")]
    Unreadable,
    /// The address is no address of an engine.
    #[error("cluster.url is not of the form redis://host:port/number or rediss://…")]
    Address,
}

impl EngineFault {
    /// What the operator can do.
    pub fn remedy(self) -> String {
        let remedy = match self {
            Self::Unconnected(why) => return why.remedy(ConnectTarget::Engine),
            Self::WebServer => "check host and port in `cluster.url`",
            Self::Protected => {
                "give it a password (requirepass), and name its variable in `cluster.password_env`"
            }
            Self::Crowded => "raise its maxclients, or look who has so many",
            Self::Broken => "if this lasts, look into its log, and at what stands between here and there",
            Self::Slow => "look at its load, and at the network between here and there",
            Self::ReadOnly => "point cluster.url at the primary, and look at its disk",
            Self::Full => "raise its maxmemory, or set maxmemory-policy to volatile-ttl",
            Self::Starting => "wait; if this lasts, look into its log",
            Self::Password => "check the variable that cluster.password_env names",
            Self::Database(_) => {
                "end `cluster.url` with the number of one that it has; 0 is always there, `databases` says how many"
            }
            Self::Forbidden(_) => {
                "allow it the commands that docs/cluster.md lists, and the keys of cluster.prefix"
            }
            Self::OtherType => "choose another prefix, or delete the keys of this one",
            Self::Sharded => "point cluster.url at a single primary, with or without replicas",
            Self::TooOld => "Redis 6.2, or any Valkey, is needed",
            Self::Unreadable => "check host and port in `cluster.url`: is it Redis or Valkey?",
            Self::Address => "write it so",
        };
        remedy.to_owned()
    }

    /// What happened, and what to do.
    pub fn advised(self) -> String {
        format!("{self}; {}", self.remedy())
    }

    /// Whether only an operator ends it, so that a start-up should fail.
    pub fn is_configured(self) -> bool {
        match self {
            Self::Unconnected(why) => !why.may_pass(),
            Self::WebServer
            | Self::Protected
            | Self::Password
            | Self::Database(_)
            | Self::Forbidden(_)
            | Self::OtherType
            | Self::Sharded
            | Self::TooOld
            | Self::Unreadable
            | Self::Address => true,
            Self::Crowded | Self::Broken | Self::Slow | Self::ReadOnly | Self::Full | Self::Starting => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_an_outage_does_not_keep_a_proxy_from_starting() {
        use ConnectFailure::{
            Closed, Filtered, Name, NoRoute, NotTls, OnlyTls, Refused, TlsAuthority, TlsClient, TlsExpired,
            TlsName,
        };
        for why in [Name, Refused, Filtered, NoRoute, Closed] {
            assert!(!EngineFault::from(why).is_configured(), "{why}");
        }
        for why in [TlsName, TlsExpired, TlsAuthority, TlsClient, NotTls, OnlyTls] {
            assert!(EngineFault::from(why).is_configured(), "{why}");
        }
    }

    #[test]
    fn the_advice_names_the_keys_of_a_cluster() {
        let told = EngineFault::from(ConnectFailure::OnlyTls).advised();
        assert!(told.ends_with("write rediss:// in `cluster.url`"), "{told}");
        for why in [ConnectFailure::TlsAuthority, ConnectFailure::TlsClient, ConnectFailure::Filtered] {
            let told = EngineFault::from(why).advised();
            let of_registries = ["`ca_file`", "`client_cert`", "`proxy`", "`url`"];
            assert!(!of_registries.iter().any(|key| told.contains(key)), "{told}");
        }
    }
}
