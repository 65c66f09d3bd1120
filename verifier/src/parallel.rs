//! Work on many things by several threads.

/// Splits `all` among threads and puts their results together, in order.
pub fn in_parts<T: Sync, R: Send>(all: &[T], threads: usize, work: impl Fn(&[T]) -> Vec<R> + Sync) -> Vec<R> {
    let length = all.len().div_ceil(threads.max(1)).max(1);
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = all.chunks(length).map(|part| scope.spawn(move || work(part))).collect();
        // A panic in a thread would be a bug; it must not pass as "nothing found".
        let parts = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let mut results = Vec::new();
        for part in parts {
            if results.is_empty() { results = part } else { results.extend(part) }
        }
        results
    })
}

/// Splits `all` among threads, each of which gets its part and the number of the part's first.
pub fn fill<T: Send>(all: &mut [T], threads: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    let length = all.len().div_ceil(threads.max(1)).max(1);
    std::thread::scope(|scope| {
        let work = &work;
        for (part, first) in all.chunks_mut(length).zip((0..).step_by(length)) {
            scope.spawn(move || work(first, part));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::{fill, in_parts};

    #[test]
    fn results_stand_in_order() {
        for (count, threads) in [(0, 0), (0, 4), (1, 4), (7, 2), (7, 3), (100, 7)] {
            let all: Vec<usize> = (0..count).collect();
            assert_eq!(in_parts(&all, threads, |part| part.to_vec()), all);
            let mut filled = vec![0; count];
            fill(&mut filled, threads, |first, part| part.iter_mut().zip(first..).for_each(|(place, number)| *place = number));
            assert_eq!(filled, all);
        }
    }
}
