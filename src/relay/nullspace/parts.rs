//! One part of a resumable upload.
//!
//! Owns what a part must be, that one that was taken is not sent again, and that two of one number do not overtake each
//! other. Must not know what the parts make together.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;
use tracing::warn;

use super::manifest::excerpt;
use super::passing::{PASSING, patiently, uncoded};
use super::route::Upload;
use super::session::Earlier;
use super::sessions::Live;
use super::{Nullspace, Refused, UploadFault};
use crate::domain::Sha256;
use crate::intake::{Arriving, Received};
use crate::limit::Client;
use crate::relay::token::Owner;
use crate::relay::upload::{self, Description, Taken};
use crate::relay::{Answer, BodyError, ClientBody, Refused as Unrelayed, Request, forward};
use crate::store::StoreError;
use crate::upstream::Relayed;

const PART_SHA256: HeaderName = HeaderName::from_static("x-nullspace-part-sha256");

/// What a part must be.
struct Part {
    upload: String,
    number: u32,
    /// Its length, where the upload is known here.
    length: Option<u64>,
    /// Its digest, where its sender says one.
    declared: Option<Sha256>,
    /// Most bytes of any part.
    limit: u64,
}

impl Part {
    fn refused(&self, fault: UploadFault) -> Unrelayed {
        Refused::Upload { fault, upload: excerpt(&self.upload), part: Some(self.number) }.into()
    }

    /// `found` bytes where others are expected.
    fn wrong_size(&self, expected: u64, found: impl ToString) -> Unrelayed {
        self.refused(UploadFault::PartSize { expected, found: found.to_string() })
    }

    /// The same in the words of this API, where it has some.
    fn in_its_words(&self, refused: Unrelayed) -> Unrelayed {
        let fault = match refused {
            Unrelayed::TooLarge { limit } | Unrelayed::Body(BodyError::TooLarge { limit }) => {
                match self.length {
                    Some(expected) if limit >= expected => {
                        UploadFault::PartSize { expected, found: "more".to_owned() }
                    }
                    _ => UploadFault::TooLarge { limit },
                }
            }
            Unrelayed::Storage(StoreError::Full | StoreError::TooLarge) => UploadFault::NoRoom,
            refused => return patiently(refused),
        };
        self.refused(fault)
    }
}

impl Description for Part {
    type Found = ();

    fn limit(&self) -> u64 {
        self.length.unwrap_or(u64::MAX).min(self.limit)
    }

    fn inspect(&self, _: &mut Arriving<'_>) -> Result<(), Unrelayed> {
        Ok(())
    }

    fn judge(&self, (): &(), received: &Received) -> Result<(), Unrelayed> {
        let (sha256, length) = (received.sha256(), received.length());
        if let Some(expected) = self.length.filter(|expected| *expected != length) {
            return Err(self.wrong_size(expected, length));
        }
        match self.declared {
            Some(declared) if declared != sha256 => {
                let what = format!("declared {}, found {}", declared.hex(), sha256.hex());
                Err(self.refused(UploadFault::PartChecksum(what)))
            }
            _ => Ok(()),
        }
    }
}

/// What is read of a session in the registry's words.
#[derive(Deserialize)]
struct Standing {
    status: String,
    next_part: Option<u64>,
}

impl Standing {
    /// Whether it has `number`, as far as it says, and takes further parts.
    fn holds(&self, number: u32) -> bool {
        let open = matches!(self.status.as_str(), "created" | "uploading" | "staged");
        open && self.next_part != Some(number.into())
    }
}

