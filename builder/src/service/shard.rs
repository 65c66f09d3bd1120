//! Sharing the work among several builders without a coordinator: every name belongs to exactly one shard of a number of them.

use std::fmt;
use std::str::FromStr;

use tlog::Hash;

/// Shard `number` of `count`, written `number/count`, from `1/1` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: u32,
    count: u32,
}

/// Not a shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not of the form NUMBER/COUNT, such as 3/16, with a number from 1 to COUNT and a count up to 65536")]
pub struct NotAShard(String);

impl FromStr for Shard {
    type Err = NotAShard;

    fn from_str(text: &str) -> Result<Self, NotAShard> {
        let parts = text.split_once('/').and_then(|(number, count)| Some((number.parse().ok()?, count.parse().ok()?)));
        match parts.map(|(number, count)| Self { number, count }) {
            Some(shard)
                if (1..=65_536).contains(&shard.count) && (1..=shard.count).contains(&shard.number) && shard.to_string() == text =>
            {
                Ok(shard)
            }
            _ => Err(NotAShard(text.to_owned())),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

impl Shard {
    /// Everything in one.
    pub const WHOLE: Self = Self { number: 1, count: 1 };

    /// Whether a package's name belongs here: the first four bytes of its SHA-256 as a big-endian number, modulo the count.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let [a, b, c, d, ..] = *Hash::digest(name.as_bytes()).as_bytes();
        u32::from_be_bytes([a, b, c, d]) % self.count == self.number - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_belongs_to_one_shard_for_ever() {
        let shards: Vec<Shard> = (1..=16).map(|number| format!("{number}/16").parse().unwrap()).collect();
        for name in ["jq", "libc6", "zlib1g", "0ad", "g++-12"] {
            assert_eq!(shards.iter().filter(|shard| shard.covers(name)).count(), 1, "{name}");
            assert!(Shard::WHOLE.covers(name));
        }
        // SHA-256 of `jq` begins with these bytes: workers of different versions must agree.
        let at = u32::from_str_radix(&Hash::digest(b"jq").to_hex()[..8], 16).unwrap() % 16;
        assert!(shards[usize::try_from(at).unwrap()].covers("jq"));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "3", "0/16", "17/16", "1/0", "1/65537", "01/16", "+1/16", "1/16 ", "-1/2"] {
            assert_eq!(text.parse::<Shard>(), Err(NotAShard(text.to_owned())), "{text}");
        }
    }
}
