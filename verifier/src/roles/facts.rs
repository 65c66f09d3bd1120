//! What a roles document says, line by line, each line with the key that it belongs to: what two versions are compared by.

use attest::Roles;

/// What only the first says, and what only the second says, in the documents' order.
pub(super) fn changes(before: &Roles, after: &Roles) -> (Vec<String>, Vec<String>) {
    let (old, new) = (facts(before), facts(after));
    let only = |these: &[String], others: &[String]| these.iter().filter(|fact| !others.contains(fact)).cloned().collect();
    (only(&old, &new), only(&new, &old))
}

/// The lines that say something of themselves. Number and predecessor differ in any case.
fn facts(roles: &Roles) -> Vec<String> {
    let (mut facts, mut key) = (Vec::new(), String::new());
    for line in roles.encode().lines().skip(1) {
        let ours = ["version ", "previous "].iter().any(|word| line.starts_with(word));
        if line.is_empty() || line.starts_with('#') || ours {
            continue;
        }
        match line.strip_prefix("  ") {
            Some(detail) => facts.push(format!("{key} {detail}")),
            None => {
                line.clone_into(&mut key);
                facts.push(key.clone());
            }
        }
    }
    facts
}
