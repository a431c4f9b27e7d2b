//! Trying again: what one failure means for one item of a sync, and when the item is tried next.
//!
//! All items are tried once, a few at a time; those that failed and may yet succeed are tried again after the others, later
//! each time. So no item holds up another. Owns that order, and which failures pass. Must not know what is fetched.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use crate::domain::Problem;
use crate::read::ReadFailure;
use crate::upstream::CouldNotAsk;

/// How often an item is tried.
const PASSES: u32 = 4;
/// The wait before the second pass; each further one doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait between two passes, whatever a registry asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The shortest wait for the request budget.
const SHORTEST_WAIT: Duration = Duration::from_millis(50);
/// The longest text of a registry that is repeated.
const LONGEST_TEXT: usize = 200;

/// Why an item is not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Setback {
    /// Trying again would not help.
    Final(String),
    /// It may succeed later; after this wait where it is known.
    Passing { reason: String, wait: Duration },
}

/// What one try of an item came to.
pub(super) struct Attempt<T> {
    pub(super) got: T,
    pub(super) setback: Option<Setback>,
}

impl<T> Attempt<T> {
    pub(super) fn whole(got: T) -> Self {
        Self { got, setback: None }
    }

    pub(super) fn short(got: T, setback: impl Into<Setback>) -> Self {
        Self { got, setback: Some(setback.into()) }
    }
}

impl Setback {
    pub(super) fn passing(reason: impl Into<String>) -> Self {
        Self::Passing { reason: reason.into(), wait: Duration::ZERO }
    }

    /// The same about a part of the item.
    pub(super) fn about(self, what: &str) -> Self {
        match self {
            Self::Final(reason) => Self::Final(format!("{what}: {reason}")),
            Self::Passing { reason, wait } => Self::Passing { reason: format!("{what}: {reason}"), wait },
        }
    }

    fn reason(self) -> String {
        match self {
            Self::Final(reason) | Self::Passing { reason, .. } => reason,
        }
    }
}

impl From<ReadFailure> for Setback {
    fn from(failure: ReadFailure) -> Self {
        use CouldNotAsk::{BadLocator, Forbidden, TooLarge};
        match failure {
            ReadFailure::Refused(problem) | ReadFailure::Gated { problem, .. } => {
                Self::Final(refused(&problem))
            }
            ReadFailure::CouldNotAsk(Forbidden { .. } | BadLocator | TooLarge { .. })
            | ReadFailure::GitHost(Forbidden { .. } | BadLocator | TooLarge { .. })
            | ReadFailure::NoUpstream(_)
            | ReadFailure::Offline
            | ReadFailure::HeldOnly
            | ReadFailure::Inconsistent(_)
            | ReadFailure::Divergent(_)
            | ReadFailure::Withdrawn(_)
            | ReadFailure::NotAttached(_)
            | ReadFailure::RefusedArchive(_)
            | ReadFailure::Policy(_)
            | ReadFailure::TooLarge { .. }
            | ReadFailure::PinLost(_) => Self::Final(failure.to_string()),
            ReadFailure::CouldNotAsk(ref why) | ReadFailure::GitHost(ref why) => {
                let wait = why.retry_after().unwrap_or_default();
                Self::Passing { reason: failure.to_string(), wait }
            }
            ReadFailure::NoSlot { .. }
            | ReadFailure::Malformed
            | ReadFailure::Archive(_)
            | ReadFailure::Repository { .. }
            | ReadFailure::Replaced(_)
            | ReadFailure::Storage(_)
            | ReadFailure::PinUnknown(_)
            | ReadFailure::Crowded
            | ReadFailure::Lost => Self::passing(failure.to_string()),
        }
    }
}

/// A registry's refusal in a few words.
pub(super) fn refused(problem: &Problem) -> String {
    let said = problem.detail.as_deref().unwrap_or(&problem.title);
    let said: String = said.escape_debug().take(LONGEST_TEXT).collect();
    format!("the registry answers {}: {said}", problem.status)
}

