//! Compares every pin with what its registry says now.
//!
//! Owns what counts as a difference. A registry that withholds a release (blocked, tombstoned, gone) says nothing
//! about its content; a registry that could not be asked says nothing at all. Must not change a pin.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::Serialize;

use super::pace::Pause;
use crate::consistency::{Pin, PinError, Pins};
use crate::domain::check::check;
use crate::domain::{DocumentKey, Facts, Integrity};
use crate::upstream::{CouldNotAsk, FetchContext, RegistryAnswer, RegistryClient, RegistryClients};

/// Requests that run at once.
const AT_ONCE: usize = 8;

/// How long one pin waits in all for a registry that asks for time.
const PATIENCE: Duration = Duration::from_secs(300);
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// A registry's answer about a pinned release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub(crate) enum PinVerdict {
    /// The pinned integrity.
    Same,
    /// Another integrity: the release was replaced.
    Different { found: Integrity },
    /// Nothing about the content.
    Withheld { why: String },
    /// Not asked: the pin is of another registry than the one that serves the volume now.
    OfAnother { why: String },
    /// No definite answer.
    CouldNotAsk { why: String },
}

/// A pin and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ComparedPin {
    pub(crate) pin: Pin,
    /// The upstream that serves the volume now, if one does.
    pub(crate) upstream: Option<String>,
    pub(crate) verdict: PinVerdict,
}

/// Which registries to ask, and how.
pub(crate) struct PinCheck<'a> {
    pub(crate) upstreams: &'a RegistryClients,
    /// Only pins of volumes that are routed to this upstream.
    pub(crate) only: Option<&'a str>,
    /// Most bytes of an answer.
    pub(crate) max_document: u64,
    /// The request id in the logs of this proxy and of the registry.
    pub(crate) request_id: &'a str,
    /// How to wait for a registry that asks for time.
    pub(crate) rest: &'a dyn Pause,
}

impl PinCheck<'_> {
    /// Asks about every pin, in no particular order. A pin that cannot be read is an error among the others.
    pub(crate) fn compare<'a>(
        &'a self,
        pins: &'a Pins,
    ) -> impl Stream<Item = Result<ComparedPin, PinError>> + 'a {
        let wanted = pins.all().filter(|pin| std::future::ready(self.concerns(pin.as_ref().ok())));
        let compared = wanted.map(async |pin| match pin {
            Ok(pin) => Ok(self.ask(pin).await),
            Err(error) => Err(error),
        });
        compared.buffer_unordered(AT_ONCE)
    }

    /// A pin that cannot be read may be of any registry.
    fn concerns(&self, pin: Option<&Pin>) -> bool {
        let (Some(only), Some(pin)) = (self.only, pin) else { return true };
        self.upstreams.for_volume(&pin.volume).is_some_and(|upstream| upstream.name() == only)
    }

    async fn ask(&self, pin: Pin) -> ComparedPin {
        let Some(upstream) = self.upstreams.for_volume(&pin.volume) else {
            let why = "no upstream of the configuration serves this volume".to_owned();
            return ComparedPin { pin, upstream: None, verdict: PinVerdict::CouldNotAsk { why } };
        };
        if !pin.binds(upstream.registry()) {
            let verdict = PinVerdict::OfAnother { why: format!("it is the pin of {}", pin.whose()) };
            return ComparedPin { pin, upstream: Some(upstream.name().to_owned()), verdict };
        }
        let key = DocumentKey::Release(pin.volume.clone(), pin.version.clone());
        let verdict = match self.exchange(upstream, &key).await {
            Ok(RegistryAnswer::Found { body, .. }) => judge(&key, &body, upstream.origin(), pin.integrity),
            Ok(RegistryAnswer::Refused { status: status @ (403 | 404 | 409 | 410), problem, .. }) => {
                let title =
                    problem.map_or_else(String::new, |problem| format!(": {}", shortened(&problem.title)));
                PinVerdict::Withheld { why: format!("the registry answers {status}{title}") }
            }
            Ok(RegistryAnswer::Refused { status, .. }) => PinVerdict::CouldNotAsk {
                why: format!("the registry refuses the question with status {status}"),
            },
            Ok(RegistryAnswer::NotModified { .. }) => {
                PinVerdict::CouldNotAsk { why: CouldNotAsk::Unexpected(304).to_string() }
            }
            Err(why) => PinVerdict::CouldNotAsk { why: why.to_string() },
        };
        ComparedPin { pin, upstream: Some(upstream.name().to_owned()), verdict }
    }

    /// Waits as long as the registry asks for, so that a request budget is not a failure.
    async fn exchange(
        &self,
        upstream: &RegistryClient,
        key: &DocumentKey,
    ) -> Result<RegistryAnswer, CouldNotAsk> {
        let (path, mut waited) = (key.to_string(), Duration::ZERO);
        loop {
            let context = FetchContext::foreground(self.request_id);
            let asked = upstream.document(key.resource(), &path, None, context, self.max_document).await;
            let Err(why) = &asked else { return asked };
            let wait = why.retry_after().map(|wait| wait.max(SHORTEST_WAIT));
            let Some(wait) = wait.filter(|wait| upstream.is_up() && waited + *wait <= PATIENCE) else {
                return asked;
            };
            waited += wait;
            self.rest.rest(wait).await;
        }
    }
}

