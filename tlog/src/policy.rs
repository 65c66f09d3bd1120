//! Which logs and which witnesses are trusted: C2SP tlog-policy, `specs/policy.md`.
//!
//! Text in, verdicts out: [`Policy::verify`] says whether a checkpoint is signed by a log and cosigned by a quorum,
//! [`Policy::freshness`] how old it is by the quorum's word. The counting is in the private module `quorum`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use crate::key::KeyKind;
use crate::quorum::{Group, Member, Quorum};
use crate::{SignedCheckpoint, VerifierKey, checkpoint, cosignature, text};

/// A parsed policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<LogLine>,
    witnesses: Vec<WitnessLine>,
    quorum: Quorum,
}

/// A `log` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its key, of type 01 or 06; the key's name is the origin.
    pub key: VerifierKey,
    /// Where it is.
    pub url: Option<String>,
}

/// A `witness` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessLine {
    /// The name in this policy.
    pub name: String,
    /// Its key, of type 04 or 06. Lines whose keys have one name are one witness.
    pub key: VerifierKey,
    /// Its submission prefix.
    pub url: Option<String>,
}

/// Why a policy was refused: the line's number, from 1, and the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// From 1; 0 for the whole file.
    pub line: usize,
    /// In words.
    pub reason: &'static str,
}

/// Why a checkpoint does not satisfy a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsatisfied {
    /// No log of the policy signed it, or one's signature is wrong.
    Log,
    /// Too few witnesses cosigned it, or a known one's cosignature is wrong.
    Quorum,
}

/// The cosignatures that verified: witness name to timestamp.
pub type Cosigned = BTreeMap<String, u64>;

impl Policy {
    /// Largest policy in bytes.
    pub const MAX_BYTES: usize = 1_000_000;
    /// Most logs, most witnesses and most groups (the specification asks for 32 of each).
    pub const MAX_LINES: usize = 256;

    /// Parses a policy; grammar and limits as in the specification.
    pub fn parse(text: &[u8]) -> Result<Self, PolicyError> {
        let whole = |reason| PolicyError { line: 0, reason };
        if text.len() > Self::MAX_BYTES {
            return Err(whole("the policy is larger than 1,000,000 bytes"));
        }
        let lines = text.strip_suffix(b"\n").ok_or(whole("the last line does not end in a line feed"))?;
        let mut reader = Reader::default();
        for (index, line) in lines.split(|byte| *byte == b'\n').enumerate() {
            reader.line(line).map_err(|reason| PolicyError { line: index.saturating_add(1), reason })?;
        }
        let root = reader.root.ok_or(whole("there is no quorum line; write `quorum none` if no witness is wanted"))?;
        let quorum = Quorum { groups: reader.groups, root };
        Ok(Self { logs: reader.logs, witnesses: reader.witnesses, quorum })
    }

    /// The policy again, without comments and with one space between words; parsing it gives an equal policy.
    #[must_use]
    pub fn encode(&self) -> String {
        let url = |url: &Option<String>| url.as_ref().map(|url| format!(" {url}")).unwrap_or_default();
        let mut text = String::new();
        for log in &self.logs {
            text.push_str(&format!("log {}{}\n", log.key.encode(), url(&log.url)));
        }
        for witness in &self.witnesses {
            text.push_str(&format!("witness {} {}{}\n", witness.name, witness.key.encode(), url(&witness.url)));
        }
        for group in &self.quorum.groups {
            let members: String = group.members.iter().map(|member| format!(" {}", self.name(*member))).collect();
            text.push_str(&format!("group {} {}{members}\n", group.name, group.threshold));
        }
        text.push_str(&format!("quorum {}\n", self.quorum.root.map_or(NONE, |root| self.name(root))));
        text
    }

    /// The `log` lines.
    #[must_use]
    pub fn logs(&self) -> &[LogLine] {
        &self.logs
    }

    /// The `witness` lines.
    #[must_use]
    pub fn witnesses(&self) -> &[WitnessLine] {
        &self.witnesses
    }

    /// Whether the quorum is `none`.
    #[must_use]
    pub fn is_unwitnessed(&self) -> bool {
        self.quorum.root.is_none()
    }

