//! What `gpgv` reports of signatures, read strictly.

/// Why a signature does not hold, or cannot be checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpgvError {
    /// The program is not there.
    #[error("gpgv is not installed")]
    NotInstalled,
    /// The keyring cannot be used.
    #[error("keyring {path}: {reason}")]
    Keyring {
        /// Which file.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No signature at all; for an InRelease file, none from its first byte on.
    #[error("the file is not signed")]
    Unsigned,
    /// A signature by a key of the keyring is wrong: the file was altered.
    #[error("a signature is wrong: the file was altered")]
    Bad,
    /// Nobody of the keyring signed it.
    #[error("no signature by a key of the keyring")]
    UnknownKey,
    /// Only keys that have expired or were revoked signed it.
    #[error("signed only by a key or signature that has expired or was revoked")]
    Expired,
    /// Only weak digests.
    #[error("signed only over a weak digest")]
    WeakDigest,
    /// What gpgv makes of the file has no end.
    #[error("gpgv was ended: the file is far larger or slower to read than any signed one")]
    TooMuch,
    /// gpgv's report is not understood.
    #[error("gpgv's report makes no sense: {0}")]
    Report(String),
}

impl GpgvError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotInstalled => "install it: apt-get install gpgv",
            Self::Keyring { .. } => {
                "for Debian: apt-get install debian-archive-keyring, and keyring = \"/usr/share/keyrings/debian-archive-keyring.gpg\"; armored keys: gpg --dearmor"
            }
            Self::Unsigned => "unsigned repositories are not attested; remove it from the sources",
            Self::Bad | Self::TooMuch => "do not trust this mirror; if a proxy is between, ask it for a fresh copy",
            Self::UnknownKey | Self::Expired => {
                "check that the keyring is the newest one of the distribution, and that the mirror is up to date"
            }
            Self::WeakDigest => "the repository must sign with SHA-256 or better",
            Self::Report(_) => "try gpgv by hand with --status-fd 1",
        }
    }
}

/// What one signature's lines said.
#[derive(Default)]
struct Signature {
    good: bool,
    valid: Option<String>,
    spoilt: Option<GpgvError>,
}

/// The primary keys' fingerprints of all good signatures of a report. gpgv's exit status is no help: it also fails when one of several
/// signers is merely unknown.
///
/// # Errors
/// What makes the text unsigned.
pub fn judge(report: &str) -> Result<Vec<String>, GpgvError> {
    judge_with(report, 1)
}

/// The same for a detached signature, where the file itself is in no report.
///
/// # Errors
/// What makes the file unsigned.
pub fn judge_detached(report: &str) -> Result<Vec<String>, GpgvError> {
    judge_with(report, 0)
}

fn judge_with(report: &str, wanted: usize) -> Result<Vec<String>, GpgvError> {
    let mut signatures: Vec<Signature> = Vec::new();
    let mut texts = 0;
    for line in report.lines() {
        let line = line.strip_prefix("[GNUPG:] ").ok_or_else(|| GpgvError::Report(line.to_owned()))?;
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "NEWSIG" => signatures.push(Signature::default()),
            "PLAINTEXT" => texts += 1,
            "BADSIG" => return Err(GpgvError::Bad),
            // More than one message, data outside of it, or an error of the program itself.
            "NODATA" => return Err(GpgvError::Unsigned),
            "UNEXPECTED" | "BADARMOR" | "FAILURE" | "ERROR" => return Err(GpgvError::Report(line.to_owned())),
            _ => {
                let signature = signatures.last_mut();
                note(signature, word, rest, line)?;
            }
        }
    }
    if texts != wanted {
        return Err(if signatures.is_empty() { GpgvError::Unsigned } else { GpgvError::Report("another number of texts".to_owned()) });
    }
    signers(signatures)
}

fn note(signature: Option<&mut Signature>, word: &str, rest: &str, line: &str) -> Result<(), GpgvError> {
    let spoilt = match word {
        "GOODSIG" | "VALIDSIG" => None,
        "EXPSIG" | "EXPKEYSIG" | "REVKEYSIG" | "KEYREVOKED" => Some(GpgvError::Expired),
        "ERRSIG" | "NO_PUBKEY" => Some(GpgvError::UnknownKey),
        // Progress and details that decide nothing.
        _ => return Ok(()),
    };
    let signature = signature.ok_or_else(|| GpgvError::Report(line.to_owned()))?;
    match (word, spoilt) {
        ("GOODSIG", _) => signature.good = true,
        ("VALIDSIG", _) => match valid(rest) {
            Ok(fingerprint) => signature.valid = Some(fingerprint),
            Err(error) => signature.spoilt = Some(error),
        },
        (_, spoilt) => signature.spoilt = signature.spoilt.take().or(spoilt),
    }
    Ok(())
}

