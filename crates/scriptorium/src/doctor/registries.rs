//! The way to a registry step by step, its answer, and how far this machine's clock is from its own.
//!
//! The registry is asked as the proxy asks it, once: through the guard, the proxy on the way and its own client. Owns which
//! step a failure belongs to, and what to do about it. Must not know how a connection is made.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use http::header::DATE;
use parking_lot::Mutex;

use super::{CheckOutcome, Diagnosis};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, address::Listeners};
use crate::domain::{DocumentKey, Resource, check};
use crate::upstream::{
    ConnectFailure, ConnectTarget, CouldNotAsk, ExchangeFailure, FetchContext, GateState, HttpTransport,
    Outgoing, RegistryAnswer, RegistryClient, RegistryResponse, Transport, TransportError, UpstreamObserver,
};

/// The id of its requests, as the registries log it.
const REQUEST_ID: &str = "doctor";
/// The longest capability document.
const LONGEST: u64 = 1 << 20;
/// A clock that is off by more makes ages wrong; by much more, certificates and tokens too.
const DOUBTFUL_SKEW: Duration = Duration::from_secs(5);
const BAD_SKEW: Duration = Duration::from_secs(60);

/// The steps to an answer, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Proxy,
    Name,
    Connection,
    Tls,
    Answer,
}

impl Step {
    fn check(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Name => "dns",
            Self::Connection => "connection",
            Self::Tls => "tls",
            Self::Answer => "registry",
        }
    }

    fn of(failure: &CouldNotAsk) -> Self {
        let CouldNotAsk::Unreachable(why) = failure else { return Self::Answer };
        match why {
            ConnectFailure::Name => Self::Name,
            ConnectFailure::Refused
            | ConnectFailure::Filtered
            | ConnectFailure::NoRoute
            | ConnectFailure::Closed
            | ConnectFailure::System => Self::Connection,
            ConnectFailure::TlsName
            | ConnectFailure::TlsExpired
            | ConnectFailure::TlsAuthority
            | ConnectFailure::TlsClient
            | ConnectFailure::NotTls
            | ConnectFailure::OnlyTls
            | ConnectFailure::Tls => Self::Tls,
            ConnectFailure::ProxyUnreachable
            | ConnectFailure::ProxyCredential
            | ConnectFailure::ProxyRefused => Self::Proxy,
        }
    }
}

/// What was seen on the way.
#[derive(Debug, Default)]
struct Seen {
    /// The registry's clock and ours, in seconds since 1970.
    clocks: Option<(u64, u64)>,
    /// The errors of the system and of libraries.
    causes: Option<String>,
}

/// The proxy's transport, and what is seen on it.
struct Watched {
    transport: HttpTransport,
    seen: Arc<Mutex<Seen>>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Transport for Watched {
    async fn send(&self, request: Outgoing<'_>) -> Result<RegistryResponse, TransportError> {
        let response = self.transport.send(request).await?;
        let date =
            response.headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let date = date.and_then(|date| Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs()));
        self.seen.lock().clocks = date.map(|date| (date, self.clock.now().0 / 1000));
        Ok(response)
    }
}

struct Causes(Arc<Mutex<Seen>>);

impl UpstreamObserver for Causes {
    fn exchanged(
        &self,
        _: &str,
        _: &'static str,
        _: &'static str,
        _: Duration,
        _: &str,
        error: Option<ExchangeFailure<'_>>,
    ) {
        self.0.lock().causes = error.and_then(|error| error.causes).map(str::to_owned);
    }

    fn up(&self, _: &str, _: bool) {}

    fn state(&self, _: &str, _: GateState) {}

    fn budget_left(&self, _: &str, _: u32) {}
}

/// The findings on the way to `upstream` and on its answer. `listeners` are this proxy's own addresses.
pub(super) async fn examine(upstream: &config::Upstream, listeners: Listeners) -> Vec<Diagnosis> {
    let once = config::Upstream { retries: 0, ..upstream.clone() };
    let (seen, clock) = (Arc::<Mutex<Seen>>::default(), Arc::new(SystemClock::default()));
    let transport = match HttpTransport::new(&once, listeners) {
        Ok(transport) => Watched { transport, seen: Arc::clone(&seen), clock: clock.clone() },
        Err(error) => return vec![Diagnosis::bad(Step::Tls.check(), &*upstream.name, error.to_string())],
    };
    let client =
        RegistryClient::new(&once, Arc::new(transport), clock, Arc::new(Causes(Arc::clone(&seen))), None);
    let context = FetchContext::foreground(REQUEST_ID);
    let path = DocumentKey::Capabilities.to_string();
    let answer = client.document(Resource::Capabilities, &path, None, context, LONGEST).await;
    let seen = std::mem::take(&mut *seen.lock());
    findings(upstream, answer, &seen)
}

fn findings(
    upstream: &config::Upstream,
    answer: Result<RegistryAnswer, CouldNotAsk>,
    seen: &Seen,
) -> Vec<Diagnosis> {
    let failed = answer.as_ref().err().map(|failure| (Step::of(failure), failure));
    let mut found: Vec<_> = steps(upstream)
        .into_iter()
        .map(|step| {
            let (check, name) = (step.check(), &*upstream.name);
            match failed {
                Some((at, failure)) if at == step => refused(check, name, failure, seen),
                Some((at, _)) if at < step => Diagnosis {
                    outcome: CheckOutcome::Unchecked,
                    ..Diagnosis::good(check, name, "not reached")
                },
                Some(_) | None => passed(step, upstream, &answer),
            }
        })
        .collect();
    found.push(match seen.clocks {
        Some(clocks) => skew(&upstream.name, clocks),
        None => Diagnosis {
            outcome: CheckOutcome::Unchecked,
            ..Diagnosis::good("clock", &*upstream.name, "no answer says what time it is")
        },
    });
    found
}

