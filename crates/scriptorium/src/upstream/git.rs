//! One request to a Git server that delivers releases of a registry.
//!
//! The server is another host that the registry points to, so the request goes the way of a download: past the gate of the registry, whose
//! budget counts it, and under a guard with a list of its own (the key `git_hosts`). Where the first request is redirected, the following ones go to
//! the new place; no other redirect is followed. The credential goes to one host only. A host that fails is left
//! alone, and no other (`GitHosts`). Owns that. Must not know Git's protocol: who asks gives path, headers and body.

use ::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use bytes::Bytes;
use data_encoding::BASE64;
use futures_util::stream::BoxStream;
use url::Url;

use super::admitted::{FailedAttempt, RECALLS, Repeats};
use super::answer::{self, HeadMeaning};
use super::coding;
use super::exchange::{MAX_REDIRECTS, REQUEST_ID};
use super::pause_scope::PauseScope;
use super::{CouldNotAsk, FetchContext, Notes, Outgoing, OutgoingBody, RegistryClient, RegistryResponse};

/// The user of a credential that is a token alone. Servers that take tokens look at the password.
const TOKEN_USER: &str = "x-access-token";

/// Where a repository is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GitPlace(Url);

/// A request below a repository.
pub(crate) struct GitQuestion {
    /// Appended to the repository's URL.
    pub(crate) path: &'static str,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// The body of a POST; none for a GET.
    pub(crate) body: Option<Bytes>,
}

/// An answer with status 200.
pub(crate) struct GitReply {
    /// Empty if there is none.
    pub(crate) content_type: String,
    pub(crate) body: BoxStream<'static, Result<Bytes, CouldNotAsk>>,
    /// Where the server had the request sent in the end.
    pub(crate) place: GitPlace,
}

/// An answer before its body, and where it came from.
type Answered = (RegistryResponse, Url);

impl RegistryClient {
    /// The place of `repository`.
    ///
    /// # Errors
    /// [`BadLocator`](CouldNotAsk::BadLocator) for what is no URL of a repository, [`Forbidden`](CouldNotAsk::Forbidden) for one that may
    /// not be asked.
    pub(crate) fn repository(&self, repository: &str) -> Result<GitPlace, CouldNotAsk> {
        let url = Url::parse(repository).map_err(|_| CouldNotAsk::BadLocator)?;
        self.git_guard.allow(&url, None).map_err(|rule| CouldNotAsk::forbidden(&url, rule))?;
        match url.query().or_else(|| url.fragment()) {
            None => Ok(GitPlace(url)),
            Some(_) => Err(CouldNotAsk::BadLocator),
        }
    }

    /// Whether releases may be fetched from `repository`. From any other, clients fetch them themselves.
    pub(crate) fn reaches_repository(&self, repository: &str) -> bool {
        self.repository(repository).is_ok()
    }

