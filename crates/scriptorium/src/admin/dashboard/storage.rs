//! What is stored, by kind, and what would go next.
//!
//! Owns these. Must not know how a value is chosen. Nothing is walked: the account of the storage says it.

use maud::{Markup, html};

use super::picture;
use super::release_path;
use super::words::{bytes, count, counted, percent};
use crate::admin::Admin;
use crate::admin::storage::kinds;
use crate::domain::Purl;
use crate::store::{StorageKey, Usage, sealed};

/// How many values are named that would go next.
const NEXT: usize = 5;

/// A value that would be evicted soon.
pub(super) struct NextToGo {
    kind: &'static str,
    bytes: u64,
    /// The release whose archive it is.
    release: Option<Purl>,
}

impl Admin {
    pub(super) async fn storage_card(&self) -> Markup {
        let mut next = Vec::new();
        for (key, bytes) in self.store.ceiling().next_victims(NEXT) {
            // Read aside, since a look is no use of the file.
            let seal = match key {
                StorageKey::Archive(_) => {
                    sealed::open(&**self.store.ceiling().objects(), &key).await.ok().flatten()
                }
                _ => None,
            };
            let release = seal.and_then(|seal| seal.identity.parse().ok());
            next.push(NextToGo { kind: key.kind(), bytes, release });
        }
        storage(&self.store.usage(), &next)
    }
}

pub(super) fn storage(usage: &Usage, next: &[NextToGo]) -> Markup {
    let kinds = kinds(usage);
    let mut pieces: Vec<_> = kinds.iter().map(|(kind, held)| (*kind, held.bytes)).collect();
    pieces.push(("others", usage.staged + usage.quarantined));
    let text = format!("{} of {} used", bytes(usage.used), bytes(usage.max));
    html! {
        section.card {
            h2 { "Storage" }
            p { strong { (bytes(usage.used)) } " of " (bytes(usage.max)) ", " (percent(usage.used, usage.max)) " %" }
            (picture::filled(&pieces, usage.max, &text))
            @if !usage.counted { p.quiet { "What an earlier process stored is being counted." } }
            table.short {
                thead { tr { th { "Kind" } th.number { "Values" } th.number { "Size" } } }
                tbody {
                    @for (kind, held) in kinds {
                        tr {
                            td { span.swatch.(kind) {} (kind) }
                            td.number { (count(held.values as u64)) }
                            td.number { (bytes(held.bytes)) }
                        }
                    }
                    tr { td { span.swatch.others {} "being written" } td {} td.number { (bytes(usage.staged)) } }
                    tr { td { span.swatch.others {} "set aside" } td {} td.number { (bytes(usage.quarantined)) } }
                }
            }
            h3 { "What goes next" }
            p.quiet {
                "Nothing is evicted below 95 %. " (counted(usage.evicted.values as u64, "value was", "values were"))
                " evicted since the start, " (bytes(usage.evicted.bytes)) "."
            }
            @if next.is_empty() {
                p.quiet { "Nothing that is stored may be evicted." }
            } @else {
                ol {
                    @for NextToGo { kind, bytes: size, release } in next {
                        li {
                            (kind) " " (bytes(*size))
                            @if let Some(Purl { name, version }) = release {
                                " " a href=(release_path(name, version)) { (name) "@" (version) }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Tally;

    #[test]
    fn storage_says_what_is_used_and_what_goes_next() {
        let archives = Tally { values: 2, bytes: 512 << 20 };
        let usage = Usage { max: 1 << 30, used: 512 << 20, archives, counted: true, ..Usage::default() };
        let release = Some(Purl { name: "@acme/lamp".parse().unwrap(), version: "1.0.0".parse().unwrap() });
        let shown = storage(&usage, &[NextToGo { kind: "archives", bytes: 4096, release }]).into_string();
        for part in [
            "512.0 MiB",
            "50 %",
            r#"href="/release/@acme/lamp/1.0.0""#,
            "4.0 KiB",
            r#"class="archives" x="0""#,
        ] {
            assert!(shown.contains(part), "no {part:?} in {shown}");
        }
        assert!(
            storage(&Usage::default(), &[]).into_string().contains("Nothing that is stored may be evicted.")
        );
    }
}
