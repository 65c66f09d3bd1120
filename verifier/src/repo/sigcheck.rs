//! libzypp's mandatory plugin for signatures (`specs/repository.md`, section 6): it is asked about each new index of the repositories whose
//! definition names it, by frames on its standard input, and libzypp takes nothing in without its consent.

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

/// Answers frames until libzypp says that it was the last one. `judge` is asked about each index; what it says against one, libzypp shows.
///
/// # Errors
/// If libzypp cannot be heard or told, or says what is no frame. Then there is no consent.
pub fn converse(mut input: impl BufRead, mut output: impl Write, judge: impl Fn(&Path) -> Result<(), String>) -> io::Result<()> {
    loop {
        let question = Question::read(&mut input)?;
        let answer = match &question {
            Question::Begin | Question::Disconnect => Ok(()),
            Question::Check(index) => judge(index),
        };
        match answer {
            Ok(()) => output.write_all(b"ACK\n\n\0")?,
            // A zero byte would end the frame.
            Err(why) => output.write_all(format!("ERROR\n\n{}\0", why.replace('\0', "")).as_bytes())?,
        }
        output.flush()?;
        if question == Question::Disconnect {
            return Ok(());
        }
    }
}

/// What libzypp asks.
#[derive(Debug, PartialEq, Eq)]
enum Question {
    Begin,
    /// Whether this master index may be taken in.
    Check(PathBuf),
    Disconnect,
}

impl Question {
    fn read(input: &mut impl BufRead) -> io::Result<Self> {
        let mut frame = Vec::new();
        io::Read::take(&mut *input, MAX_FRAME).read_until(0, &mut frame)?;
        let text = frame.strip_suffix(b"\0").and_then(|frame| std::str::from_utf8(frame).ok());
        text.and_then(Self::parse)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "libzypp said what is no frame of a signature check"))
    }

    /// A command, headers `key:value`, an empty line; nothing behind it.
    fn parse(frame: &str) -> Option<Self> {
        let (head, body) = frame.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let command = lines.next()?;
        let headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(':')).collect::<Option<_>>()?;
        match command {
            _ if !body.is_empty() => None,
            "PLUGINBEGIN" => Some(Self::Begin),
            "_DISCONNECT" => Some(Self::Disconnect),
            "SIGCHECK" => {
                let mut data = headers.iter().filter(|(key, _)| *key == "data");
                let path = PathBuf::from(unescaped(data.next()?.1)?);
                (data.next().is_none() && path.is_absolute()).then_some(Self::Check(path))
            }
            _ => None,
        }
    }
}

/// A header's value without the escapes of line ends, colons and backslashes.
fn unescaped(value: &str) -> Option<String> {
    let (mut text, mut chars) = (String::new(), value.chars());
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next()? } else { c }) {
            ('\\', 'n') => text.push('\n'),
            ('\\', 'r') => text.push('\r'),
            ('\\', 'c') => text.push(':'),
            ('\\', '\\') => text.push('\\'),
            ('\\', _) => return None,
            (plain, _) => text.push(plain),
        }
    }
    Some(text)
}

const MAX_FRAME: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "PLUGINBEGIN\ncontent-length:0\nversion:0\n\n\0";
    const CHECK: &str = "SIGCHECK\ncontent-length:0\ndata:/var/cache/zypp/raw/a\\cb\\\\/repodata/repomd.xml\n\n\0";
    const END: &str = "_DISCONNECT\ncontent-length:0\n\n\0";

    fn said(input: &str, judge: impl Fn(&Path) -> Result<(), String>) -> io::Result<String> {
        let mut output = Vec::new();
        converse(input.as_bytes(), &mut output, judge).map(|()| String::from_utf8(output).unwrap())
    }

    #[test]
    fn each_index_is_judged() {
        let good = |index: &Path| {
            assert_eq!(index, Path::new("/var/cache/zypp/raw/a:b\\/repodata/repomd.xml"));
            Ok(())
        };
        let all = [BEGIN, CHECK, END].concat();
        assert_eq!(said(&all, good).unwrap(), "ACK\n\n\0".repeat(3));
        assert_eq!(said(&all, |_| Err("stale\0\n".to_owned())).unwrap(), "ACK\n\n\0ERROR\n\nstale\n\0ACK\n\n\0");
    }

    #[test]
    fn what_is_no_frame_gets_no_consent() {
        for bad in [
            "",
            "SIGCHECK\n\n",
            "SIGCHECK\n\n\0",
            "SIGCHECK\ndata:repomd.xml\n\n\0",
            "SIGCHECK\ndata:/a\ndata:/b\n\n\0",
            "SIGCHECK\ndata:/a\\x\n\n\0",
            "SIGCHECK\ndata\n\n\0",
            "SIGCHECK\ndata:/a\n\nbody\0",
            "OTHER\n\n\0",
            BEGIN,
        ] {
            assert!(said(bad, |_| Ok(())).is_err(), "{bad:?}");
        }
        assert!(said(&"x".repeat(70_000), |_| Ok(())).is_err());
    }
}