fn judge(key: &DocumentKey, body: &Bytes, origin: &str, pinned: Integrity) -> PinVerdict {
    let facts = match check(key, body, origin) {
        Ok(checked) => checked.facts,
        Err(malformed) => return PinVerdict::CouldNotAsk { why: malformed.to_string() },
    };
    let Facts::Release(release) = facts else {
        return PinVerdict::CouldNotAsk { why: "the answer is not exact metadata".to_owned() };
    };
    if let Some(mismatch) = release.mismatch {
        return PinVerdict::CouldNotAsk { why: format!("the answer is about another release: {mismatch}") };
    }
    match release.integrity {
        Some(found) if found == pinned => PinVerdict::Same,
        Some(found) => PinVerdict::Different { found },
        None => PinVerdict::Withheld { why: format!("the release is {}", release.status.state) },
    }
}

/// A registry's own words, safe for a terminal.
fn shortened(text: &str) -> String {
    text.escape_debug().take(200).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::future::BoxFuture;

    use super::*;
    use crate::clock::{ManualClock, Timestamp};
    use crate::consistency::Proof;
    use crate::domain::{Purl, Sha256};
    use crate::store::ObjectStorage;
    use crate::upstream::testing::{Registry, Step, answer};

    /// A rest that turns the clock by hand.
    struct Turning(Arc<ManualClock>, Mutex<Vec<Duration>>);

    impl Pause for Turning {
        fn rest(&self, time: Duration) -> BoxFuture<'static, ()> {
            self.0.advance(time);
            self.1.lock().unwrap().push(time);
            Box::pin(std::future::ready(()))
        }
    }

    /// What becomes of one pin at a registry that follows a script, and the rests that it took.
    async fn asked(steps: Vec<Step>) -> (PinVerdict, Vec<Duration>) {
        let registry = Registry::of(steps);
        let upstreams =
            RegistryClients::new(vec![(registry.upstream_with(|config| config.retries = 0), vec![])]);
        let pins = Pins::new(Arc::new(ObjectStorage::memory().unwrap()));
        let (volume, version) = ("x".parse().unwrap(), "1.0.0".parse().unwrap());
        let (integrity, since) = (Integrity::new(Sha256::of(b"a")), Timestamp(7));
        let whose = upstreams.iter().next().unwrap().registry().clone();
        let pin = Pin::of(&whose, &Purl::new(&volume, &version), integrity, since);
        pins.admit(pin, Proof::Seen).await.unwrap();
        let rest = Turning(registry.clock.clone(), Mutex::default());
        let registries = PinCheck {
            upstreams: &upstreams,
            only: None,
            max_document: 1 << 20,
            request_id: "id-1",
            rest: &rest,
        };
        let compared: Vec<_> = registries.compare(&pins).collect().await;
        let [Ok(ComparedPin { verdict, .. })] = &*compared else { panic!("{compared:?}") };
        (verdict.clone(), rest.1.lock().unwrap().clone())
    }

    #[tokio::test]
    async fn a_registry_that_asks_for_time_is_given_it() {
        let busy = || answer(429, &[("retry-after", "60")], "");
        let (verdict, rests) = asked(vec![busy(), busy(), answer(404, &[], "")]).await;
        assert!(matches!(verdict, PinVerdict::Withheld { .. }), "{verdict:?}");
        assert_eq!(rests, [Duration::from_secs(60); 2]);
    }

    #[tokio::test]
    async fn a_registry_that_never_has_time_could_not_be_asked() {
        let busy = || answer(429, &[("retry-after", "200")], "");
        let (verdict, rests) = asked(vec![busy(), busy()]).await;
        assert!(matches!(verdict, PinVerdict::CouldNotAsk { .. }), "{verdict:?}");
        assert_eq!(rests, [Duration::from_secs(200)]);
        let (verdict, rests) = asked(vec![answer(429, &[], "")]).await;
        assert!(matches!(verdict, PinVerdict::CouldNotAsk { .. }) && rests.is_empty(), "no time was named");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_no_difference() {
        for step in [answer(500, &[], ""), answer(200, &[], "<html>"), answer(400, &[], "")] {
            let (verdict, _) = asked(vec![step]).await;
            assert!(matches!(verdict, PinVerdict::CouldNotAsk { .. }), "{verdict:?}");
        }
    }

    #[test]
    fn only_another_integrity_is_a_difference() {
        let integrity = |text: &str| Integrity::new(Sha256::of(text.as_bytes()));
        let key = DocumentKey::Release("x".parse().unwrap(), "1.0.0".parse().unwrap());
        let verdict = |says: &str, state: &str, version: &str| {
            let body = format!(
                r#"{{"name":"x","version":"{version}","purl":"pkg:volume/x@{version}",{says}"status":{{"state":"{state}"}}{}}}"#,
                if state == "available" {
                    r#","dist":{"source":"git","repository":"https://git/x","ref":"v1"}"#
                } else {
                    ""
                },
            );
            judge(&key, &body.into(), "https://up", integrity("a"))
        };
        let says = |text: &str| format!("\"integrity\":\"{}\",", integrity(text));
        assert_eq!(verdict(&says("a"), "available", "1.0.0"), PinVerdict::Same);
        assert_eq!(verdict(&says("a"), "blocked", "1.0.0"), PinVerdict::Same);
        let different = PinVerdict::Different { found: integrity("b") };
        assert_eq!(verdict(&says("b"), "available", "1.0.0"), different);
        assert_eq!(verdict(&says("b"), "tombstoned", "1.0.0"), different);
        assert!(
            matches!(verdict("", "blocked", "1.0.0"), PinVerdict::Withheld { why } if why.contains("blocked"))
        );
        assert!(matches!(verdict("", "available", "1.0.0"), PinVerdict::CouldNotAsk { .. }), "malformed");
        assert!(
            matches!(verdict(&says("a"), "available", "1.0.1"), PinVerdict::CouldNotAsk { .. }),
            "another"
        );
    }
}