    /// Sends `question` to a repository.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn ask_git(
        &self,
        place: &GitPlace,
        question: &GitQuestion,
        context: FetchContext<'_>,
    ) -> Result<GitReply, CouldNotAsk> {
        let url = place.below(question.path)?;
        let host = self.git_hosts.admit(&url)?;
        let mut passage = self.enter("git", PauseScope::Documents, &url, context).await?;
        let notes = Notes::default();
        let attempt = || self.try_git(&url, question, notes.clone(), context);
        // A question changes nothing at the server, so it may be put again.
        let repeats = Repeats { retries: self.retries(), recalls: RECALLS };
        let outcome = passage.persist(repeats, CouldNotAsk::is_transient, attempt).await;
        let ended = passage.end(outcome, notes, |_| None);
        host.settle(&ended);
        let ((response, found_at), exchange) = ended?;
        let content_type = response.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let place = if found_at == url { place.clone() } else { GitPlace::above(&found_at, question.path)? };
        Ok(GitReply { content_type, body: exchange.open(response.body, &found_at, "200", None), place })
    }

    async fn try_git(
        &self,
        start: &Url,
        question: &GitQuestion,
        notes: Notes,
        context: FetchContext<'_>,
    ) -> Result<Answered, FailedAttempt> {
        let (mut url, mut from) = (start.clone(), None);
        for _ in 0..=MAX_REDIRECTS {
            // Whoever owns a repository at the registry's own host is not the registry: its failures and pauses say nothing of it.
            let fail = |why| FailedAttempt { why, at_home: false };
            let allowed = self.git_guard.allow(&url, from.as_ref());
            allowed.map_err(|rule| fail(CouldNotAsk::forbidden(&url, rule)))?;
            let (method, body) = match &question.body {
                None => (Method::GET, OutgoingBody::Empty),
                Some(body) => (Method::POST, OutgoingBody::from(body)),
            };
            let headers = self.git_headers(&url, question, context);
            let request = Outgoing { method, url: &url, headers, body, notes: notes.clone() };
            let response = self.send(request, PauseScope::Documents, context).await.map_err(fail)?;
            let status = response.status;
            match meaning(&response, self.clock.now()).map_err(fail)? {
                HeadMeaning::Found => {
                    let codings = coding::applied(&response.headers).map_err(fail)?;
                    return match codings.is_empty() {
                        true => Ok((response, url)),
                        false => Err(fail(CouldNotAsk::UnreadCoding(coding::list(&codings)))),
                    };
                }
                HeadMeaning::Redirect(location) if question.body.is_none() => {
                    let next = url.join(&location).map_err(|_| fail(CouldNotAsk::BadLocator))?;
                    from = Some(std::mem::replace(&mut url, next));
                }
                HeadMeaning::Redirect(_)
                | HeadMeaning::Refused(_)
                | HeadMeaning::NotModified
                | HeadMeaning::Part(_) => return Err(fail(CouldNotAsk::Unexpected(status.as_u16()))),
            }
        }
        Err(FailedAttempt { why: CouldNotAsk::TooManyRedirects, at_home: false })
    }

    fn git_headers(&self, url: &Url, question: &GitQuestion, context: FetchContext<'_>) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(6);
        for (name, value) in question.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Ok(id) = HeaderValue::from_str(context.id) {
            headers.insert(REQUEST_ID, id);
        }
        if let Some(credential) = self.git_credential.as_ref().filter(|_| self.git_guard.is_first(url)) {
            headers.insert(AUTHORIZATION, credential.clone());
        }
        headers
    }
}

/// A 401 is about the repository, whose existence some servers hide.
fn meaning(response: &RegistryResponse, now: crate::clock::Timestamp) -> Result<HeadMeaning, CouldNotAsk> {
    match answer::read(response.status, &response.headers, None, None, now) {
        Err(CouldNotAsk::CredentialRefused) => Err(CouldNotAsk::Unexpected(401)),
        read => read,
    }
}

impl GitPlace {
    fn below(&self, path: &str) -> Result<Url, CouldNotAsk> {
        let Self(repository) = self;
        let url = format!("{}{path}", repository.as_str().trim_end_matches('/'));
        Url::parse(&url).map_err(|_| CouldNotAsk::BadLocator)
    }

    /// The repository that was asked for `path` at `url`.
    fn above(url: &Url, path: &str) -> Result<Self, CouldNotAsk> {
        let repository = url.as_str().strip_suffix(path).ok_or(CouldNotAsk::BadLocator)?;
        Url::parse(repository).map(Self).map_err(|_| CouldNotAsk::BadLocator)
    }
}

/// `Basic` authentication (RFC 7617) with what `git_token_env` names.
pub(super) fn git_credential(held: &str) -> Option<HeaderValue> {
    let pair = if held.contains(':') { held.to_owned() } else { format!("{TOKEN_USER}:{held}") };
    let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64.encode(pair.as_bytes()))).ok()?;
    value.set_sensitive(true);
    Some(value)
}
