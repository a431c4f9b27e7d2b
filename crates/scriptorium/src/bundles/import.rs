//! Taking a bundle in: everything that can refuse it as a whole comes before the first write.
//!
//! ```text
//!  examine   signature → expiry → order of the key → inventory: every blob, every part
//!  take in   journal (begun) → what is kept → pins → files → documents → indexes → journal (whole, or what was left out)
//! ```
//! A step that was done is found done when the same bundle comes again, so an import that was killed goes on. Owns this order.
//! Must not know how a file is verified, nor how a document is judged.

use std::io;
use std::sync::Arc;

use bundle::{
    Inspection, KeyId, ManifestHead, OpenBundle, OrderVerdict, ProblemSubject, SequencePoint,
    SignatureVerdict, UtcSecond,
};

use self::taking::Taking;
use super::journal::{BundleJournal, ImportLine, JournalError};
use super::lock::journal_lock;
use super::origins::BundledRegistries;
use crate::clock::Timestamp;
use crate::files::CarriedFiles;
use crate::mirror::MirrorLocks;
use crate::store::{Store, StoreError};
use crate::upstream::RegistryClients;

mod documents;
mod files;
mod items;
mod noted;
mod report;
mod selected;
mod taking;
mod views;

use report::LeftOutSubject;
pub(crate) use report::{ImportOutcome, ImportReport};

/// From so many skipped sequences on the operator is told.
const MANY_SKIPPED: u64 = 1_000;

/// Why nothing was taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportFailure {
    #[error("the storage cannot be read or written")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the lock of the journal of bundles cannot be taken")]
    Lock(#[from] io::Error),
}

/// What an operator allows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ImportOptions {
    /// What is intact goes in without the rest.
    pub(crate) partial: bool,
    /// Without a signature, or with that of an unknown key.
    pub(crate) allow_unsigned: bool,
    /// Whatever was taken in of the key before.
    pub(crate) any_sequence: bool,
}

/// A bundle that may be taken in.
pub(crate) struct ExaminedBundle {
    bundle: Arc<OpenBundle>,
    inspection: Inspection,
    registries: BundledRegistries,
    /// Where the order of its key is kept; none for a bundle whose key is not trusted.
    order: Option<(KeyId, SequencePoint)>,
    /// The last bundle of the key when this one was examined.
    last: Option<SequencePoint>,
    options: ImportOptions,
    report: ImportReport,
}

impl ExaminedBundle {
    /// The report that it is refused for a reason of its receiver.
    pub(crate) fn refused(self, why: String) -> Box<ImportReport> {
        self.report.refused(why)
    }

    /// The bytes of everything in it.
    pub(crate) fn bytes(&self) -> u64 {
        self.inspection.bytes
    }
}

/// Examines all of a bundle. Reads every byte of it, of which `watch` is told, and blocks.
///
/// # Errors
/// The report of why it is refused as a whole, or that all of it was taken in before.
pub(crate) fn examine(
    bundle: OpenBundle,
    journal: &BundleJournal,
    options: ImportOptions,
    now: Timestamp,
    watch: impl FnMut(u64, u64),
) -> Result<ExaminedBundle, Box<ImportReport>> {
    let signed = signed(&bundle, options);
    let head = bundle.head();
    let report = ImportReport::of(head.as_ref().ok());
    signed.map_err(|why| report.clone().refused(why))?;
    let head = head.map_err(|error| report.clone().refused(error.to_string()))?;
    let mut report = report;
    let order = order(&bundle, &head, journal, options, now, &mut report)?;
    let registries = BundledRegistries::of(&bundle, &head.origin);
    let registries = registries.map_err(|error| report.clone().refused(error.to_string()))?;
    let inspection =
        bundle.inspect_watched(watch).map_err(|error| report.clone().refused(error.to_string()))?;
    for problem in &inspection.problems {
        let subject = match &problem.subject {
            ProblemSubject::Signature => return Err(report.refused(problem.to_string())),
            ProblemSubject::Blob(digest) => LeftOutSubject::Blob(digest.hex()),
            ProblemSubject::Part(name) => LeftOutSubject::Part(name.clone()),
        };
        report.leave_out(subject, problem.fault.to_string());
    }
    if !inspection.is_intact() && !options.partial {
        return Err(report.refused("it is damaged; `--partial` takes in what is intact".to_owned()));
    }
    let last = journal.last_taken(head.key_id);
    Ok(ExaminedBundle { bundle: Arc::new(bundle), inspection, registries, order, last, options, report })
}

/// Why the signature does not suffice.
fn signed(bundle: &OpenBundle, options: ImportOptions) -> Result<(), String> {
    match bundle.signature() {
        SignatureVerdict::Trusted(_) => Ok(()),
        SignatureVerdict::Untrusted(_) | SignatureVerdict::Missing if options.allow_unsigned => Ok(()),
        SignatureVerdict::Untrusted(key) => {
            Err(format!("it is signed by the key {key}, which is not in bundles.trusted_keys"))
        }
        SignatureVerdict::Missing => {
            Err("it has no signature: its export did not end, or somebody removed it".to_owned())
        }
        SignatureVerdict::Bad(why) => Err(why.to_string()),
    }
}

