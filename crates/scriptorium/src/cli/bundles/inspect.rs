//! `mirror inspect`.
//!
//! Owns what is shown of a bundle, and the exit code. Must not know what is checked.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use bundle::{
    BundleOpenError, BundleProblem, Inspection, OpenBundle, ProblemSubject, SignatureVerdict, TrustedKey,
    UtcSecond,
};
use bytesize::ByteSize;
use serde_json::{Value, json};

use super::BundleArgs;
use crate::cli::CommandFailure;
use crate::cli::progress;

pub(super) fn run(folder: &Path, args: &BundleArgs) -> Result<ExitCode, CommandFailure> {
    let config = args.load()?;
    let bundle = match open(folder, &config.bundles.trusted_keys)? {
        Ok(bundle) => bundle,
        Err(error) => return unreadable(&SignatureVerdict::Missing, &error, args.json),
    };
    let bar = progress::bar(progress::is_watched(args.json).then_some(0));
    let inspected = bundle.inspect_watched(|done, of| {
        bar.set_length(of);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let inspection = match inspected {
        Ok(inspection) => inspection,
        Err(error) => return unreadable(bundle.signature(), &error, args.json),
    };
    let is_expired = inspection.head.is_expired(UtcSecond::saturating(super::now().0 / 1000));
    let written = crate::cli::answer(&match args.json {
        true => json(&bundle, &inspection, is_expired)? + "\n",
        false => text(&bundle, &inspection, is_expired),
    });
    let is_trusted = matches!(bundle.signature(), SignatureVerdict::Trusted(_));
    Ok(if is_trusted && inspection.is_intact() { written } else { ExitCode::FAILURE })
}

/// Shows that there is no manifest, or none that can be read. Nothing of its head is known then.
fn unreadable(
    signature: &SignatureVerdict,
    why: &(dyn Error + 'static),
    as_json: bool,
) -> Result<ExitCode, CommandFailure> {
    if !as_json {
        return Err(crate::cli::fail(why));
    }
    let reason = crate::cli::with_causes(why);
    let shown = json!({
        "format": null, "origin": null, "key_id": null, "sequence": null, "kind": null, "base": null,
        "created": null, "expires": null, "manifest": null, "missing": [],
        "signed_by": signature.signed_by(),
        "signature": signature.as_str(),
        "expired": false,
        "intact": false,
        "problems": [{ "reason": reason }],
    });
    crate::cli::answer(&format!("{shown}\n"));
    Ok(ExitCode::FAILURE)
}

/// Opens the bundle in `folder`, if there is one. A path that leads to no folder is a mistake of whoever typed it.
pub(super) fn open(
    folder: &Path,
    trusted: &[TrustedKey],
) -> Result<Result<OpenBundle, BundleOpenError>, CommandFailure> {
    if !folder.is_dir() {
        return Err(crate::cli::usage(&format!("{}: expected the folder of a bundle", folder.display())));
    }
    let scratch = tempfile::tempfile().map_err(|error| crate::cli::fail(&error))?;
    Ok(OpenBundle::open(folder, trusted, scratch))
}

fn json(bundle: &OpenBundle, inspection: &Inspection, is_expired: bool) -> Result<String, CommandFailure> {
    let head = serde_json::to_value(&inspection.head).map_err(|error| crate::cli::fail(&error))?;
    let mut shown = json!({ "format": bundle::FORMAT });
    let facts = json!({
        "manifest": bundle.manifest_digest().hex(),
        "documents": inspection.documents,
        "files": inspection.files,
        "parts": inspection.parts,
        "bytes": inspection.bytes,
        "missing": missing(bundle)?,
        "signed_by": bundle.signature().signed_by(),
        "signature": bundle.signature().as_str(),
        "expired": is_expired,
        "intact": inspection.is_intact(),
        "problems": inspection.problems.iter().map(problem).collect::<Vec<_>>(),
    });
    if let Some(shown) = shown.as_object_mut() {
        shown.extend(
            [head, facts]
                .into_iter()
                .filter_map(|value| match value {
                    Value::Object(members) => Some(members),
                    _ => None,
                })
                .flatten(),
        );
    }
    Ok(shown.to_string())
}

fn problem(problem: &BundleProblem) -> Value {
    let reason = problem.fault.to_string();
    match &problem.subject {
        ProblemSubject::Signature => json!({ "reason": reason }),
        ProblemSubject::Blob(digest) => json!({ "blob": digest.hex(), "reason": reason }),
        ProblemSubject::Part(name) => json!({ "part": name, "reason": reason }),
    }
}

fn missing(bundle: &OpenBundle) -> Result<Vec<Value>, CommandFailure> {
    let mut missing = Vec::new();
    let read = bundle.items(|item| {
        if let bundle::ManifestItem::Gap(gap) = item {
            missing.extend(serde_json::to_value(gap));
        }
        Ok::<_, bundle::ManifestReadError>(())
    });
    read.map(|_| missing).map_err(|error| crate::cli::fail(&error))
}

fn text(bundle: &OpenBundle, inspection: &Inspection, is_expired: bool) -> String {
    let Inspection { head, documents, files, parts, bytes, problems, .. } = inspection;
    let mut text = String::new();
    let signature = match bundle.signature() {
        SignatureVerdict::Bad(why) => format!("bad: {why}"),
        verdict => match verdict.signed_by() {
            Some(key) => format!("{}, by {key}", verdict.as_str()),
            None => verdict.as_str().to_owned(),
        },
    };
    let expires = match head.expires {
        Some(at) if is_expired => format!("{at}, which is past"),
        Some(at) => at.to_string(),
        None => "never".to_owned(),
    };
    for (label, value) in [
        ("origin", &*head.origin),
        ("key", &head.key_id.to_string()),
        ("sequence", &head.sequence.to_string()),
        ("kind", head.kind.as_str()),
        ("created", &head.created.to_string()),
        ("expires", &expires),
        ("documents", &documents.to_string()),
        ("files", &files.to_string()),
        ("parts", &parts.to_string()),
        ("bytes", &ByteSize(*bytes).to_string()),
        ("signature", &signature),
    ] {
        let _ = writeln!(text, "{label:<10}  {value}");
    }
    for problem in problems {
        let _ = writeln!(text, "wrong       {problem}");
    }
    text
}
