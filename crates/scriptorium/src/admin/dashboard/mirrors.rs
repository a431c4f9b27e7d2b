//! How mirrors stand, and what came with bundles.
//!
//! Owns these words. Must not know what a sync does.

use maud::{Markup, html};

use super::frame::Visit;
use super::words::{bounded, bytes, count, counted};
use crate::bundles::ImportLine;
use crate::mirror::record::LackSubject;
use crate::mirror::report::MirrorStatus;

/// Missing things that are named for each mirror.
const NAMED: usize = 5;

pub(super) fn mirrors(visit: &Visit, mirrors: &[MirrorStatus], imports: &[ImportLine]) -> Markup {
    html! {
        section.card {
            h2 { "Mirrors and imports" }
            @for mirror in mirrors { (shown(visit, mirror)) }
            @if mirrors.is_empty() { p.quiet { "No mirror is configured." } }
            h3 { "Imports" }
            @if imports.is_empty() { p.quiet { "No bundle was imported." } }
            @for import in imports { p { (import) } }
        }
    }
}

fn shown(visit: &Visit, mirror: &MirrorStatus) -> Markup {
    let missing = mirror.missing.len() + mirror.untold;
    let (tone, state) = match mirror {
        mirror if mirror.running => ("idle", "runs"),
        mirror if mirror.is_whole() => ("good", "complete"),
        mirror if mirror.last_sync.is_none() => ("warn", "never synced"),
        _ => ("warn", "incomplete"),
    };
    html! {
        article.lane {
            h3 { (mirror.mirror) " " span.badge.(tone) { (state) } }
            dl.facts {
                dt { "Holds" }
                dd { (counted(mirror.releases as u64, "release", "releases")) ", " (bytes(mirror.bytes)) }
                dt { "Complete" }
                dd { @if let Some(at) = &mirror.last_success { (at) } @else { "never" } }
                @if let Some(run) = mirror.run.as_ref().filter(|_| mirror.running) {
                    dt { "Run" }
                    dd { "number " (run.number) ", " (count(run.done as u64)) " of " (count(run.of as u64)) }
                }
            }
            @if missing > 0 {
                p { (counted(missing as u64, "thing is", "things are")) " missing:" }
                ul {
                    @for lack in mirror.missing.iter().take(NAMED) {
                        @let (LackSubject::Root(subject) | LackSubject::Release(subject)) = &lack.subject;
                        li { strong { (subject) } ": " (bounded(&lack.reason)) }
                    }
                    @if missing > NAMED { li { a href="/admin/v1/mirrors" { "all of them" } } }
                }
            }
            @if visit.may_act && !mirror.running {
                form action="/act/sync" method="post" {
                    input type="hidden" name="mirror" value=(mirror.mirror);
                    button type="submit" { "Sync now" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::token::{AdminCaller, AdminRole};
    use crate::mirror::record::MirrorLack;

    #[test]
    fn a_mirror_says_what_is_missing_and_who_may_sync_it() {
        let reason = "<script>alert(1)</script>".to_owned();
        let lack = MirrorLack { subject: LackSubject::Root("@acme/*".to_owned()), reason };
        let mut mirror = MirrorStatus::of("ci", None);
        mirror.missing = vec![lack; 7];
        let visit = |caller| Visit::new(&caller, "", |_| None);
        let shown = mirrors(&visit(AdminCaller::Anybody), &[mirror.clone()], &[]).into_string();
        assert!(shown.contains("7 things are missing") && shown.contains("all of them"), "{shown}");
        assert!(shown.contains("Sync now") && !shown.contains("<script"), "{shown}");
        let reader = AdminCaller::Holder { name: None, role: AdminRole::Read };
        assert!(!mirrors(&visit(reader), &[mirror], &[]).into_string().contains("Sync now"));
    }
}
