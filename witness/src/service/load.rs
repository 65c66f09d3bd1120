//! The start: every log's state is read, and made durable again on the way.

use std::io;
use std::panic::resume_unwind;
use std::thread::ScopedJoinHandle;

use super::{Watched, Witness};

impl Witness {
    /// Reads every log's state, so that what is wrong shows at the start. Each is made durable again on the way, so several are read
    /// at a time: the file system then waits for the disk once for all of them.
    pub(super) fn load_all(&self) -> io::Result<()> {
        let watched: Vec<&Watched> = self.logs.values().map(|watched| &**watched).collect();
        let load = |part: &[&Watched]| part.iter().try_for_each(|watched| self.load_first(watched));
        let load = &load;
        std::thread::scope(|scope| {
            let parts = watched.chunks(watched.len().div_ceil(LOADERS).max(1));
            let loaders: Vec<_> = parts.map(|part| scope.spawn(move || load(part))).collect();
            // A panic there must not pass as "all is read".
            let join = |loader: ScopedJoinHandle<'_, _>| loader.join().unwrap_or_else(|panic| resume_unwind(panic));
            loaders.into_iter().try_for_each(join)
        })
    }

    fn load_first(&self, watched: &Watched) -> io::Result<()> {
        let mut slot = watched.slot.try_lock().map_err(|_| io::Error::other("the state is in use"))?;
        watched.view().evidence = self.states.evidence(&watched.id)?.len();
        self.load(watched, &mut slot)?;
        self.show(watched, &slot);
        Ok(())
    }
}

/// How many logs' states are read at a time.
const LOADERS: usize = 32;
