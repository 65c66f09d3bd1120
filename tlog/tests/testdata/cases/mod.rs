//! What the files of `testdata/` hold: for each format good ones, and one for each reason to refuse.

mod exchange;
mod keys;
mod logs;
mod policies;

/// One file.
pub struct Case {
    pub name: &'static str,
    /// The first line.
    pub verdict: &'static str,
    /// The rest.
    pub bytes: Vec<u8>,
}

fn case(name: &'static str, verdict: &'static str, bytes: impl Into<Vec<u8>>) -> Case {
    Case { name, verdict, bytes: bytes.into() }
}

/// All cases of a format.
pub fn of(format: &str) -> Vec<Case> {
    match format {
        "vkey" => keys::vkey(),
        "skey" => keys::skey(),
        "line" => keys::line(),
        "note" => keys::note(),
        "checkpoint" => logs::checkpoint(),
        "cosignature" => logs::cosignature(),
        "proof" => logs::proof(),
        "policy" => policies::policy(),
        "add-checkpoint" => exchange::add_checkpoint(),
        "sign-subtree" => exchange::sign_subtree(),
        "evidence" => exchange::evidence(),
        other => panic!("no cases for {other}"),
    }
}
