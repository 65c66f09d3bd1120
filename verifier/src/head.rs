//! What the tree head and the control head say about time: is what is known still current?

use attest::judge::Completeness;
use tlog::Policy;

use crate::config::Rules;
use crate::finding::{Attested, Finding, Kind};
use crate::knowledge::Knowledge;
use crate::report::Head;
use crate::time;

/// The head for the report.
#[must_use]
pub fn describe(knowledge: &Knowledge, policy: &Policy, rules: &Rules, now: u64) -> Head {
    let checkpoint = &knowledge.checkpoint().checkpoint;
    Head {
        origin: checkpoint.origin.clone(),
        size: checkpoint.tree.size,
        root: checkpoint.tree.root.to_hex(),
        witnesses: knowledge.cosigned().clone(),
        fresh: policy.freshness(knowledge.cosigned(), now.saturating_add(rules.allowed_skew)),
    }
}

/// Whether the head is fresh, by the witnesses' times alone; and whether this machine's clock can be right.
#[must_use]
pub fn freshness(knowledge: &Knowledge, policy: &Policy, rules: &Rules, now: u64) -> Option<Finding> {
    let latest = now.saturating_add(rules.allowed_skew);
    let Some(vouched) = policy.freshness(knowledge.cosigned(), u64::MAX) else {
        let why = "the policy asks for no witnesses, so nothing says how old the checkpoint is";
        return Some(Finding::new(Kind::StaleHead, why));
    };
    // One witness with a wrong clock cannot cause this; a quorum that is ahead means that this clock is behind.
    if vouched > latest {
        let why = format!("a quorum of witnesses signed at {}, but this machine's clock says {}", time::format(vouched), time::format(now));
        return Some(Finding::new(Kind::ClockBehind, why));
    }
    let fresh = policy.freshness(knowledge.cosigned(), latest).unwrap_or(0);
    let age = now.saturating_sub(fresh);
    (age > rules.max_age).then(|| {
        let why = format!(
            "the newest checkpoint known is {} old (at most {} is allowed): warnings since {} are not known here",
            time::span(age),
            time::span(rules.max_age),
            time::format(fresh)
        );
        Finding::new(Kind::StaleHead, why)
    })
}

/// Whether the roles in force are over: a foundation that is gone, or whose newer versions are withheld, leaves old keys in office.
#[must_use]
pub fn expiry(knowledge: &Knowledge, now: u64) -> Option<Finding> {
    let current = knowledge.judge().roles().current()?;
    let day = current.roles.expires.filter(|_| current.roles.is_over(now))?;
    let why = format!(
        "version {} of the roles was to be replaced before {}, and nothing newer is known: keys that they name may be withdrawn",
        current.roles.version,
        attest::day::format(day)
    );
    Some(Finding::new(Kind::StaleRoles, why))
}

/// Whether all warnings are known: a line for the report, and a finding if they are known not to be. Where every entry was read, `unread` is
/// the number of names that were not looked for among them.
#[must_use]
pub fn completeness(knowledge: &Knowledge, rules: &Rules, unread: Option<usize>, now: u64) -> (String, Option<Finding>) {
    let by = || Attested { by: knowledge.control_head_entry().map(|entry| (entry, "control head".to_owned())).into_iter().collect() };
    let limit = rules.max_control_head_age.unwrap_or(rules.max_age);
    let (words, finding) = match knowledge.completeness() {
        Completeness::Withheld(head) => {
            let roles = knowledge.judge().roles().current().map_or(0, |current| current.roles.version);
            let known = knowledge.advisories().newest();
            let (kind, what) = if roles < head.roles {
                (Kind::StaleRoles, format!("roles version {} exists, and only version {roles} is known here", head.roles))
            } else if known < head.advisory {
                (Kind::StaleControlHead, format!("advisory {} exists, and only {known} are known here", head.advisory))
            } else {
                let (named, known) = (head.lifecycle.unwrap_or(0), knowledge.lifecycles().newest());
                (Kind::StaleControlHead, format!("lifecycle statement {named} exists, and only {known} are known here"))
            };
            let why = format!("{what}: somebody withholds it");
            ("INCOMPLETE: the control head names what is not here".to_owned(), Some(Finding::new(kind, why).attested(&by())))
        }
        // Until its time has come it would be new whatever is withheld.
        Completeness::Complete(head) if head.time > now.saturating_add(rules.allowed_skew) => {
            let why = format!("the newest control head is dated {} ahead of this machine's clock", time::span(head.time - now));
            (
                "the log's word: the control head is of the future".to_owned(),
                Some(Finding::new(Kind::StaleControlHead, why).attested(&by())),
            )
        }
        Completeness::Complete(head) => {
            let age = now.saturating_sub(head.time);
            if age > limit {
                let why = format!("the newest control head is {} old, at most {} is allowed", time::span(age), time::span(limit));
                ("the log's word: the control head is too old".to_owned(), Some(Finding::new(Kind::StaleControlHead, why).attested(&by())))
            } else {
                let ends = head.lifecycle.map_or_else(String::new, |number| format!(", {number} statements of ends of life"));
                let words = format!(
                    "the security team vouched {} ago for {} advisories{ends} and roles version {}",
                    time::span(age),
                    head.advisory,
                    head.roles
                );
                // A head vouches for warnings and roles. Claims can still be left out by whoever answers.
                let words = if unread.is_some() { words } else { words + "; that no claim is left out is the log's word" };
                (words, None)
            }
        }
        Completeness::Unknown => {
            let demanded = rules.max_control_head_age.is_some();
            let why = "the policy demands a control head, and the log shows none";
            (
                "the log's word (no control head says that no warning is missing)".to_owned(),
                demanded.then(|| Finding::new(Kind::StaleControlHead, why)),
            )
        }
    };
    let whole = match unread {
        Some(0) => "every entry of the log was read for these packages; ".to_owned(),
        Some(names) => {
            format!("every entry of the log was read, but not for {names} of these packages: sync again with --full for this root; ")
        }
        None => String::new(),
    };
    (whole + &words, finding)
}
