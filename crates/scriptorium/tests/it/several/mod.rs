//! Several registries behind one proxy, asked about no volume in particular: one answer of all of them, and never one
//! registry's word about what another is asked for.

mod advisories;
mod capabilities;
mod failing;
mod search;

use serde_json::{Value, json};

use crate::support::{Answer, Reply, Setup, Upstream};

const SEARCH: &str = "/api/v1/search";
const ADVISORIES: &str = "/api/v1/advisories";
const CAPABILITIES: &str = "/api/v1/capabilities";

/// Registries "a", "b" and "c", of which each is asked for the scope of its name.
struct Registries([Upstream; 3]);

impl Registries {
    fn start() -> Self {
        Self([(); 3].map(|()| Upstream::start()))
    }

    fn setup(&self) -> Setup {
        let mut setup = Setup::before(&self.0[0]);
        setup.table.remove("upstreams");
        for (name, upstream) in ["a", "b", "c"].into_iter().zip(&self.0) {
            setup = setup
                .upstream(name, &upstream.url())
                .set("upstream.retries", 0)
                .set("upstream.volumes", vec![format!("@{name}/*")]);
        }
        setup
    }

    /// Every registry finds so many results, all of them its own.
    fn find(&self, counts: [usize; 3]) {
        for ((upstream, count), scope) in self.0.iter().zip(counts).zip(["a", "b", "c"]) {
            find(upstream, (0..count).map(|number| result(&format!("@{scope}/r-{number}"))).collect());
        }
    }

    fn requests(&self, target: &str) -> [usize; 3] {
        self.0.each_ref().map(|upstream| upstream.requests(target))
    }
}

fn result(name: &str) -> Value {
    json!({ "name": name, "latestVersion": "1.0.0" })
}

/// Lets a registry find these, in this order and in pages.
fn find(upstream: &Upstream, results: Vec<Value>) {
    let total = results.len();
    upstream.compute("GET", SEARCH, move |seen| {
        let (offset, limit) = (parameter(&seen.target, "offset"), parameter(&seen.target, "limit"));
        let items: Vec<&Value> = results.iter().skip(offset).take(limit).collect();
        Reply::json(&json!({ "items": items, "total": total, "limit": limit, "offset": offset }))
    });
}

fn parameter(target: &str, name: &str) -> usize {
    let (_, query) = target.split_once('?').unwrap();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.parse().unwrap()).next().unwrap()
}

fn names(answer: &Answer) -> Vec<String> {
    let page = answer.json();
    let items = page["items"].as_array().unwrap_or_else(|| panic!("{page}"));
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

fn is_partial(answer: &Answer) -> bool {
    answer.cache().contains("detail=\"partial\"")
}