impl Nullspace {
    /// Takes a part in, and sends it on if it is what was declared and the registry does not have it.
    pub(super) async fn part(
        &self,
        upload: Upload<'_>,
        number: u32,
        request: Request<'_>,
        body: ClientBody,
    ) -> Result<Answer, Unrelayed> {
        uncoded(request.headers)?;
        let live = self.sessions.find(upload).await?;
        let owner = Owner::of(request.headers);
        // Of somebody else's upload only the registry can tell.
        let ours = live.as_ref().filter(|live| live.is_of(&owner));
        let limit = self.ground.sizes().max_body;
        let mut part = Part { upload: upload.id.to_owned(), number, length: None, declared: None, limit };
        if let Some(live) = ours {
            let count = live.facts.part_count;
            let length = live.facts.length_of(number);
            part.length = Some(length.ok_or_else(|| part.refused(UploadFault::PartNumber { count }))?);
        }
        part.declared = declared(request.headers).map_err(|fault| part.refused(fault))?;
        if let (Some(length), Some(announced)) = (part.length, body.announced())
            && length != announced
        {
            return Err(part.wrong_size(length, announced));
        }
        if ours.is_none() {
            body.fits(limit).map_err(|fault| part.in_its_words(fault.into()))?;
            // Nobody without an upload fills the disk, or keeps others from their turn.
            let (answer, _) = self.ask("nullspace-upload", &upload.path(), &request).await?;
            if !answer.status.is_success() {
                return Ok(answer);
            }
        }
        let part = Arc::new(part);
        let client = request.client();
        let taken = upload::take_in(&self.ground, &client, Arc::clone(&part), body).await;
        let Taken { received, share: _share, .. } = taken.map_err(|refused| part.in_its_words(refused))?;

        let Some(live) = &live else {
            return self.send_on("nullspace-part", &request, &received).await.map(coming);
        };
        // Only now, so that a client that stalls keeps nobody waiting.
        let _turn = live.turn(number).await;
        if ours.is_some() && self.is_replay(live, number, (&received, &client)).await? {
            match self.ask("nullspace-upload", &upload.path(), &request).await {
                Ok((answer, document)) if answer.status.is_success() && holds(&document, number) => {
                    return Ok(answer);
                }
                // Parts may be sent again, so the registry is given it once more.
                Ok(_) | Err(Unrelayed::CouldNotAsk(_)) => {}
                Err(refused) => return Err(refused),
            }
        }
        let sent = self.send_on("nullspace-part", &request, &received).await;
        let taken = sent.as_ref().ok().map(|relayed| relayed.status.is_success());
        self.note(live, ours.is_some(), number, (&received, &client), taken).await;
        if ours.is_some() && sent.as_ref().is_ok_and(|relayed| relayed.status == StatusCode::GONE) {
            self.sessions.end(upload).await;
        }
        sent.map(coming)
    }

    /// Whether the registry took just these bytes before. What it took instead of them is forgotten first, since from
    /// now on it may have either.
    async fn is_replay(
        &self,
        live: &Live,
        number: u32,
        (part, client): (&Received, &Client),
    ) -> Result<bool, Unrelayed> {
        let mut session = live.session().await;
        match session.earlier(number, &part.sha256()) {
            Earlier::None => Ok(false),
            Earlier::Other => {
                session.forget(number);
                self.sessions.keep(live, &session).await?;
                Ok(false)
            }
            Earlier::Same => {
                // The hash of the whole may have waited for it.
                session.accept(number, part, client).await;
                if let Err(error) = self.sessions.keep(live, &session).await {
                    warn!(%error, "a part of an upload could not be noted");
                }
                Ok(true)
            }
        }
    }

    /// Notes what became of a part that was sent on: whether it was `taken`, where that is known.
    async fn note(
        &self,
        live: &Live,
        ours: bool,
        number: u32,
        (part, client): (&Received, &Client),
        taken: Option<bool>,
    ) {
        let mut session = live.session().await;
        match (ours, taken) {
            (true, Some(true)) => session.accept(number, part, client).await,
            // Somebody else's part may have taken the place of ours.
            (false, Some(true) | None) => session.forget(number),
            (true, None) | (_, Some(false)) => return,
        }
        if let Err(error) = self.sessions.keep(live, &session).await {
            warn!(%error, "a part of an upload could not be noted");
        }
    }
}

fn coming(relayed: Relayed) -> Answer {
    forward::coming(relayed, PASSING)
}

fn holds(document: &[u8], number: u32) -> bool {
    serde_json::from_slice::<Standing>(document).is_ok_and(|standing| standing.holds(number))
}

/// The digest that the sender declares.
fn declared(headers: &HeaderMap) -> Result<Option<Sha256>, UploadFault> {
    let mut values = headers.get_all(PART_SHA256).into_iter();
    let Some(value) = values.next() else { return Ok(None) };
    let digest = value.to_str().ok().and_then(|hex| Sha256::from_hex(hex).ok());
    let digest = digest.filter(|_| values.next().is_none());
    let what = "expected 64 lowercase hexadecimal digits";
    digest.map(Some).ok_or_else(|| UploadFault::PartChecksum(what.to_owned()))
}
