//! Counting: a line for each case, and the sum.

use std::collections::BTreeSet;

/// What has been tried.
#[derive(Default)]
pub struct Cases {
    passed: usize,
    failed: usize,
    peers: BTreeSet<&'static str>,
}

impl Cases {
    /// Says how one thing with a peer's program went.
    pub fn case(&mut self, peer: &'static str, what: &str, tried: anyhow::Result<()>) {
        self.peers.insert(peer);
        self.count(peer, what, tried);
    }

    /// The same for a thing that no peer's program takes part in.
    pub fn own(&mut self, program: &str, what: &str, tried: anyhow::Result<()>) {
        self.count(program, what, tried);
    }

    fn count(&mut self, program: &str, what: &str, tried: anyhow::Result<()>) {
        match tried {
            Ok(()) => {
                self.passed += 1;
                println!("ok      {program}: {what}");
            }
            Err(error) => {
                self.failed += 1;
                println!("FAILED  {program}: {what}: {error:#}");
            }
        }
    }

    /// Prints the sum; whether nothing failed.
    #[must_use]
    pub fn finish(self) -> bool {
        let peers: Vec<&str> = self.peers.into_iter().collect();
        println!("{} peer programs: {}", peers.len(), peers.join(", "));
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0
    }
}
