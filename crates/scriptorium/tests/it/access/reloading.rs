//! A reload of readers and routes: no answer is given that neither the old nor the new configuration allows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;
use toml::Value;

use super::{Ground, READER, get, secret};
use crate::support::{Setup, eventually};

/// What only the company's registry says of the volume.
const MARK: &str = "for-the-company-alone";

/// Routes the company's volumes to the public registry, where everybody may read.
fn routed_away(setup: Setup) -> Setup {
    setup.set_volumes(vec!["@elsewhere/*"])
}

#[test]
fn readers_change_with_a_reload() {
    let ground = Ground::start();
    let proxy = ground.setup().start();
    proxy.client().get(&secret().index()).problem(401, "authentication-required");
    proxy.reconfigure(|setup| setup.set_readers("anyone"));
    assert_eq!(proxy.reload().ok().json()["applied"], json!(["upstreams"]));
    let open = proxy.client().get(&secret().index()).ok();
    assert!(open.header("cache-control").unwrap().starts_with("public"));
    proxy.reconfigure(|setup| setup);
    proxy.reload().ok();
    proxy.client().get(&secret().index()).problem(401, "authentication-required");
    get(&proxy, &secret().index(), READER).ok();
}

#[test]
fn a_token_that_is_taken_away_reads_no_more() {
    let ground = Ground::start();
    let proxy = ground.setup().start();
    get(&proxy, &secret().index(), READER).ok();
    proxy.reconfigure(|mut setup| {
        setup.table["tokens"].as_array_mut().unwrap().remove(0);
        setup
    });
    proxy.reload().ok();
    get(&proxy, &secret().index(), READER).problem(401, "authentication-required");
    let note = "upstreams[0].readers[0] (reader) lets nobody read";
    eventually(note, || proxy.log().contains(note).then_some(()));
}

#[test]
fn nobody_gets_what_neither_configuration_allows() {
    let ground = Ground::start();
    let mut marked = secret();
    marked = marked.state("available", MARK);
    ground.corp.publish(&marked);
    ground.public.publish(&secret());
    let proxy = ground.setup().start();
    get(&proxy, &secret().index(), READER).ok();
    let is_over = AtomicBool::new(false);
    let answered = thread::scope(|scope| {
        let strangers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut answered = [0, 0];
                    while !is_over.load(Ordering::Relaxed) {
                        let answer = proxy.client().get(&secret().index());
                        assert!(!answer.text().contains(MARK), "a stranger read the company's registry");
                        match answer.status {
                            200 => answered[0] += 1,
                            401 => answered[1] += 1,
                            // The configuration changed again and again while it was answered.
                            503 => {}
                            other => panic!("{other} {}", answer.text()),
                        }
                    }
                    answered
                })
            })
            .collect();
        for round in 0..40 {
            proxy.reconfigure(|setup| if round % 2 == 0 { routed_away(setup) } else { setup });
            proxy.reload().ok();
            get(&proxy, &secret().index(), READER).ok();
        }
        is_over.store(true, Ordering::Relaxed);
        strangers
            .into_iter()
            .map(|stranger| stranger.join().unwrap())
            .fold([0, 0], |[a, b], [c, d]| [a + c, b + d])
    });
    assert!(answered.iter().all(|count| *count > 0), "both configurations were met: {answered:?}");
}

impl Setup {
    /// Sets a key of the first upstream.
    fn set_first(mut self, key: &str, value: impl Into<Value>) -> Self {
        let first = self.table["upstreams"].as_array_mut().unwrap().first_mut().unwrap();
        first.as_table_mut().unwrap().insert(key.to_owned(), value.into());
        self
    }

    pub(super) fn set_readers(self, readers: impl Into<Value>) -> Self {
        self.set_first("readers", readers)
    }

    fn set_volumes(self, volumes: impl Into<Value>) -> Self {
        self.set_first("volumes", volumes)
    }
}
