//! Python's bytecode beside the source that it claims to come from.
//!
//! Python compiles the source again; what it gives and the file are compared here, value by value, by our own reader of python's format:
//! the file is never loaded, since loading what may be hostile can run it.

mod marshal;

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

pub use marshal::digest;

/// What a file's name says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Place of the source.
    pub source: Vec<u8>,
    /// Whether python loads it only if the source is there: in `__pycache__`.
    pub needs_source: bool,
    /// The version of python, such as `3.11`; `None` beside the source, where only the file tells.
    version: Option<String>,
    optimised: u8,
}

/// What comparing showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The source compiles to it.
    Same,
    /// It does not.
    Other,
    /// It could not be compared; why.
    Unknown(String),
}

impl Cached {
    /// `None` for what is no bytecode by its name: `DIR/__pycache__/NAME.cpython-311[.opt-1].pyc` of `DIR/NAME.py`, or `DIR/NAME.pyc`.
    #[must_use]
    pub fn of(place: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(place).ok()?;
        let (directory, name) = text.rsplit_once('/')?;
        let stem = name.strip_suffix(".pyc")?;
        let Some(parent) = directory.strip_suffix("__pycache__") else {
            let source = format!("{directory}/{stem}.py").into_bytes();
            return Some(Self { source, needs_source: false, version: None, optimised: 0 });
        };
        let (stem, optimised) = match stem.rsplit_once(".opt-") {
            Some((stem, level)) => (stem, level.parse().ok().filter(|level| *level <= 2)?),
            None => (stem, 0),
        };
        let (module, tag) = stem.rsplit_once('.')?;
        let version =
            tag.strip_prefix("cpython-").and_then(|digits| digits.split_at_checked(1)).map(|(major, minor)| format!("{major}.{minor}"));
        Some(Self { source: format!("{parent}{module}.py").into_bytes(), needs_source: true, version, optimised })
    }

    /// Whether python takes the file, for a source of this time and size. What says that it is not to be checked is always taken.
    #[must_use]
    pub fn is_used(&self, code: &[u8], modified: i64, size: usize) -> bool {
        let Some(header) = Header::of(code) else { return !self.needs_source };
        if !self.needs_source {
            // Beside the source, the source is taken.
            return false;
        }
        let low = |value: u64| u32::try_from(value & u64::from(u32::MAX)).unwrap_or_default();
        header.flags != 0 || (header.modified == low(modified.cast_unsigned()) && header.size == low(size as u64))
    }

    /// The python that made it.
    #[must_use]
    pub fn program(&self) -> String {
        format!("usr/bin/python{}", self.version.as_deref().unwrap_or("3"))
    }
}

/// The first sixteen bytes.
struct Header {
    magic: [u8; 4],
    /// 0: time and size of the source follow; else a hash of it.
    flags: u32,
    modified: u32,
    size: u32,
}

impl Header {
    fn of(code: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(code.get(at..at + 4)?.try_into().ok()?));
        Some(Self { magic: code.get(..4)?.try_into().ok()?, flags: word(4)?, modified: word(8)?, size: word(12)? })
    }
}

/// Pythons that compile, each started when it is needed first.
#[derive(Default)]
pub struct Compilers(HashMap<String, Result<Compiler, String>>);

impl Compilers {
    /// Compares bytecode with what a source compiles to. `trusted`: whether the program is attested, or not of the root that is judged.
    pub fn compare(&mut self, program: &str, trusted: bool, cached: &Cached, code: &[u8], source: &[u8]) -> Verdict {
        let unknown = |why: &str| Verdict::Unknown(why.to_owned());
        if !trusted {
            return Verdict::Unknown(format!("/{program} is not attested"));
        }
        let compiler = match self.0.entry(program.to_owned()).or_insert_with(|| Compiler::start(program)) {
            Ok(compiler) => compiler,
            Err(why) => return Verdict::Unknown(why.clone()),
        };
        let Some((header, body)) = Header::of(code).zip(code.get(HEADER..)) else { return Verdict::Other };
        if header.magic != compiler.magic {
            return Verdict::Unknown(format!("/{program} here is of another version"));
        }
        let made = match compiler.compile(cached.optimised, source) {
            Ok(Some(made)) => made,
            Ok(None) => return unknown("its source does not compile"),
            Err(why) => {
                self.0.insert(program.to_owned(), Err(why.clone()));
                return Verdict::Unknown(why);
            }
        };
        // Reading it takes many times its size.
        if body.len() > made.len().saturating_mul(16) + (1 << 16) {
            return unknown("it is far larger than what its source compiles to");
        }
        match (digest(header.magic, body), digest(header.magic, &made)) {
            (_, None) => unknown("the format of this version of python is not known"),
            (found, made) if found == made => Verdict::Same,
            _ => Verdict::Other,
        }
    }
}

