//! Warnings for other tools: OSV and OpenVEX documents of what is in force here (`specs/advisory.md`).

use attest::judge::InForce;
use attest::predicate::{Affected, Severity};
use serde_json::{Value, json};

use crate::time;

/// One OSV document for each confirmed warning, one a line: <https://ossf.github.io/osv-schema/>. An advisory has no time of its own, so
/// `modified` is that of the checkpoint that shows it.
#[must_use]
pub fn osv(warnings: &[&InForce], as_of: u64) -> String {
    warnings.iter().map(|warning| format!("{}\n", osv_document(warning, as_of))).collect()
}

fn osv_document(warning: &InForce, as_of: u64) -> Value {
    let advisory = &warning.advisory;
    let is_cve = advisory.reference.starts_with("CVE-");
    let references = if advisory.reference.starts_with("https://") || advisory.reference.starts_with("http://") {
        json!([{ "type": "ADVISORY", "url": advisory.reference }])
    } else {
        json!([])
    };
    json!({
        "schema_version": "1.6.0",
        "id": advisory.id,
        "modified": time::format(as_of),
        "related": if is_cve { json!([advisory.reference]) } else { json!([]) },
        "summary": advisory.summary,
        "details": advisory.advice,
        "affected": advisory.affected.iter().map(osv_affected).collect::<Vec<_>>(),
        "references": references,
        "database_specific": { "severity": severity(advisory.severity), "sequence": advisory.sequence },
    })
}

/// Patterns that are no package's name, and digests, are kept beside: OSV has no words for them.
fn osv_affected(affected: &Affected) -> Value {
    let mut events = vec![json!({ "introduced": affected.from.as_deref().unwrap_or("0") })];
    events.extend(affected.before.as_deref().map(|before| json!({ "fixed": before })));
    let mut object = json!({
        "ranges": [{ "type": "ECOSYSTEM", "events": events }],
        "database_specific": { "pattern": affected.pattern(), "digests": affected.digests.iter().map(tlog::Hash::to_hex).collect::<Vec<_>>() },
    });
    if let Some((ecosystem, name, purl)) = package(affected) {
        object["package"] = json!({ "ecosystem": ecosystem, "name": name, "purl": purl });
    }
    object
}

/// Ecosystem, name and package URL of a pattern that names one package of a vendor whom OSV knows.
fn package(affected: &Affected) -> Option<(&'static str, String, String)> {
    // OSV's names of Debian's and Alpine's packages are those of their sources.
    let pattern = affected.purl.as_deref().or(affected.source.as_deref()).filter(|pattern| !pattern.ends_with('*'))?;
    let mut parts = pattern.strip_prefix("pkg:")?.splitn(3, '/');
    let (kind, vendor, name) = (parts.next()?, parts.next()?, parts.next()?);
    let ecosystem = match (kind, vendor) {
        ("deb", "debian") => "Debian",
        ("deb", "ubuntu") => "Ubuntu",
        ("apk", "alpine") => "Alpine",
        ("rpm", "opensuse") => "openSUSE",
        ("rpm", "rocky") => "Rocky Linux",
        ("rpm", "almalinux") => "AlmaLinux",
        _ => return None,
    };
    Some((ecosystem, name.replace("%2B", "+"), pattern.to_owned()))
}

/// One OpenVEX document with a statement for each confirmed warning: <https://github.com/openvex/spec>. Products are package URLs without a
/// version where the pattern names a package, and digests.
#[must_use]
pub fn openvex(warnings: &[&InForce], origin: &str, as_of: u64) -> String {
    let id = tlog::Hash::digest(format!("{origin} {as_of} {}", warnings.len()).as_bytes()).to_hex();
    let document = json!({
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": format!("https://openvex.dev/docs/public/vex-{id}"),
        "author": format!("the security team of the log {origin}"),
        "timestamp": time::format(as_of),
        "version": 1,
        "statements": warnings.iter().map(|warning| statement(warning, as_of)).collect::<Vec<_>>(),
    });
    format!("{document}\n")
}

