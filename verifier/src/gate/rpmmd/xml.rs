//! As much of XML as repositories' lists need: tags, their attributes, and the text between them, from a stream.

use std::io::{self, BufRead, Read};

/// A tag: its name, with `/` before that of an end, and its attributes as they are written.
pub struct Tag {
    /// Its name.
    pub name: String,
    attributes: String,
}

impl Tag {
    fn parse(tag: &str) -> Option<Self> {
        let tag = tag.strip_suffix('/').unwrap_or(tag);
        let end = tag.find(|letter: char| letter.is_ascii_whitespace()).unwrap_or(tag.len());
        let (name, attributes) = tag.split_at(end);
        (!name.is_empty()).then(|| Self { name: name.to_owned(), attributes: attributes.to_owned() })
    }

    /// The value of an attribute that stands there once.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<String> {
        let mut rest = self.attributes.trim_start();
        let mut found = None;
        while let Some((key, after)) = rest.split_once('=') {
            let after = after.trim_start();
            let quote = after.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
            let (value, more) = after[1..].split_once(quote)?;
            if key.trim() == name && found.replace(plain(value)?).is_some() {
                return None;
            }
            rest = more.trim_start();
        }
        found
    }
}

/// Tags, one after the other, and the text before each.
pub struct Tokens<R> {
    input: R,
    text: Vec<u8>,
}

impl<R: BufRead> Tokens<R> {
    /// Nothing is read yet.
    pub fn new(input: R) -> Self {
        Self { input, text: Vec::new() }
    }

    /// The next tag; comments and declarations are passed over.
    ///
    /// # Errors
    /// If it cannot be read, or could be understood in two ways.
    pub fn next(&mut self) -> io::Result<Option<Tag>> {
        loop {
            self.text.clear();
            self.until(b'<')?;
            if self.text.pop() != Some(b'<') {
                return Ok(None);
            }
            let text = std::mem::take(&mut self.text);
            let tag = self.tag()?;
            self.text = text;
            if !tag.starts_with(['?', '!']) {
                return Tag::parse(&tag).map(Some).ok_or_else(|| malformed("a tag has no name"));
            }
        }
    }

    /// The rest of a tag up to its `>`, which is not one inside quotes.
    fn tag(&mut self) -> io::Result<String> {
        self.text.clear();
        loop {
            let before = self.text.len();
            self.until(b'>')?;
            // At the end nothing is added, and what is there may end with the sign of a part before.
            if self.text.len() == before || self.text.last() != Some(&b'>') {
                return Err(malformed("it ends inside a tag"));
            }
            let whole = match self.text.starts_with(b"!--") {
                true => self.text.ends_with(b"-->") && self.text.len() >= 6,
                false => quotes_are_closed(&self.text),
            };
            // What hides text or changes what names stand for is no part of such a list.
            if self.text.starts_with(b"![") || self.text.starts_with(b"!DOCTYPE") {
                return Err(malformed("it has sections or a document type"));
            }
            if whole {
                self.text.pop();
                return String::from_utf8(std::mem::take(&mut self.text)).map_err(|_| malformed("it is not UTF-8"));
            }
        }
    }

    fn until(&mut self, end: u8) -> io::Result<()> {
        let left = (MAX_TOKEN + 1).saturating_sub(self.text.len() as u64);
        self.input.by_ref().take(left).read_until(end, &mut self.text)?;
        if self.text.len() as u64 > MAX_TOKEN { Err(malformed("a text is too long")) } else { Ok(()) }
    }

    /// The text before the last tag, its entities resolved.
    ///
    /// # Errors
    /// If it is not UTF-8, or has entities that are not XML's own.
    pub fn text(&self) -> io::Result<String> {
        let text = std::str::from_utf8(&self.text).map_err(|_| malformed("it is not UTF-8"))?;
        plain(text).ok_or_else(|| malformed("a text has unknown entities"))
    }
}

fn quotes_are_closed(tag: &[u8]) -> bool {
    let open = tag.iter().fold(None, |open, byte| match (open, byte) {
        (None, b'"' | b'\'') => Some(*byte),
        (Some(quote), byte) if quote == *byte => None,
        (open, _) => open,
    });
    open.is_none()
}

/// Text with its entities resolved.
fn plain(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        let (entity, more) = after.split_once(';')?;
        plain.push_str(before);
        plain.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = entity.strip_prefix('#')?;
                let number = number.strip_prefix('x').map_or_else(|| number.parse(), |hex| u32::from_str_radix(hex, 16)).ok()?;
                char::from_u32(number)?
            }
        });
        rest = more;
    }
    plain.push_str(rest);
    Some(plain)
}

/// What is wrong with a list.
#[must_use]
pub fn malformed(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

const MAX_TOKEN: u64 = 16 << 20;
