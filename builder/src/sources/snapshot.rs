//! Dated snapshots of a repository: the time that an address names (`specs/builder.md`, section 3).

/// The time of a snapshot, in POSIX seconds: the only part of the address of the form `20240131T235959Z`.
#[must_use]
pub fn time(uri: &str) -> Option<u64> {
    let mut times = uri.split('/').filter_map(parse);
    times.next().filter(|_| times.next().is_none())
}

fn parse(part: &str) -> Option<u64> {
    let (date, clock) = part.strip_suffix('Z')?.split_once('T')?;
    let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(date, 8) || !digits(clock, 6) {
        return None;
    }
    let days = attest::day::parse(&format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]))?;
    let [hours, minutes, seconds] = [&clock[..2], &clock[2..4], &clock[4..]].map(|text| text.parse::<u64>().unwrap_or(99));
    (hours < 24 && minutes < 60 && seconds < 60).then_some(days * 86_400 + hours * 3600 + minutes * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_is_the_time() {
        assert_eq!(time("https://snapshot.example/archive/debian/20240131T235959Z"), Some(1_706_745_599));
        assert_eq!(time("http://h/19700101T000000Z/debian"), Some(0));
        for uri in [
            "http://h/debian",
            "http://h/20240131",
            "http://h/20240231T000000Z",
            "http://h/20240131T240000Z",
            "http://h/20240131T000060Z",
            "http://h/2024é31T000000Z",
            "http://h/20240131T000000Z/20240131T000000Z",
            "http://h/x20240131T000000Z",
        ] {
            assert_eq!(time(uri), None, "{uri}");
        }
    }
}
