//! The whole story of one file, for `tally explain`.

use std::fmt::Write as _;

use attest::Predicate;
use attest::judge::{Leaf, PackageClaims, rebuilds_for, sources_for};

use crate::compare::{describe, describe_seen};
use crate::finding::printable;
use crate::knowledge::Knowledge;
use crate::rebuilt;
use crate::subject::{Subject, Variant, attested};
use crate::time;
use crate::verify::{Stranger, Verified};

/// Owner, claims, builders, where the package file came from, checkpoint; the differences follow in the report.
#[must_use]
pub fn tell(verified: &Verified, knowledge: &Knowledge, path: &[u8]) -> String {
    let mut text = format!("{}\n", printable(path));
    for subject in &verified.subjects {
        owner(&mut text, subject, knowledge, path);
    }
    if let Some(found) = &verified.stranger {
        stranger(&mut text, found);
    }
    if let Some(head) = &verified.report.head {
        let witnesses: Vec<&str> = head.witnesses.keys().map(String::as_str).collect();
        let _ = writeln!(text, "  proven under  {} with {} entries, root {}", printable(head.origin.as_bytes()), head.size, head.root);
        let _ = writeln!(text, "  cosigned by   {}", printable(witnesses.join(", ").as_bytes()));
    }
    text
}

/// What no package owns.
fn stranger(text: &mut String, found: &Stranger) {
    let Stranger { inode, content, owners: (user, group), leads_to, below } = found;
    let _ = writeln!(text, "  belongs to    no package");
    let _ = writeln!(text, "  found         {}, mode {:04o} {user}:{group}", describe_seen(&inode.node, content.as_ref()), inode.mode);
    let changed = u64::try_from(inode.stamp.modified()).map_or_else(|_| "before 1970".to_owned(), time::format);
    let _ = writeln!(text, "  modified      {changed}, by its own word");
    if let Some(end) = leads_to {
        let _ = writeln!(text, "  leads to      /{}", printable(end));
    }
    if let Some((directory, owners)) = below {
        let (first, more) = (owners.first().map_or("", String::as_str), owners.len().saturating_sub(1));
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = writeln!(text, "  it is in      /{}, which {first}{more} ships", printable(directory));
    }
}

fn owner(text: &mut String, subject: &Subject, knowledge: &Knowledge, path: &[u8]) {
    let _ = writeln!(text, "  belongs to    {}", subject.label);
    if let Some(purl) = &subject.purl {
        let _ = writeln!(text, "  looked up as  {purl}");
    }
    let about = subject.purl.as_ref().map(|purl| knowledge.about(&purl.to_string())).unwrap_or_default();
    for stated in subject.purl.iter().flat_map(|purl| sources_for(purl, about)) {
        let by = attested(&stated.attesters).to_string();
        let _ = writeln!(text, "  built from    {}, says {}", stated.source, printable(by.as_bytes()));
    }
    for claims in &subject.claims {
        claim(text, claims);
        about.iter().filter(|leaf| leaf.statement.subject.digest.sha256 == claims.package).for_each(|leaf| origin(text, leaf));
        for rebuilt in rebuilds_for(&claims.package, about).all {
            let _ = writeln!(text, "  built again   {}", printable(rebuilt::describe(&rebuilt).as_bytes()));
        }
    }
    for variant in &subject.variants {
        entry(text, variant, path);
    }
}

fn claim(text: &mut String, claims: &PackageClaims) {
    let _ = writeln!(text, "  package file  sha256 {}", claims.package);
    for claim in &claims.claims {
        let _ = writeln!(text, "  claim         manifest {} of {} lines", claim.files.manifest, claim.files.lines);
        let _ = writeln!(text, "  claimed by    {}", printable(attested(&claim.attesters).to_string().as_bytes()));
    }
}

/// Who saw the package file in which signed repository.
fn origin(text: &mut String, leaf: &Leaf) {
    let Predicate::PackageOrigin(origin) = &leaf.statement.predicate else { return };
    let words = format!(
        "{} {}, {} in {}, signed by {}",
        origin.origin,
        origin.suite,
        origin.filename,
        origin.packages_path,
        origin.signers.join(", ")
    );
    let _ = writeln!(text, "  came from     {}", printable(words.as_bytes()));
    let _ = writeln!(text, "  seen there by {} (entry {})", printable(leaf.key.name().as_str().as_bytes()), leaf.index);
}

fn entry(text: &mut String, variant: &Variant, path: &[u8]) {
    let relative = path.strip_prefix(b"/").unwrap_or(path);
    // The package may name it through an alias (/bin/ls for /usr/bin/ls) or before a diversion.
    let merged = [b"usr/", relative].concat();
    let candidates = [Some(relative), relative.strip_prefix(b"usr/"), Some(merged.as_slice())];
    let Some(entry) = candidates.into_iter().flatten().find_map(|path| variant.manifest.entry(path)) else { return };
    let _ = writeln!(text, "  attested      {}, tag {}", describe(&entry.node), entry.class.tag());
    if let Some(attributes) = &entry.attributes {
        let _ = writeln!(text, "  attributes    mode {:04o} {}:{}", attributes.mode, attributes.uname, attributes.gname);
    }
    for observed in variant.observed.get(&entry.path).into_iter().flatten() {
        let parts = [
            ("mode", &observed.mode),
            ("owner", &observed.uname),
            ("group", &observed.gname),
            ("capability", &observed.caps),
            ("moved to", &observed.to),
        ];
        let parts: Vec<String> = parts.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {value}"))).collect();
        let _ = writeln!(text, "  observed      {:?} after installing it: {}", observed.change, printable(parts.join(", ").as_bytes()));
    }
}