    /// Whether these witnesses (by name) satisfy the quorum.
    #[must_use]
    pub fn is_satisfied_by(&self, names: &dyn Fn(&str) -> bool) -> bool {
        self.quorum.is_satisfied(&|index| self.witnesses.get(index).is_some_and(|witness| names(&witness.name)))
    }

    /// Whether two quorums exist that share no witness: a policy that a split view can satisfy twice. Keys of one name are one
    /// witness. Exact; `None` only where more than 16 witnesses have keys in several groups: too large to tell.
    #[must_use]
    pub fn has_disjoint_quorums(&self) -> Option<bool> {
        self.quorum.has_disjoint(&self.owners())
    }

    /// The witnesses whose cosignatures verify; a known key's wrong cosignature is an error. Of several good cosignatures by one
    /// key the newest counts.
    pub fn cosigned(&self, checkpoint: &SignedCheckpoint) -> Result<Cosigned, Unsatisfied> {
        let mut cosigned = Cosigned::new();
        for witness in &self.witnesses {
            for line in checkpoint.note.lines.iter().filter(|line| line.is_by(&witness.key)) {
                let time = cosignature::verify(&witness.key, line, &checkpoint.checkpoint).map_err(|_| Unsatisfied::Quorum)?;
                let newest = cosigned.entry(witness.name.clone()).or_default();
                *newest = time.max(*newest);
            }
        }
        Ok(cosigned)
    }

    /// Log signature and quorum; returns the verified cosignatures. A `log` line counts for checkpoints of its own origin only.
    pub fn verify(&self, checkpoint: &SignedCheckpoint) -> Result<Cosigned, Unsatisfied> {
        let origin = checkpoint.checkpoint.origin.as_str();
        let keys: Vec<_> = self.logs.iter().map(|log| &log.key).filter(|key| key.name().as_str() == origin).cloned().collect();
        checkpoint.verify_log(&keys).map_err(|_| Unsatisfied::Log)?;
        let cosigned = self.cosigned(checkpoint)?;
        if self.is_satisfied_by(&|name| cosigned.contains_key(name)) { Ok(cosigned) } else { Err(Unsatisfied::Quorum) }
    }

    /// The largest time t such that the cosignatures not older than t satisfy the quorum; those later than `latest` count as none,
    /// and so do those without a time. `None` if there is no such time, as in a policy without witnesses.
    #[must_use]
    pub fn freshness(&self, cosigned: &Cosigned, latest: u64) -> Option<u64> {
        if self.is_unwitnessed() {
            return None;
        }
        let counts = |time: &u64| (1..=latest).contains(time);
        let times: BTreeSet<u64> = cosigned.values().copied().filter(counts).collect();
        let fresh = |since: u64| self.is_satisfied_by(&|name| cosigned.get(name).is_some_and(|time| counts(time) && *time >= since));
        times.into_iter().rev().find(|since| fresh(*since))
    }

    fn name(&self, member: Member) -> &str {
        match member {
            Member::Witness(index) => self.witnesses.get(index).map_or(NONE, |witness| &witness.name),
            Member::Group(index) => self.quorum.groups.get(index).map_or(NONE, |group| &group.name),
        }
    }

    /// For each witness line the number of the first line with a key of the same name.
    fn owners(&self) -> Vec<usize> {
        let first = |witness: &WitnessLine| self.witnesses.iter().position(|other| other.key.name() == witness.key.name());
        self.witnesses.iter().filter_map(first).collect()
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    logs: Vec<LogLine>,
    witnesses: Vec<WitnessLine>,
    groups: Vec<Group>,
    names: BTreeMap<String, Member>,
    grouped: BTreeSet<String>,
    root: Option<Option<Member>>,
}

type Read = Result<(), &'static str>;

impl Reader {
    fn line(&mut self, line: &[u8]) -> Read {
        if line.iter().any(|byte| matches!(byte, 0..=8 | 11..=31 | 127)) {
            return Err("a control character other than the tab");
        }
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(());
        }
        let line = core::str::from_utf8(line).map_err(|_| "names and URLs must be UTF-8")?;
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let keyword = words.next();
        let words: Vec<&str> = words.collect();
        match keyword {
            Some("log") => self.log(&words),
            Some("witness") => self.witness(&words),
            Some("group") => self.group(&words),
            Some("quorum") => self.quorum(&words),
            _ => Err("the line begins with none of log, witness, group, quorum"),
        }
    }

