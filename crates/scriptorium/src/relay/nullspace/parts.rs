//! One part of a resumable upload.
//!
//! Owns two rules: a part that the registry has is not sent again, and requests for the same part are sent one after the
//! other. Must not know what a part must be, nor the hash of the whole.

use std::sync::Arc;

use http::StatusCode;
use nullspace::{PartDescription, UploadPath, holds_part};

use super::Nullspace;
use super::passing::PASSED;
use super::sessions::LiveUpload;
use crate::intake::{Arriving, Received};
use crate::limit::Client;
use crate::relay::owner::Owner;
use crate::relay::upload::{self, CheckedUpload, Description};
use crate::relay::{BodyError, ClientBody, RelayRequest, RelayedAnswer, WriteRefusal, forward};
use crate::store::StoreError;

impl Description for PartDescription {
    type Found = ();

    fn inspect(&self, _: &mut Arriving<'_>) -> Result<(), WriteRefusal> {
        Ok(())
    }

    fn judge(&self, (): &(), received: &Received) -> Result<(), WriteRefusal> {
        Ok(self.check(&received.sha256(), received.length())?)
    }
}

/// The refusal as the API states it, if the API has a reason for it.
fn api_refusal(part: &PartDescription, refused: WriteRefusal) -> WriteRefusal {
    match refused {
        WriteRefusal::Body(BodyError::TooLarge { limit }) => part.too_large(limit).into(),
        WriteRefusal::Storage(StoreError::Full | StoreError::TooLarge) => part.no_room().into(),
        refused => refused,
    }
}

/// A part that was received and checked, and the client that sent it.
struct CheckedPart<'a> {
    number: u32,
    received: &'a Received,
    client: &'a Client,
}

impl Nullspace {
    /// Receives a part and checks it. Sends it, unless the registry has it.
    pub(super) async fn upload_part(
        &self,
        upload: UploadPath<'_>,
        number: u32,
        request: RelayRequest<'_>,
        body: ClientBody,
    ) -> Result<RelayedAnswer, WriteRefusal> {
        super::expect_uncoded(request.headers)?;
        let live = self.sessions.find(upload).await?;
        let owner = Owner::of(request.headers);
        // Only the registry knows whether another client may write to the upload.
        let own = live.as_ref().filter(|live| live.owner.is(&owner));
        let limit = self.services.sizes().max_body;
        let facts = own.map(|live| &live.facts);
        let description = Arc::new(PartDescription::new(upload, number, facts, request.headers, limit)?);
        description.check_announced(body.announced())?;
        if own.is_none() {
            body.fits(limit).map_err(|fault| api_refusal(&description, fault.into()))?;
            // A client without an upload must not fill the disk or take upload slots.
            let (answer, _) = self.fetch("nullspace-upload", &upload.path(), &request).await?;
            if !answer.status.is_success() {
                return Ok(answer);
            }
        }
        let (client, limit) = (request.client(), description.limit());
        let checked = upload::take_in(&self.services, &client, Arc::clone(&description), limit, body).await;
        let CheckedUpload { received, slot: _slot, .. } =
            checked.map_err(|refused| api_refusal(&description, refused))?;

        let Some(live) = &live else {
            let relayed = self.send_upload("nullspace-part", &request, &received).await?;
            return Ok(forward::streamed(relayed, PASSED));
        };
        let part = CheckedPart { number, received: &received, client: &client };
        // Locked after the part was received: a client that stalls delays no other request for this part.
        let _lock = live.lock_part(number).await;
        if own.is_some() && self.is_replay(live, &part).await? {
            match self.fetch("nullspace-upload", &upload.path(), &request).await {
                Ok((answer, document)) if answer.status.is_success() && holds_part(&document, number) => {
                    return Ok(answer);
                }
                // The API allows a part to be sent again.
                Ok(_) | Err(WriteRefusal::CouldNotAsk(_)) => {}
                Err(refused) => return Err(refused),
            }
        }
        let sent = self.send_upload("nullspace-part", &request, &received).await;
        let accepted = sent.as_ref().ok().map(|relayed| relayed.status.is_success());
        self.note(live, own.is_some(), &part, accepted).await;
        if own.is_some() && sent.as_ref().is_ok_and(|relayed| relayed.status == StatusCode::GONE) {
            self.sessions.end(upload).await;
        }
        Ok(forward::streamed(sent?, PASSED))
    }

    /// Whether the registry accepted the same bytes before. If it accepted other bytes, they are forgotten first: from
    /// now on the registry may have either.
    async fn is_replay(&self, live: &LiveUpload, part: &CheckedPart<'_>) -> Result<bool, WriteRefusal> {
        let mut session = live.session.lock().await;
        let is_same = session.progress.accepted(part.number).map(|digest| *digest == part.received.sha256());
        match is_same {
            None => {}
            Some(true) => {
                // The hash of the whole may need these bytes: a part that was held is lost with a restart.
                session.accept(part.number, part.received, part.client).await;
                self.sessions.try_save(live, &session).await;
            }
            Some(false) => {
                session.forget(part.number);
                self.sessions.save(live, &session).await?;
            }
        }
        Ok(is_same == Some(true))
    }

    /// Records whether the registry `accepted` a part, which is unknown when its answer was lost. The part is the owner's
    /// `own`, or another client's.
    async fn note(&self, live: &LiveUpload, own: bool, part: &CheckedPart<'_>, accepted: Option<bool>) {
        let mut session = live.session.lock().await;
        match (own, accepted) {
            (true, Some(true)) => session.accept(part.number, part.received, part.client).await,
            // Another client's part may have replaced the owner's.
            (false, Some(true) | None) => session.forget(part.number),
            (true, None) | (_, Some(false)) => return,
        }
        self.sessions.try_save(live, &session).await;
    }
}
