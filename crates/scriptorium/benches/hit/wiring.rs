//! How the measured proxy is wired: by itself, with a policy, on a bucket, and on that bucket with a cluster in force.
//!
//! Owns the configuration of each. Must not know what is asked of the proxy.

use std::env;
use std::path::Path;

use clap::ValueEnum;

use crate::servers::ENGINE;

/// A policy that takes valgrind seconds to load, not minutes.
const RULES: usize = 100;
const WAIVERS: usize = 500;

/// What a hit passes through besides the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wiring {
    /// Nothing; everything is held in memory
    Plain,
    /// A policy of many rules and waivers
    Rules,
    /// A bucket, with a folder for copies of its files
    Bucket,
    /// The same, as one of several proxies that agree through a Redis
    Cluster,
}

impl Wiring {
    /// The configuration of a proxy before the registry at `registry`. Copies of a bucket's files go to `folder`.
    pub(crate) fn config(self, registry: &str, folder: &Path) -> String {
        // A client that is settled with the other proxies again and again, and never refused.
        let head = format!(
            "upstreams = [{{ name = \"origin\", url = \"{registry}\" }}]\n\
             cache = {{ index_ttl = \"1d\", release_ttl = \"1d\", negative_ttl = \"1d\" }}\n\
             rate_limits.anonymous = \"100000/min\"\n"
        );
        // Each process begins with an empty bucket and engine.
        let own = std::process::id();
        let bucket = || {
            format!(
                "storage = {{ url = \"s3://volumes/{own}\", tier = \"{}\" }}\n",
                folder.join("tier").display()
            )
        };
        let memory = "storage.url = \"memory:///\"\n";
        match self {
            Self::Plain => head + memory,
            Self::Rules => head + memory + &policy(),
            Self::Bucket => head + &bucket(),
            Self::Cluster => {
                let engine = env::var(ENGINE).expect("the bench sets it, with `--check` or `--profile`");
                let cluster = format!("cluster = {{ url = \"{engine}\", prefix = \"{own}:\", nodes = 3 }}\n");
                head + &bucket() + &cluster
            }
        }
    }

    /// What the command line calls it.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().unwrap().get_name().to_owned()
    }

    /// Whether it needs servers beside the proxy.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::Bucket | Self::Cluster)
    }
}

/// Rules that look at everything that is known of a release and lower none of these, rules about others, and waivers.
fn policy() -> String {
    let mut policy = "[policy]\nmode = \"enforce\"\nadvisories = \"open\"\n".to_owned();
    let of_all = [
        r#"younger_than = "7d", not_volumes = ["index-*", "archive-*"]"#,
        r#"advisory = "low""#,
        r#"resembles = ["review-agent"]"#,
        r#"permissions = { shell = "allow" }"#,
        r#"delivery = "git""#,
    ];
    let of_others = (0..RULES).map(|rule| format!(r#"volumes = ["@v{rule}/*"]"#));
    for (rule, matches) in of_all.map(str::to_owned).into_iter().chain(of_others).enumerate() {
        let action = ["hold", "deny", "discourage"][rule % 3];
        policy +=
            &format!("[[policy.rules]]\nid = \"r{rule}\"\naction = \"{action}\"\nmatch = {{ {matches} }}\n");
    }
    for waiver in 0..WAIVERS {
        let release = format!("@v{waiver}/x@1.0.0");
        policy += &format!(
            "[[policy.waivers]]\nrule = \"r{}\"\nrelease = \"{release}\"\nuntil = \"9999-12-31\"\nby = \"a\"\nwhy = \"b\"\n",
            waiver % RULES
        );
    }
    policy
}