/// `VALIDSIG fingerprint date time expires version reserved key-algorithm hash-algorithm class primary-fingerprint`.
fn valid(rest: &str) -> Result<String, GpgvError> {
    let fields: Vec<&str> = rest.split(' ').collect();
    let [_, _, _, _, _, _, _, hash, class, primary] = fields[..] else { return Err(GpgvError::Report(rest.to_owned())) };
    // RFC 9580 section 9.5: 8 is SHA-256, 9 SHA-384, 10 SHA-512; section 5.2.1: 00 binary, 01 text document.
    if !matches!(hash, "8" | "9" | "10") {
        return Err(GpgvError::WeakDigest);
    }
    let is_fingerprint = matches!(primary.len(), 40 | 64) && primary.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
    if !is_fingerprint || !matches!(class, "00" | "01") {
        return Err(GpgvError::Report(rest.to_owned()));
    }
    Ok(primary.to_owned())
}

/// The signers whose signatures hold; if there are none, the first reason why not.
fn signers(signatures: Vec<Signature>) -> Result<Vec<String>, GpgvError> {
    let mut reason = if signatures.is_empty() { Some(GpgvError::Unsigned) } else { None };
    let mut signers = Vec::new();
    for signature in signatures {
        match (signature.spoilt, signature.good, signature.valid) {
            (None, true, Some(fingerprint)) => signers.push(fingerprint),
            (Some(spoilt), ..) => reason = reason.or(Some(spoilt)),
            _ => reason = reason.or(Some(GpgvError::UnknownKey)),
        }
    }
    signers.sort();
    signers.dedup();
    if signers.is_empty() { Err(reason.unwrap_or(GpgvError::UnknownKey)) } else { Ok(signers) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8";
    const B: &str = "04B54C3CDCA79751B16BC6B5225629DF75B188BD";

    fn signature(primary: &str, hash: u8, extra: &str) -> String {
        format!(
            "[GNUPG:] NEWSIG\n[GNUPG:] KEY_CONSIDERED {primary} 0\n[GNUPG:] SIG_ID x 2026-07-11 1\n[GNUPG:] GOODSIG 6ED0 Name <a@b>\n\
             [GNUPG:] VALIDSIG {B} 2026-07-11 1783765031 0 4 0 1 {hash} 01 {primary}\n{extra}"
        )
    }

    fn judged(signatures: &[String]) -> Result<Vec<String>, GpgvError> {
        judge(&format!("[GNUPG:] PLAINTEXT 74 0 \n{}", signatures.concat()))
    }

    #[test]
    fn good_signatures_name_their_primary_keys_once() {
        assert_eq!(judged(&[signature(A, 8, ""), signature(B, 10, ""), signature(A, 8, "")]), Ok(vec![B.to_owned(), A.to_owned()]));
    }

    #[test]
    fn an_unknown_second_signer_does_no_harm() {
        let unknown = "[GNUPG:] NEWSIG\n[GNUPG:] ERRSIG 0E98404D386FA1D9 1 8 01 1 9 -\n[GNUPG:] NO_PUBKEY 0E98404D386FA1D9\n".to_owned();
        assert_eq!(judged(&[unknown.clone(), signature(A, 8, "")]), Ok(vec![A.to_owned()]));
        assert_eq!(judged(&[unknown]), Err(GpgvError::UnknownKey));
    }

    #[test]
    fn every_flaw_is_a_refusal() {
        assert_eq!(judged(&[]), Err(GpgvError::Unsigned));
        assert_eq!(judge("[GNUPG:] NODATA 1\n"), Err(GpgvError::Unsigned));
        assert_eq!(judged(&[signature(A, 2, "")]), Err(GpgvError::WeakDigest));
        assert_eq!(judged(&[signature(A, 8, "[GNUPG:] EXPKEYSIG 6ED0 x\n")]), Err(GpgvError::Expired));
        assert_eq!(judged(&[signature(A, 8, "[GNUPG:] REVKEYSIG 6ED0 x\n")]), Err(GpgvError::Expired));
        assert_eq!(judged(&[signature(A, 8, ""), "[GNUPG:] NEWSIG\n[GNUPG:] BADSIG 6ED0 x\n".to_owned()]), Err(GpgvError::Bad));
        assert_eq!(judged(&["[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 6ED0 x\n".to_owned()]), Err(GpgvError::UnknownKey));
        let report = |text: &str| matches!(judge(text), Err(GpgvError::Report(_)));
        assert!(report(&format!("[GNUPG:] PLAINTEXT 74 0\n[GNUPG:] PLAINTEXT 74 0\n{}", signature(A, 8, ""))));
        assert!(report("gpgv: text\n"));
        assert!(report("[GNUPG:] PLAINTEXT 74 0\n[GNUPG:] GOODSIG 6ED0 x\n"));
        assert!(report(&format!("[GNUPG:] PLAINTEXT 74 0\n{}[GNUPG:] FAILURE gpg-exit 1\n", signature(A, 8, ""))));
        assert_eq!(judged(&[signature(&A[1..], 8, "")]).map_err(|error| matches!(error, GpgvError::Report(_))), Err(true));
    }
}
