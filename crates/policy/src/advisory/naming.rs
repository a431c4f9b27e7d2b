//! How documents about advisories name a volume.
//!
//! Owns those names: purls, and the ecosystem of volumes. Must not know where in a document they stand.

use archive::VolumeName;

/// Whether an ecosystem is that of volumes: OSV has no name for it yet, so several spellings are read.
pub(super) fn is_ours(ecosystem: &str) -> bool {
    let ecosystem = ecosystem.split(':').next().unwrap_or_default();
    let letters: String = ecosystem.chars().filter(char::is_ascii_alphanumeric).collect();
    ["agentvolumes", "agentvolume", "volume", "volumes"].iter().any(|name| letters.eq_ignore_ascii_case(name))
}

/// The volume of a purl with or without a version.
pub(super) fn volume_of_purl(purl: &str) -> Option<VolumeName> {
    let name = purl.strip_prefix("pkg:volume/")?;
    let name = name.split(['?', '#']).next()?;
    let name = match name.rfind('@') {
        Some(at) if at > 0 => &name[..at],
        _ => name,
    };
    match name.strip_prefix("%40") {
        Some(scoped) => format!("@{scoped}").parse().ok(),
        None => name.parse().ok(),
    }
}
