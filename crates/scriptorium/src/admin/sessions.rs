//! The sessions of browsers, which cannot send a token with a page that they load.
//!
//! A browser gives the token once and gets a cookie: 32 random bytes, of which only the digest is kept here. Owns how many
//! sessions there are and how long each lives, in memory. Must not know which tokens are in force: a session names the
//! token that opened it, and counts as long as that one does.

use std::time::Duration;

use data_encoding::HEXLOWER;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;

use crate::domain::Sha256;

/// Beyond that a session ends: the oldest of the token that has the most. So no token ends the sessions of another that has fewer.
const MOST: usize = 64;
/// How long a session lives.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

const NAME: &str = "scriptorium_session";
/// Bytes of the secret, and of its text.
const SECRET: usize = 32;
const TEXT: usize = 2 * SECRET;

#[derive(Debug)]
struct Session {
    /// The digest of the cookie.
    cookie: Sha256,
    /// The digest of the token that opened it.
    token: Sha256,
    until: Duration,
}

/// The open sessions, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<Vec<Session>>);

/// The secret of a session that was just opened. It has no other form than the header that carries it.
pub(super) struct NewSession(String);

impl NewSession {
    /// The value of `Set-Cookie`. Over TLS, which ends before this port, the cookie stays within TLS.
    pub(super) fn cookie(&self, is_secure: bool) -> Option<HeaderValue> {
        let secure = if is_secure { "; Secure" } else { "" };
        let (secret, seconds) = (&self.0, LIFETIME.as_secs());
        let text = format!("{NAME}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The value of `Set-Cookie` that ends a session in the browser.
    pub(super) fn over() -> HeaderValue {
        HeaderValue::from_static("scriptorium_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
    }
}

impl Sessions {
    /// Opens a session with `token`; `None` if the system gives no random bytes.
    pub(super) fn open(&self, token: Sha256, now: Duration) -> Option<NewSession> {
        let mut random = [0; SECRET];
        getrandom::fill(&mut random).ok()?;
        let secret = HEXLOWER.encode(&random);
        let session = Session { cookie: Sha256::of(secret.as_bytes()), token, until: now + LIFETIME };
        let mut open = self.0.lock();
        open.retain(|session| session.until > now);
        open.push(session);
        if open.len() > MOST {
            end_one(&mut open);
        }
        Some(NewSession(secret))
    }

    /// The digest of the token that opened the session of these headers.
    pub(super) fn token_of(&self, headers: &HeaderMap, now: Duration) -> Option<Sha256> {
        // Digests are compared, so the time of the comparison says nothing of a secret.
        let open = self.0.lock();
        let live =
            |cookie: Sha256| open.iter().find(|session| session.cookie == cookie && session.until > now);
        cookies(headers).find_map(live).map(|session| session.token)
    }

    /// Ends the sessions of other tokens for good.
    pub(super) fn keep_those_of(&self, is_known: impl Fn(&Sha256) -> bool) {
        self.0.lock().retain(|session| is_known(&session.token));
    }

    pub(super) fn close(&self, headers: &HeaderMap) {
        let ended: Vec<Sha256> = cookies(headers).collect();
        self.0.lock().retain(|session| !ended.contains(&session.cookie));
    }
}

/// Ends the oldest session of the token that has the most.
fn end_one(open: &mut Vec<Session>) {
    let count = |token: &Sha256| open.iter().filter(|session| session.token == *token).count();
    let most = open.iter().map(|session| session.token).max_by_key(count);
    if let Some(at) = open.iter().position(|session| Some(session.token) == most) {
        open.remove(at);
    }
}

/// The digests of the cookies that may be a session's. Servers on other ports of this host share them, so there may be
/// several of one name.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = Sha256> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let named = pairs.filter(|(name, value)| *name == NAME && value.len() == TEXT);
    named.take(MOST).map(|(_, value)| Sha256::of(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn sent(session: &NewSession) -> HeaderMap {
        let cookie = session.cookie(false).unwrap();
        let pair = cookie.to_str().unwrap().split_once(';').unwrap().0.to_owned();
        let other = format!("theme=dark; {NAME}=forged; {pair}");
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&other).unwrap())])
    }

    #[test]
    fn a_session_lives_for_half_a_day_or_until_it_is_closed() {
        let (sessions, token) = (Sessions::default(), Sha256::of(b"token"));
        let headers = sent(&sessions.open(token, at(0)).unwrap());
        let last = LIFETIME.as_secs();
        assert_eq!(sessions.token_of(&headers, at(last - 1)), Some(token));
        assert_eq!(sessions.token_of(&headers, at(last)), None);
        assert_eq!(sessions.token_of(&HeaderMap::new(), at(0)), None);
        sessions.close(&headers);
        assert_eq!(sessions.token_of(&headers, at(0)), None);
    }

    #[test]
    fn the_oldest_session_ends_for_one_too_many() {
        let (sessions, token) = (Sessions::default(), Sha256::of(b"token"));
        let opened: Vec<_> = (0..=MOST).map(|_| sent(&sessions.open(token, at(0)).unwrap())).collect();
        assert_eq!(sessions.0.lock().len(), MOST);
        assert_eq!(sessions.token_of(&opened[0], at(1)), None);
        assert!(opened[1..].iter().all(|headers| sessions.token_of(headers, at(1)).is_some()));
    }

    #[test]
    fn a_token_that_opens_many_sessions_ends_its_own() {
        let (sessions, operator, reader) =
            (Sessions::default(), Sha256::of(b"operator"), Sha256::of(b"reader"));
        let opened = [(); 2].map(|()| sent(&sessions.open(operator, at(0)).unwrap()));
        for _ in 0..2 * MOST {
            sessions.open(reader, at(1)).unwrap();
        }
        assert!(opened.iter().all(|headers| sessions.token_of(headers, at(2)) == Some(operator)));
        assert_eq!(sessions.0.lock().len(), MOST);
    }

    #[test]
    fn a_cookie_is_kept_from_scripts_and_other_sites() {
        let session = Sessions::default().open(Sha256::of(b"token"), at(0)).unwrap();
        let [plain, secure] = [false, true].map(|secure| session.cookie(secure).unwrap());
        assert!(plain.is_sensitive() && plain.to_str().unwrap().ends_with("; HttpOnly; SameSite=Strict"));
        assert!(secure.to_str().unwrap().ends_with("; HttpOnly; SameSite=Strict; Secure"));
    }
}
