//! The paragraph format of control files, `status`, `Packages` and `Release` (`specs/deb.md`, section 4).
//!
//! Nothing is copied: fields borrow from the input. Paragraphs are separated by empty lines; a field is
//! `Name: value`, continued by lines that start with a space or a tab. Comments and repeated names are refused.

use std::fmt;

/// What is wrong, and in which line (from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Line number, from 1; 0 where no single line is to blame.
    pub line: usize,
    /// What is wrong with it.
    pub reason: Reason,
}

/// Why a paragraph is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A line is neither a field nor a continuation.
    NotAField,
    /// A continuation stands before any field.
    Continuation,
    /// The same field twice in a paragraph (names compare without case).
    Repeated(String),
    /// A zero byte or a carriage return.
    ControlByte,
    /// The last line has no newline.
    NoNewline,
    /// More fields in a paragraph than [`MAX_FIELDS`].
    TooManyFields,
    /// A field that must be there is not, or is empty.
    Missing(&'static str),
    /// A field's value is not what it must be.
    Malformed(&'static str),
}

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name as written.
    pub name: &'a str,
    /// Everything after the colon, including the last newline.
    pub raw: &'a [u8],
}

/// One paragraph, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paragraph<'a> {
    /// The line of its first field, from 1.
    pub line: usize,
    /// Its fields in order.
    pub fields: Vec<Field<'a>>,
}

/// The paragraphs of a file; stops after the first error.
#[derive(Debug, Clone)]
pub struct Paragraphs<'a> {
    rest: &'a [u8],
    line: usize,
}

/// Walks over a whole file.
pub fn paragraphs(input: &[u8]) -> Paragraphs<'_> {
    Paragraphs { rest: input, line: 1 }
}

/// The only paragraph of a file: none or a second one is refused.
pub fn single(input: &[u8]) -> Result<Paragraph<'_>, Error> {
    let mut all = paragraphs(input);
    let first = all.next().unwrap_or(Err(Error { line: 0, reason: Reason::Malformed("the file holds no paragraph") }))?;
    match all.next() {
        None => Ok(first),
        Some(Err(error)) => Err(error),
        Some(Ok(second)) => Err(Error { line: second.line, reason: Reason::Malformed("the file holds a second paragraph") }),
    }
}

impl<'a> Paragraph<'a> {
    /// The field's value without surrounding white space, continuation lines as written.
    pub fn bytes(&self, name: &str) -> Option<&'a [u8]> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.raw.trim_ascii())
    }

    /// The same as text, `None` if absent or empty. Errors: not UTF-8.
    pub fn text(&self, name: &'static str) -> Result<Option<&'a str>, Error> {
        let Some(value) = self.bytes(name).filter(|value| !value.is_empty()) else { return Ok(None) };
        std::str::from_utf8(value).map(Some).map_err(|_| self.malformed(name))
    }

    /// A field that must be there with a value of one line.
    pub fn required(&self, name: &'static str) -> Result<&'a str, Error> {
        match self.text(name)? {
            Some(value) if value.contains('\n') => Err(self.malformed(name)),
            Some(value) => Ok(value),
            None => Err(Error { line: self.line, reason: Reason::Missing(name) }),
        }
    }

    /// The continuation lines of a field, trimmed, empty ones left out (the first line is left out when empty).
    pub fn lines(&self, name: &str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let value = self.bytes(name).unwrap_or_default();
        value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
    }

    /// An error about a field of this paragraph.
    pub fn malformed(&self, what: &'static str) -> Error {
        Error { line: self.line, reason: Reason::Malformed(what) }
    }

    /// The paragraph's own bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for field in &self.fields {
            bytes.extend_from_slice(field.name.as_bytes());
            bytes.push(b':');
            bytes.extend_from_slice(field.raw);
        }
        bytes
    }
}

