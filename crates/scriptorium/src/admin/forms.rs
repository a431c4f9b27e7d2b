//! The forms of the pages: the same actions as those of programs, asked for by a browser.
//!
//! The door has let in only what our own pages send. Owns the fields of each form, and where the browser goes next. Must
//! not know what an action does.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION, ORIGIN, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use url::form_urlencoded;

use super::actions::ActionOutcome;
use super::dashboard::{self, release_path};
use super::door::{AdminRefusal, AdminRequest};
use super::request::{Invalid, Invalidate};
use super::route::AdminForm;
use super::sessions::NewSession;
use super::token::AdminCaller;
use super::{Admin, HTML, reply};
use crate::domain::VolumePattern;
use crate::mirror::RunKind;
use crate::respond::{Body, Response, ResponseContext};

/// The fields of a form; none if it is too long.
struct FormFields(Vec<(String, String)>);

impl FormFields {
    fn read(body: Option<Bytes>) -> Self {
        let body = body.unwrap_or_default();
        Self(form_urlencoded::parse(&body).into_owned().collect())
    }

    /// The value of a field that is there once and not empty.
    fn one(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(field, _)| field == name).map(|(_, value)| value.trim());
        match (values.next(), values.next()) {
            (Some(value), None) if !value.is_empty() => Some(value),
            _ => None,
        }
    }
}

impl Admin {
    /// Does what a form asks for, and sends the browser back to the page.
    pub(super) async fn fill_in(
        &self,
        form: AdminForm,
        caller: &AdminCaller,
        arrival: &AdminRequest<'_>,
        body: impl Future<Output = Option<Bytes>>,
    ) -> Response {
        let fields = FormFields::read(body.await);
        let named = |field| fields.one(field).unwrap_or_default();
        let mut back = "/".to_owned();
        let outcome = match form {
            AdminForm::Invalidate => {
                let asked = invalidation(&fields);
                if let Ok(Invalidate { volumes: VolumePattern::Exact(name), version: Some(version) }) = &asked
                {
                    back = release_path(name, version);
                }
                self.recorded(form.as_str(), caller, arrival, self.invalidate(asked)).await
            }
            AdminForm::Reload => self.recorded(form.as_str(), caller, arrival, self.reload()).await,
            AdminForm::Resume => {
                let work = async { self.resume(named("upstream")) };
                self.recorded(form.as_str(), caller, arrival, work).await
            }
            AdminForm::Sync => {
                let work = async { self.run(named("mirror"), RunKind::Sync) };
                self.recorded(form.as_str(), caller, arrival, work).await
            }
        };
        let number = self.notices.add(outcome.sentence());
        see_other(&format!("{back}?said={number}"))
    }

    /// Opens a session for whoever gives a token, and sends the browser to the first page.
    pub(super) async fn log_in(
        &self,
        arrival: &AdminRequest<'_>,
        body: impl Future<Output = Option<Bytes>>,
        asked: ResponseContext<'_>,
    ) -> Response {
        let fields = FormFields::read(body.await);
        let token = fields.one("token").unwrap_or_default();
        let opened = self.door.tokens.open(token, self.clock.monotonic());
        let Some((caller, session)) = opened else {
            self.refusals.count(AdminRefusal::Token, arrival);
            let page = dashboard::login(Some("That is no token of this port."));
            return answered(StatusCode::UNAUTHORIZED, page, asked);
        };
        // One that was open before would live on in no browser.
        self.door.tokens.close(arrival.headers);
        let work = async { ActionOutcome::ok("", serde_json::Value::Null, "") };
        self.recorded("login", &caller, arrival, work).await;
        let mut response = see_other("/");
        if let Some(cookie) = session.cookie(is_secure(arrival.headers)) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    }

    /// Ends the session of the browser.
    pub(super) fn log_out(&self, arrival: &AdminRequest<'_>) -> Response {
        self.door.tokens.close(arrival.headers);
        let mut response = see_other("/");
        response.headers_mut().insert(SET_COOKIE, NewSession::over());
        response
    }
}

/// What the form names: a volume, or a pattern; with a version, one release.
fn invalidation(fields: &FormFields) -> Result<Invalidate, Invalid> {
    let volumes = fields.one("volume").and_then(|volume| volume.parse().ok());
    let volumes: VolumePattern = volumes.ok_or(Invalid::Form("that is no volume and no pattern"))?;
    let version =
        fields.one("version").map(|version| version.parse().map_err(|_| Invalid::Form("that is no version")));
    match (volumes, version.transpose()?) {
        (VolumePattern::All | VolumePattern::Prefix(_), Some(_)) => {
            Err(Invalid::Form("a pattern has no version"))
        }
        (volumes, version) => Ok(Invalidate { volumes, version }),
    }
}

/// Whether the page that sent this came over TLS.
fn is_secure(headers: &HeaderMap) -> bool {
    headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

/// Sends the browser to another page.
pub(super) fn see_other(location: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(LOCATION, HeaderValue::from_str(location).unwrap_or(HeaderValue::from_static("/")));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The page `text` with this status.
pub(super) fn answered(status: StatusCode, text: String, asked: ResponseContext<'_>) -> Response {
    let mut response = reply(HTML, text, asked);
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(form: &str) -> Result<Invalidate, Invalid> {
        invalidation(&FormFields::read(Some(Bytes::copy_from_slice(form.as_bytes()))))
    }

    #[test]
    fn a_form_names_a_volume_a_release_or_a_pattern() {
        assert_eq!(asked("volume=%40acme%2Fx").unwrap().volumes.to_string(), "@acme/x");
        assert_eq!(asked("volume=+lamp+&version=").unwrap().version, None);
        assert_eq!(asked("volume=lamp&version=1.0.0%2Bb").unwrap().version.unwrap().to_string(), "1.0.0+b");
        assert_eq!(asked("volume=*").unwrap().volumes, VolumePattern::All);
        for bad in [
            "",
            "volume=",
            "volume=X",
            "volume=a&volume=b",
            "volume=lamp&version=1",
            "volume=*&version=1.0.0",
        ] {
            assert!(asked(bad).is_err(), "{bad}");
        }
        assert!(invalidation(&FormFields::read(None)).is_err());
    }
}