fn statement(warning: &InForce, as_of: u64) -> Value {
    let advisory = &warning.advisory;
    let products: Vec<Value> = advisory.affected.iter().flat_map(products).collect();
    json!({
        "vulnerability": { "name": if advisory.reference.starts_with("CVE-") { &advisory.reference } else { &advisory.id } },
        "timestamp": time::format(as_of),
        "products": products,
        "status": "affected",
        "status_notes": advisory.summary,
        "action_statement": advisory.advice,
    })
}

fn products(affected: &Affected) -> Vec<Value> {
    let pattern = affected.pattern();
    if affected.digests.is_empty() {
        let range = match (&affected.from, &affected.before) {
            (None, None) => String::new(),
            (from, before) => format!("?vers={}", vers(pattern, from.as_deref(), before.as_deref())),
        };
        return vec![json!({ "@id": format!("{pattern}{range}") })];
    }
    affected.digests.iter().map(|digest| json!({ "@id": pattern, "hashes": { "sha-256": digest.to_hex() } })).collect()
}

/// A range as package URLs have it, `vers:deb/>=1|<2`, with its signs escaped.
fn vers(pattern: &str, from: Option<&str>, before: Option<&str>) -> String {
    let kind = pattern.strip_prefix("pkg:").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let bounds: Vec<String> =
        from.map(|from| format!("%3E%3D{from}")).into_iter().chain(before.map(|before| format!("%3C{before}"))).collect();
    format!("vers:{kind}/{}", bounds.join("%7C"))
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "LOW",
        Severity::Medium => "MEDIUM",
        Severity::High => "HIGH",
        Severity::Critical => "CRITICAL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attest::predicate::{Action, Advisory};
    use tlog::Hash;

    fn warning(affected: Vec<Affected>) -> InForce {
        let advisory = Advisory {
            action: Action::Warn,
            advice: "Upgrade.".into(),
            affected,
            id: "TSA-1".into(),
            previous: None,
            reference: "https://example.com/1".into(),
            sequence: 1,
            severity: Severity::High,
            summary: "A hole.".into(),
        };
        InForce { advisory, attesters: Vec::new(), confirmed: true }
    }

    fn openssl() -> Affected {
        Affected { from: Some("1.1".into()), before: Some("3.0.17-1".into()), ..Affected::packages("pkg:deb/debian/openssl") }
    }

    #[test]
    fn a_range_of_one_package_is_told_in_osvs_words() {
        let document = osv_document(&warning(vec![openssl(), Affected::packages("pkg:deb/debian/*")]), 1_795_273_445);
        assert_eq!(document["modified"], "2026-11-21T15:04:05Z");
        assert_eq!(
            document["affected"][0]["package"],
            json!({ "ecosystem": "Debian", "name": "openssl", "purl": "pkg:deb/debian/openssl" })
        );
        assert_eq!(document["affected"][0]["ranges"][0]["events"], json!([{ "introduced": "1.1" }, { "fixed": "3.0.17-1" }]));
        assert!(document["affected"][1].get("package").is_none(), "a pattern is no package");
        assert_eq!(document["references"][0]["url"], "https://example.com/1");
    }

    #[test]
    fn openvex_names_products_by_ranges_and_by_digests() {
        let digest = Hash::digest(b"x");
        let by_digest = Affected { digests: vec![digest], ..Affected::packages("pkg:*") };
        let told = statement(&warning(vec![openssl(), by_digest]), 0);
        assert_eq!(told["products"][0]["@id"], "pkg:deb/debian/openssl?vers=vers:deb/%3E%3D1.1%7C%3C3.0.17-1");
        assert_eq!(told["products"][1]["hashes"]["sha-256"], digest.to_hex());
        assert_eq!(told["vulnerability"]["name"], "TSA-1");
    }
}