/// Whether it is the turn of a bundle. One without a trusted signature has no place in any order.
fn order(
    bundle: &OpenBundle,
    head: &ManifestHead,
    journal: &BundleJournal,
    options: ImportOptions,
    now: Timestamp,
    report: &mut ImportReport,
) -> Result<Option<(KeyId, SequencePoint)>, Box<ImportReport>> {
    let is_trusted = matches!(bundle.signature(), SignatureVerdict::Trusted(_));
    let (key, manifest) = (head.key_id, *bundle.manifest_digest());
    let last = journal.last_taken(key).filter(|_| is_trusted && !options.any_sequence);
    let refused = |why: String| Err(report.clone().refused(why));
    match OrderVerdict::of(head, manifest, last.as_ref(), second(now)) {
        OrderVerdict::Next { skipped } => {
            if skipped >= MANY_SKIPPED {
                report.warn(format!(
                    "{skipped} sequences of the key {key} were skipped, and none of them can be imported from now on; if that was \
                     not meant, trust a new key, or set the order back with `--any-sequence`"
                ));
            }
        }
        OrderVerdict::Repeated if journal.is_whole(key) => return Err(report.clone().unchanged()),
        OrderVerdict::Repeated => {}
        OrderVerdict::Older { held } => {
            return refused(format!(
                "a later bundle of the key {key} was imported, with the sequence {held}"
            ));
        }
        OrderVerdict::Forked => {
            return refused(format!(
                "another bundle of the key {key} with the sequence {} was imported",
                head.sequence
            ));
        }
        OrderVerdict::Expired { since } => return refused(format!("it expired at {since}")),
    }
    Ok(is_trusted.then_some((key, SequencePoint { sequence: head.sequence, manifest })))
}

/// The last second that began.
fn second(at: Timestamp) -> UtcSecond {
    UtcSecond::saturating(at.0 / 1000)
}

/// Where a bundle is taken in.
pub(crate) struct BundleImport<'a> {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) locks: &'a MirrorLocks,
    pub(crate) upstreams: &'a RegistryClients,
    pub(crate) files: CarriedFiles,
    pub(crate) max_document: u64,
    pub(crate) now: Timestamp,
    /// Told the bytes of every item that is done with.
    pub(crate) watch: &'a dyn Fn(u64),
}

impl BundleImport<'_> {
    /// Takes a bundle in. What cannot go in is left out, and the report says why.
    ///
    /// # Errors
    /// [`ImportFailure`]; then nothing was taken in, or the journal does not say what was.
    pub(crate) async fn take_in(self, examined: ExaminedBundle) -> Result<ImportReport, ImportFailure> {
        let ExaminedBundle { bundle, inspection, registries, order, last, options, report } = examined;
        let (signature, head) = (bundle.signature().as_str(), inspection.head.clone());
        if let Some((key, point)) = order {
            let _turn = journal_lock(self.locks).await?;
            let mut journal = self.journal(options).await?;
            if journal.last_taken(key) != last {
                return Ok(*report.refused("another import began meanwhile; run the import again".to_owned()));
            }
            journal.take(key, point, false);
            journal.write(&*self.store).await?;
        }
        let created = Timestamp(head.created.seconds().saturating_mul(1000)).min(self.now);
        let taking = Taking::new(&self, bundle, inspection.blobs, registries, created, report);
        let taken = taking.all(order.map(|(key, _)| key)).await;
        let (report, newest) = taking.end(taken);
        // An export may have noted a sequence meanwhile.
        let _turn = journal_lock(self.locks).await?;
        let mut journal = self.journal(options).await?;
        if let Some((key, point)) = order {
            journal.take(key, point, report.outcome == ImportOutcome::Imported);
        }
        journal.note(ImportLine {
            at: self.now,
            origin: head.origin,
            key_id: head.key_id,
            signature: signature.to_owned(),
            sequence: head.sequence,
            kind: head.kind.as_str().to_owned(),
            outcome: report.outcome.as_str().to_owned(),
            releases: report.releases,
            left_out: report.left_out_count(),
            confirmed: newest.unwrap_or(created),
        });
        match journal.write(&*self.store).await {
            Ok(()) => Ok(report),
            Err(error) => Ok(report.interrupted(&error)),
        }
    }

    /// The journal; a new one in place of a damaged one, if the operator allows any order.
    async fn journal(&self, options: ImportOptions) -> Result<BundleJournal, JournalError> {
        match BundleJournal::read(&*self.store).await {
            Err(JournalError::Damaged(_)) if options.any_sequence => Ok(BundleJournal::default()),
            read => read,
        }
    }

    fn watch(&self, bytes: u64) {
        (self.watch)(bytes);
    }
}