/// Asks until the request budget lets the question through. Clients go first.
pub(super) async fn within_budget<T, F>(ask: impl Fn() -> F) -> Result<T, ReadFailure>
where
    F: Future<Output = Result<T, ReadFailure>>,
{
    loop {
        match ask().await {
            Err(ReadFailure::CouldNotAsk(CouldNotAsk::OverBudget { for_ })) => {
                tokio::time::sleep(for_.max(SHORTEST_WAIT)).await;
            }
            asked => return asked,
        }
    }
}

/// Tries every item, at most `at_once` at a time. `end` is told each item once, with what it came to and why that is not
/// all; an error of `end` ends the work.
pub(super) async fn in_passes<I, T, E, F>(
    items: Vec<I>,
    at_once: usize,
    attempt: impl Fn(I) -> F,
    mut end: impl FnMut(I, T, Option<String>) -> Result<(), E>,
) -> Result<(), E>
where
    I: Clone,
    F: Future<Output = Attempt<T>>,
{
    let (mut left, mut pause) = (items, FIRST_WAIT);
    for pass in 1..=PASSES {
        let (mut later, mut wait) = (Vec::new(), Duration::ZERO);
        let tries = left.into_iter().map(|item| {
            let again = item.clone();
            let tried = attempt(item);
            async move { (again, tried.await) }
        });
        let mut tries = stream::iter(tries).buffer_unordered(at_once);
        while let Some((item, Attempt { got, setback })) = tries.next().await {
            match setback {
                Some(Setback::Passing { wait: asked, .. }) if pass < PASSES => {
                    wait = wait.max(asked);
                    later.push(item);
                }
                setback => end(item, got, setback.map(Setback::reason))?,
            }
        }
        if later.is_empty() {
            break;
        }
        tokio::time::sleep(wait.max(pause).min(LONGEST_WAIT)).await;
        (left, pause) = (later, pause * 2);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_item_that_fails_is_tried_again_after_the_others_and_told_once() {
        let tried = RefCell::new(Vec::new());
        let mut told = BTreeMap::new();
        let attempt = |item: &'static str| {
            tried.borrow_mut().push(item);
            let times = tried.borrow().iter().filter(|tried| **tried == item).count();
            async move {
                match item {
                    "late" if times < 3 => Attempt::short(times, Setback::passing("not yet")),
                    "dead" => Attempt::short(times, Setback::passing("down")),
                    "bad" => Attempt::short(times, Setback::Final("no".to_owned())),
                    _ => Attempt::whole(times),
                }
            }
        };
        let end = |item: &'static str, times: usize, why: Option<String>| {
            assert!(told.insert(item, (times, why)).is_none());
            Ok::<_, Infallible>(())
        };
        in_passes(vec!["late", "dead", "bad", "good"], 1, attempt, end).await.unwrap();
        let why = |text: &str| Some(text.to_owned());
        let expected =
            [("bad", (1, why("no"))), ("dead", (4, why("down"))), ("good", (1, None)), ("late", (3, None))];
        assert_eq!(told, BTreeMap::from(expected));
        assert_eq!(tried.borrow()[..4], ["late", "dead", "bad", "good"], "the others are not held up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_that_asks_for_time_is_given_it_up_to_a_minute() {
        for (asked, waited) in [(20, 20), (3600, 60)] {
            let began = tokio::time::Instant::now();
            let tries = RefCell::new(0);
            let attempt = |(): ()| {
                *tries.borrow_mut() += 1;
                let is_first = *tries.borrow() == 1;
                async move {
                    let wait = Duration::from_secs(asked);
                    let busy = Setback::Passing { reason: "busy".to_owned(), wait };
                    Attempt { got: (), setback: is_first.then_some(busy) }
                }
            };
            in_passes(vec![()], 1, attempt, |(), (), why| {
                assert_eq!(why, None);
                Ok::<_, Infallible>(())
            })
            .await
            .unwrap();
            assert_eq!(began.elapsed().as_secs(), waited);
        }
    }
}
