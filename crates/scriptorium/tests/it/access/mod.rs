//! Registries that not everybody may read: what strangers learn of them, which is nothing, and what readers get.

mod lists;
mod neighbours;
mod refused;
mod reloading;
mod signed;
mod writes;

use toml::{Table, toml};

use crate::support::{Answer, Proxy, Release, Setup, Upstream};

const READER: &str = "readers-secret";
const OUTSIDER: &str = "outsiders-secret";

/// A registry of a company, whose volumes are "@corp/*", and a public one for the rest.
struct Ground {
    corp: Upstream,
    public: Upstream,
}

impl Ground {
    fn start() -> Self {
        let ground = Self { corp: Upstream::start(), public: Upstream::start() };
        ground.corp.publish(&secret());
        ground.public.publish(&lamp());
        ground
    }

    /// The company's registry is for the token "reader" alone, and "outsider" is another token.
    fn setup(&self) -> Setup {
        let mut setup = Setup::before(&self.corp);
        setup.table.remove("upstreams");
        setup
            .upstream("corp", &self.corp.url())
            .set("upstream.retries", 0)
            .set("upstream.volumes", vec!["@corp/*"])
            .set("upstream.readers", vec!["reader"])
            .upstream("public", &self.public.url())
            .set("upstream.retries", 0)
            .token("reader", READER, Table::new())
            .token("outsider", OUTSIDER, toml! { groups = ["release"] })
    }
}

fn secret() -> Release {
    Release::new("@corp/secret", "1.0.0")
}

fn lamp() -> Release {
    Release::new("lamp", "1.0.0")
}

/// One request with a token and further fields.
fn ask(proxy: &Proxy, method: &str, target: &str, token: Option<&str>, more: &[(&str, &str)]) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut fields = more.to_vec();
    fields.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    proxy.client().send(method, target, &fields)
}

fn get(proxy: &Proxy, target: &str, token: &str) -> Answer {
    ask(proxy, "GET", target, Some(token), &[])
}
