//! The load pattern of the public witness load test: many logs, each of which grows and asks again, all at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use client::http::{FetchError, Method};
use client::{Http, block_on};
use tlog::plan::{ConsistencyPlan, Tiles};
use tlog::witness::AddCheckpoint;
use tlog::{
    Checkpoint, ConsistencyProof, Growth, Hash, KeyKind, KeyName, SignedCheckpoint, Signer as _, SigningKey, Tile, growth, hash_leaf,
};

use crate::cases::Cases;
use crate::ours;
use crate::world::World;

const LOGS: usize = 100;
const REQUESTS: usize = 1000;

/// One log of the pattern.
struct Log {
    signer: SigningKey,
    leaves: Vec<Hash>,
}

impl Log {
    fn new(n: usize) -> anyhow::Result<Self> {
        let name = KeyName::parse(&format!("load.example/{n}")).context("a name")?;
        let seed = *Hash::digest(name.as_str().as_bytes()).as_bytes();
        let signer = SigningKey::from_seed(name, KeyKind::Ed25519, &seed).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let leaves = (0..200u8).map(|leaf| hash_leaf(&[n as u8, leaf])).collect();
        Ok(Self { signer, leaves })
    }

    /// The request that takes a witness from one size to another.
    fn request(&self, old: usize, new: usize) -> anyhow::Result<String> {
        let mut growth = Growth::new();
        for leaf in &self.leaves[..new] {
            growth.push(*leaf, &mut |_, _| {}).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        }
        let tree = growth.tree();
        let tile = Tile::new(0, 0, new as u16).context("a tile")?;
        let tiles = Tiles::from([(tile, growth::tile_bytes(&self.leaves[..new]))]);
        let plan = ConsistencyPlan::new(old as u64, &tree).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let (_, proof) = plan.finish(&tiles).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let proof = if old == 0 { ConsistencyProof(Vec::new()) } else { proof };
        let checkpoint = Checkpoint { origin: self.signer.key().name().as_str().to_owned(), tree, extensions: Vec::new() };
        let line = checkpoint.sign(&self.signer, 0).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let note = SignedCheckpoint::new(checkpoint, vec![line]).note;
        Ok(AddCheckpoint { old_size: old as u64, proof, checkpoint: note }.encode())
    }

    /// Ten requests: most grow the log, some repeat, some are of a size that the witness has left behind.
    async fn play(&self, url: &str, answered: &AtomicUsize) -> anyhow::Result<()> {
        let http = Http::new(url, Duration::from_secs(60))?;
        let mut size = 0;
        for step in 0..REQUESTS / LOGS {
            let (old, new, expected) = match step {
                4 => (size, size, 200),
                7 => (size - 1, size, 409),
                _ => (size, size + 1 + step * 3, 200),
            };
            let request = http.request(Method::POST, "add-checkpoint").body(self.request(old, new)?);
            let status = match http.send("add-checkpoint", request, 65536).await {
                Ok(answer) => answer.status,
                Err(FetchError::Status { status, .. }) => status,
                Err(error) => return Err(error.into()),
            };
            ensure!(status == expected, "from {old} to {new}: status {status} and not {expected}");
            answered.fetch_add(1, Ordering::Relaxed);
            size = new;
        }
        Ok(())
    }
}

/// A hundred logs at the same time, a thousand requests, no wrong status.
pub fn hundred_logs(world: &World<'_>, cases: &mut Cases) {
    let answered = AtomicUsize::new(0);
    let played = play(world, &answered).and_then(|()| {
        let answered = answered.load(Ordering::Relaxed);
        ensure!(answered == REQUESTS, "{answered} answers");
        Ok(())
    });
    cases.own("tally-witness", &format!("answers {REQUESTS} requests for {LOGS} logs with no wrong status"), played);
}

fn play(world: &World<'_>, answered: &AtomicUsize) -> anyhow::Result<()> {
    let logs = (0..LOGS).map(Log::new).collect::<anyhow::Result<Vec<_>>>()?;
    let directory = world.root.at("loaded");
    ours::init("tally-witness", &directory, &["--name", "loaded.example/witness"])?;
    let listed: Vec<_> = logs.iter().map(|log| (log.signer.key().name().as_str(), log.signer.key().clone())).collect();
    let witness = ours::witness(&directory, &listed)?;
    let url = &*witness.url();
    std::thread::scope(|scope| {
        let playing: Vec<_> = logs.iter().map(|log| scope.spawn(move || block_on(log.play(url, answered))?)).collect();
        playing.into_iter().try_for_each(|log| log.join().expect("a log does not panic"))
    })
}
