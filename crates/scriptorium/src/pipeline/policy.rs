//! What the operator's policy said of a release, for metrics, the log and the audit record.
//!
//! Owns which of it is recorded. Must not know rules, nor how an answer is changed by one.

use std::sync::Arc;

use policy::Waiver;

use super::writes::actor;
use super::{IncomingRequest, Pipeline};
use crate::audit_record::AuditedRequest;
use crate::limit::RateDecision;
use crate::policies::{KeptVerdict, PolicyFinding};
use crate::respond::Response;

/// What was said of the release of a response; it travels with the response.
#[derive(Debug, Clone)]
pub(super) struct PolicyMark {
    pub(super) finding: Option<Arc<PolicyFinding>>,
    /// The waiver by which it is sent.
    waiver: Option<Arc<Waiver>>,
}

impl PolicyMark {
    /// A finding alone.
    pub(super) fn of(finding: &Arc<PolicyFinding>) -> Self {
        Self { finding: Some(Arc::clone(finding)), waiver: None }
    }

    /// What `verdict` says of what is sent.
    pub(super) fn of_verdict(verdict: &KeptVerdict) -> Option<Self> {
        let (finding, waiver) = (verdict.of_release().cloned(), verdict.waived().cloned());
        (finding.is_some() || waiver.is_some()).then_some(Self { finding, waiver })
    }

    /// A response with this mark.
    pub(super) fn on(mark: Option<Self>, mut response: Response) -> Response {
        if let Some(mark) = mark {
            response.extensions_mut().insert(mark);
        }
        response
    }
}

impl Pipeline {
    /// Counts and records what the policy said.
    pub(super) fn account_policy(
        &self,
        request: &IncomingRequest,
        admission: &RateDecision,
        request_id: &str,
        mark: &PolicyMark,
    ) {
        let asked = || AuditedRequest {
            who: actor(Some(&admission.client), &request.headers),
            from: self.limiter.origin(request.peer, &request.headers),
            about: request.uri.path(),
            request_id,
        };
        if let Some(finding) = &mark.finding {
            let action = finding.action.as_str();
            self.metrics.policy.decided(&finding.rule, action);
            if finding.refuses() {
                self.audit_record.policy_refusal(&asked(), &finding.rule, action);
            }
        }
        if let Some(Waiver { rule, by, .. }) = mark.waiver.as_deref() {
            self.audit_record.waiver_used(&asked(), rule, by.as_deref().unwrap_or_default());
        }
    }
}