struct Compiler {
    child: Child,
    magic: [u8; 4],
}

impl Compiler {
    /// Starts python without its site's modules, the user's settings and any bytecode.
    fn start(program: &str) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("/{program} cannot be run: {error}");
        let mut command = Command::new(format!("/{program}"));
        command.args(["-I", "-S", "-B", "-X", "pycache_prefix=/nonexistent", "-c", SCRIPT]).env_clear().current_dir("/");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(failed)?;
        let mut magic = [0; 4];
        let answer = child.stdout.as_mut().map_or(Ok(()), |out| out.read_exact(&mut magic));
        let compiler = Self { child, magic };
        answer.map(|()| compiler).map_err(failed)
    }

    /// `None` if the source does not compile.
    fn compile(&mut self, optimised: u8, source: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.exchange(optimised, source).map_err(|error| format!("python broke off: {error}"))
    }

    fn exchange(&mut self, optimised: u8, source: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
        let (Some(to), Some(from)) = (self.child.stdin.as_mut(), self.child.stdout.as_mut()) else { return Ok(None) };
        let length = u32::try_from(source.len()).map_err(std::io::Error::other)?;
        to.write_all(&[&[optimised][..], &length.to_be_bytes(), source].concat())?;
        to.flush()?;
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length == u32::MAX {
            return Ok(None);
        }
        let mut made = Vec::new();
        from.take(u64::from(length)).read_to_end(&mut made)?;
        if made.len() == length as usize { Ok(Some(made)) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Reads sources, each with its level of optimisation and length before it; writes what they compile to.
const SCRIPT: &str = "\
import sys, marshal
from importlib.util import MAGIC_NUMBER
read, write = sys.stdin.buffer, sys.stdout.buffer
write.write(MAGIC_NUMBER)
write.flush()
while True:
    head = read.read(5)
    if len(head) < 5:
        break
    source = read.read(int.from_bytes(head[1:], 'big'))
    try:
        made = marshal.dumps(compile(source, '', 'exec', dont_inherit=True, optimize=head[0]))
        write.write(len(made).to_bytes(4, 'big') + made)
    except Exception:
        write.write(b'\\xff' * 4)
    write.flush()
";
const HEADER: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn cached(place: &str) -> Option<(String, bool, String, u8)> {
        let cached = Cached::of(place.as_bytes())?;
        Some((String::from_utf8(cached.source.clone()).unwrap(), cached.needs_source, cached.program(), cached.optimised))
    }

    #[test]
    fn names_say_which_source() {
        let expected = |source: &str, needs, program: &str, level| Some((source.to_owned(), needs, program.to_owned(), level));
        assert_eq!(cached("usr/lib/a/__pycache__/b.cpython-311.pyc"), expected("usr/lib/a/b.py", true, "usr/bin/python3.11", 0));
        assert_eq!(cached("a/__pycache__/b.c.cpython-39.opt-2.pyc"), expected("a/b.c.py", true, "usr/bin/python3.9", 2));
        assert_eq!(cached("usr/lib/a/b.pyc"), expected("usr/lib/a/b.py", false, "usr/bin/python3", 0));
        assert_eq!((cached("usr/lib/a/b.py"), cached("a/__pycache__/b.pyc"), cached("a/__pycache__/b.x.opt-9.pyc")), (None, None, None));
    }

    #[test]
    fn python_takes_what_fits_its_source() {
        let file = |flags: u32, time: u32, size: u32| [[1, 2, 3, 4], flags.to_le_bytes(), time.to_le_bytes(), size.to_le_bytes()].concat();
        let inside = Cached::of(b"a/__pycache__/b.cpython-311.pyc").unwrap();
        assert!(inside.is_used(&file(0, 7, 3), 7, 3) && inside.is_used(&file(1, 0, 0), 7, 3) && inside.is_used(&file(3, 0, 0), 7, 3));
        assert!(!inside.is_used(&file(0, 8, 3), 7, 3) && !inside.is_used(&file(0, 7, 4), 7, 3) && !inside.is_used(b"short", 7, 3));
        assert!(!Cached::of(b"a/b.pyc").unwrap().is_used(&file(0, 7, 3), 7, 3));
    }
}