/// The steps that lead to `upstream`. A proxy on the way resolves its name.
fn steps(upstream: &config::Upstream) -> Vec<Step> {
    let proxy = upstream.url.host_str().and_then(|host| upstream.egress.proxy_for(host));
    let mut steps = if proxy.is_some() { vec![Step::Proxy] } else { vec![Step::Name, Step::Connection] };
    steps.extend((upstream.url.scheme() == "https").then_some(Step::Tls));
    steps.push(Step::Answer);
    steps
}

fn passed(
    step: Step,
    upstream: &config::Upstream,
    answer: &Result<RegistryAnswer, CouldNotAsk>,
) -> Diagnosis {
    let (check, name, host) = (step.check(), &*upstream.name, upstream.url.host_str().unwrap_or_default());
    match step {
        Step::Proxy => Diagnosis::good(check, name, format!("the proxy connects to {host}")),
        Step::Name => Diagnosis::good(check, name, format!("{host} has an address")),
        Step::Connection => Diagnosis::good(check, name, format!("{host} takes connections")),
        Step::Tls => Diagnosis::good(check, name, format!("the certificate of {host} is valid and trusted")),
        Step::Answer => answered(check, name, answer),
    }
}

fn answered(checked: &'static str, name: &str, answer: &Result<RegistryAnswer, CouldNotAsk>) -> Diagnosis {
    let advice =
        "check `url`: expected the base of the registry's API, to which /api/v1/capabilities is added";
    match answer {
        Ok(RegistryAnswer::Found { body, .. }) => {
            match check::check(&DocumentKey::Capabilities, body, name) {
                Ok(_) => Diagnosis::good(checked, name, "answers with its capabilities"),
                Err(error) => {
                    Diagnosis::bad(checked, name, format!("its capabilities are malformed: {error}"))
                        .advise(advice)
                }
            }
        }
        Ok(RegistryAnswer::Refused { status: 404, .. }) => {
            Diagnosis::doubtful(checked, name, "answers, and has no capabilities (404)").advise(advice)
        }
        Ok(RegistryAnswer::Refused { status, .. }) => {
            Diagnosis::bad(checked, name, format!("refuses with status {status}")).advise(advice)
        }
        Ok(RegistryAnswer::NotModified { .. }) | Err(_) => Diagnosis::good(checked, name, "answers"),
    }
}

fn refused(check: &'static str, name: &str, failure: &CouldNotAsk, seen: &Seen) -> Diagnosis {
    let causes = seen.causes.as_ref().map(|causes| format!(" ({causes})")).unwrap_or_default();
    let found = match failure {
        CouldNotAsk::Unreachable(why) => why.to_string(),
        failure => failure.to_string(),
    };
    let finding = Diagnosis::bad(check, name, format!("{found}{causes}"));
    match failure {
        CouldNotAsk::Unreachable(why) => finding.advise(why.remedy(ConnectTarget::Registry)),
        CouldNotAsk::CredentialRefused => finding.advise("set `token_env` to a variable with a valid token"),
        _ => finding,
    }
}

fn skew(name: &str, (theirs, ours): (u64, u64)) -> Diagnosis {
    let skew = Duration::from_secs(theirs.abs_diff(ours));
    let found = format!("{} s from the registry's", skew.as_secs());
    let advice = "set this machine's clock, such as by chrony or systemd-timesyncd";
    if skew > BAD_SKEW {
        Diagnosis::bad("clock", name, found).advise(advice)
    } else if skew > DOUBTFUL_SKEW {
        Diagnosis::doubtful("clock", name, found).advise(advice)
    } else {
        Diagnosis::good("clock", name, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(url: &str, failure: CouldNotAsk) -> Vec<(&'static str, CheckOutcome)> {
        let upstream = config::Upstream::new("public", url.parse().unwrap());
        let found = findings(&upstream, Err(failure), &Seen::default());
        found.iter().map(|finding| (finding.check, finding.outcome)).collect()
    }

    #[test]
    fn what_comes_before_a_failure_works_and_what_comes_after_was_not_reached() {
        use CheckOutcome::{Bad, Good, Unchecked};
        assert_eq!(
            outcomes("https://registry.example.com", CouldNotAsk::Unreachable(ConnectFailure::TlsExpired)),
            [
                ("dns", Good),
                ("connection", Good),
                ("tls", Bad),
                ("registry", Unchecked),
                ("clock", Unchecked)
            ]
        );
        assert_eq!(
            outcomes("http://registry.example.com", CouldNotAsk::Unreachable(ConnectFailure::Name)),
            [("dns", Bad), ("connection", Unchecked), ("registry", Unchecked), ("clock", Unchecked)]
        );
        assert_eq!(
            outcomes("http://registry.example.com", CouldNotAsk::CredentialRefused),
            [("dns", Good), ("connection", Good), ("registry", Bad), ("clock", Unchecked)]
        );
    }

    #[test]
    fn a_clock_that_is_off_is_told() {
        let outcome = |theirs| skew("public", (theirs, 1000)).outcome;
        assert_eq!([outcome(995), outcome(1005)], [CheckOutcome::Good; 2]);
        assert_eq!([outcome(994), outcome(1060)], [CheckOutcome::Doubtful; 2]);
        assert_eq!([outcome(939), outcome(1061)], [CheckOutcome::Bad; 2]);
    }
}