    fn log(&mut self, words: &[&str]) -> Read {
        let (key, url) = key_and_url(words).ok_or("expected `log VKEY [URL]`; a comment needs its own line")?;
        let key = read_key(key)?;
        if !checkpoint::is_log_kind(key.kind()) {
            return Err("a log's key must be of type 01 or 06");
        }
        if self.logs.iter().any(|log| log.key.public() == key.public()) {
            return Err("another log line has the same public key");
        }
        self.refuse_ambiguous(&key)?;
        self.logs.push(LogLine { key, url });
        limit(self.logs.len())
    }

    fn witness(&mut self, words: &[&str]) -> Read {
        let usage = "expected `witness NAME VKEY [URL]`; a comment needs its own line";
        let (name, rest) = words.split_first().ok_or(usage)?;
        let (key, url) = key_and_url(rest).ok_or(usage)?;
        let key = read_key(key)?;
        if key.kind() == KeyKind::Ed25519 {
            return Err("a witness's key must be of type 04 or 06");
        }
        if self.witnesses.iter().any(|witness| witness.key.public() == key.public()) {
            return Err("another witness line has the same public key");
        }
        self.refuse_ambiguous(&key)?;
        self.define(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(WitnessLine { name: (*name).to_string(), key, url });
        limit(self.witnesses.len())
    }

    fn group(&mut self, words: &[&str]) -> Read {
        let [name, threshold, names @ ..] = words else { return Err("expected `group NAME all|any|K MEMBER...`") };
        let mut members = Vec::new();
        for member in names {
            members.push(*self.names.get(*member).ok_or("a member is not defined on an earlier line")?);
            if !self.grouped.insert((*member).to_string()) {
                return Err("a name can be a member only once in the whole file");
            }
        }
        let threshold = match *threshold {
            "all" => members.len(),
            "any" => 1,
            number => text::decimal(number).and_then(|number| usize::try_from(number).ok()).unwrap_or_default(),
        };
        if !(1..=members.len()).contains(&threshold) {
            return Err("the threshold must be all, any, or a number from 1 to the number of members");
        }
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { name: (*name).to_string(), threshold, members });
        limit(self.groups.len())
    }

    fn quorum(&mut self, words: &[&str]) -> Read {
        let [name] = words else { return Err("expected `quorum NAME` or `quorum none`") };
        let root = match *name {
            NONE => None,
            name => Some(*self.names.get(name).ok_or("the quorum is not defined on an earlier line")?),
        };
        if self.root.replace(root).is_some() {
            return Err("a second quorum line");
        }
        Ok(())
    }

    fn define(&mut self, name: &str, member: Member) -> Read {
        if name == NONE {
            return Err("the name none is reserved");
        }
        if self.names.insert(name.to_string(), member).is_some() {
            return Err("the name is defined twice; witnesses and groups share their names");
        }
        Ok(())
    }

    /// Two keys of one name and ID would make every signature by one of them a wrong one by the other.
    fn refuse_ambiguous(&self, key: &VerifierKey) -> Read {
        let mut keys = self.logs.iter().map(|log| &log.key).chain(self.witnesses.iter().map(|witness| &witness.key));
        if keys.any(|other| other.name() == key.name() && other.id() == key.id()) {
            return Err("another key has the same name and the same ID");
        }
        Ok(())
    }
}

fn key_and_url<'a>(words: &[&'a str]) -> Option<(&'a str, Option<String>)> {
    match words {
        [key] => Some((key, None)),
        [key, url] => Some((key, Some((*url).to_string()))),
        _ => None,
    }
}

fn read_key(key: &str) -> Result<VerifierKey, &'static str> {
    VerifierKey::parse(key).map_err(|_| "not a verifier key of a known type with the right key ID")
}

fn limit(lines: usize) -> Read {
    if lines > Policy::MAX_LINES { Err("more than 256 lines of one kind") } else { Ok(()) }
}

const NONE: &str = "none";