impl<'a> Paragraphs<'a> {
    fn parse(&mut self) -> Result<Option<Paragraph<'a>>, Error> {
        while self.peek()?.is_some_and(is_blank) {
            self.take_line();
        }
        let mut paragraph = Paragraph { line: self.line, fields: Vec::new() };
        while let Some(line) = self.peek()?.filter(|line| !is_blank(line)) {
            let name = self.field_name(line)?;
            if paragraph.fields.iter().any(|field| field.name.eq_ignore_ascii_case(name)) {
                return Err(self.error(Reason::Repeated(name.to_owned())));
            }
            if paragraph.fields.len() == MAX_FIELDS {
                return Err(self.error(Reason::TooManyFields));
            }
            let raw = self.value(name.len() + 1)?;
            paragraph.fields.push(Field { name, raw });
        }
        Ok((!paragraph.fields.is_empty()).then_some(paragraph))
    }

    /// The bytes from `skip` up to the end of the last continuation line.
    fn value(&mut self, skip: usize) -> Result<&'a [u8], Error> {
        let start = self.rest;
        self.take_line();
        while self.peek()?.is_some_and(|line| matches!(line[0], b' ' | b'\t') && !is_blank(line)) {
            self.take_line();
        }
        Ok(&start[skip..start.len() - self.rest.len()])
    }

    fn field_name(&self, line: &'a [u8]) -> Result<&'a str, Error> {
        if matches!(line[0], b' ' | b'\t') {
            return Err(self.error(Reason::Continuation));
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or_else(|| self.error(Reason::NotAField))?;
        let name = &line[..colon];
        let plain = |byte: &u8| byte.is_ascii_graphic();
        if name.is_empty() || matches!(name[0], b'#' | b'-') || !name.iter().all(plain) {
            return Err(self.error(Reason::NotAField));
        }
        std::str::from_utf8(name).map_err(|_| self.error(Reason::NotAField))
    }

    /// The next line with its newline, checked.
    fn peek(&self) -> Result<Option<&'a [u8]>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self.rest.iter().position(|byte| *byte == b'\n').ok_or_else(|| self.error(Reason::NoNewline))?;
        let line = &self.rest[..=end];
        if line.iter().any(|byte| matches!(byte, 0 | b'\r')) { Err(self.error(Reason::ControlByte)) } else { Ok(Some(line)) }
    }

    fn take_line(&mut self) {
        let end = self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |at| at + 1);
        self.rest = &self.rest[end..];
        self.line += 1;
    }

    fn error(&self, reason: Reason) -> Error {
        Error { line: self.line, reason }
    }
}

impl<'a> Iterator for Paragraphs<'a> {
    type Item = Result<Paragraph<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let parsed = self.parse();
        if parsed.is_err() {
            self.rest = &[];
        }
        parsed.transpose()
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        match &self.reason {
            Reason::NotAField => f.write_str("not a \"Name: value\" field"),
            Reason::Continuation => f.write_str("a continuation line without a field"),
            Reason::Repeated(name) => write!(f, "the field {name:?} stands twice"),
            Reason::ControlByte => f.write_str("a zero byte or carriage return"),
            Reason::NoNewline => f.write_str("the last line is cut"),
            Reason::TooManyFields => write!(f, "more than {MAX_FIELDS} fields"),
            Reason::Missing(name) => write!(f, "the field {name:?} is missing or empty"),
            Reason::Malformed(what) => write!(f, "malformed: {what}"),
        }
    }
}

impl std::error::Error for Error {}

/// Fields in one paragraph.
pub const MAX_FIELDS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(input: &str) -> (usize, Reason) {
        let error = paragraphs(input.as_bytes()).find_map(Result::err).expect("must be refused");
        (error.line, error.reason)
    }

    #[test]
    fn reads_paragraphs_and_keeps_their_bytes() {
        let input = b"\n\nA: 1\nB-c:\n x\n .\n\ty\n\n \nA:2\n";
        let all: Vec<_> = paragraphs(input).collect::<Result<_, _>>().unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].line, all[1].line), (3, 10));
        assert_eq!(all[0].encode(), b"A: 1\nB-c:\n x\n .\n\ty\n");
        assert_eq!(all[0].bytes("b-C"), Some(&b"x\n .\n\ty"[..]));
        assert_eq!(all[0].lines("B-c").collect::<Vec<_>>(), [&b"x"[..], b".", b"y"]);
        assert_eq!(all[1].required("A"), Ok("2"));
        assert_eq!(all[1].required("B"), Err(Error { line: 10, reason: Reason::Missing("B") }));
        assert_eq!(all[0].required("B-c"), Err(Error { line: 3, reason: Reason::Malformed("B-c") }));
    }

    #[test]
    fn refuses_each_malformation() {
        assert_eq!(reason("A: 1\nnothing\n"), (2, Reason::NotAField));
        assert_eq!(reason("# a comment: x\n"), (1, Reason::NotAField));
        assert_eq!(reason(": x\n"), (1, Reason::NotAField));
        assert_eq!(reason(" x\n"), (1, Reason::Continuation));
        assert_eq!(reason("A: 1\na: 2\n"), (2, Reason::Repeated("a".into())));
        assert_eq!(reason("A: \0\n"), (1, Reason::ControlByte));
        assert_eq!(reason("A: 1\r\n"), (1, Reason::ControlByte));
        assert_eq!(reason("A: 1\nB: 2"), (2, Reason::NoNewline));
        let many: String = (0..=MAX_FIELDS).map(|n| format!("A{n}: x\n")).collect();
        assert_eq!(reason(&many), (MAX_FIELDS + 1, Reason::TooManyFields));
    }

    #[test]
    fn a_single_paragraph_stands_alone() {
        assert_eq!(single(b"A: 1\n").map(|p| p.line), Ok(1));
        assert_eq!(single(b"\n").map_err(|e| e.line), Err(0));
        assert_eq!(single(b"A: 1\n\nB: 2\n").map_err(|e| e.line), Err(3));
        assert_eq!(single(b"A: \xff\n").unwrap().text("A"), Err(Error { line: 1, reason: Reason::Malformed("A") }));
    }
}
