//! Python's `marshal` format, read as far as bytecode needs it: two files mean the same if their digests are equal.

use tlog::Hash;

/// A digest of all that a code object is, but for the name of its source's file. References count as what they refer to, and spellings of
/// one string as the same. `None` for what is not exactly one code object of a version of python that is known here.
#[must_use]
pub fn digest(magic: [u8; 4], body: &[u8]) -> Option<Hash> {
    let layout = Layout::of(magic)?;
    let mut reader = Reader { rest: body, layout, references: Vec::new() };
    let is_code = body.first().is_some_and(|kind| kind & !FLAG == b'c');
    let found = reader.value(0)?;
    (is_code && reader.rest.is_empty()).then_some(found)
}

/// What a code object consists of: numbers, values, the first line, and values again.
#[derive(Clone, Copy)]
struct Layout {
    numbers: usize,
    values: usize,
    /// Which of the values is the file's name.
    file: usize,
    after: usize,
}

impl Layout {
    /// By the number that each version of python has; 3.8 and newer.
    fn of(magic: [u8; 4]) -> Option<Self> {
        let [low, high, b'\r', b'\n'] = magic else { return None };
        match u16::from_le_bytes([low, high]) {
            3400..3450 => Some(Self { numbers: 6, values: 8, file: 6, after: 1 }),
            3450..3700 => Some(Self { numbers: 5, values: 8, file: 5, after: 2 }),
            _ => None,
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    layout: Layout,
    /// Values that may be referred to, once they are complete.
    references: Vec<Option<Hash>>,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Option<Hash> {
        let kind = self.byte()?;
        let place = (kind & FLAG != 0).then(|| {
            self.references.push(None);
            self.references.len() - 1
        });
        let found = self.content(kind & !FLAG, depth)?;
        if let Some(place) = place {
            *self.references.get_mut(place)? = Some(found);
        }
        Some(found)
    }

    fn content(&mut self, kind: u8, depth: usize) -> Option<Hash> {
        if depth > DEPTH {
            return None;
        }
        match kind {
            b'N' | b'F' | b'T' | b'S' | b'.' => Some(of(kind, &[])),
            b'i' => self.take(4).map(|bytes| of(kind, bytes)),
            b'g' => self.take(8).map(|bytes| of(kind, bytes)),
            b'y' => self.take(16).map(|bytes| of(kind, bytes)),
            b'l' => {
                let digits = i32::from_le_bytes(self.take(4)?.try_into().ok()?);
                let bytes = self.take(usize::try_from(digits.unsigned_abs()).ok()?.checked_mul(2)?)?;
                Some(of(kind, &[&digits.to_le_bytes()[..], bytes].concat()))
            }
            b's' => self.long().and_then(|length| self.take(length)).map(|bytes| of(kind, bytes)),
            b'u' | b't' | b'a' | b'A' => self.long().and_then(|length| self.take(length)).map(|bytes| of(b'u', bytes)),
            b'z' | b'Z' => self.byte().and_then(|length| self.take(length.into())).map(|bytes| of(b'u', bytes)),
            b')' => self.byte().and_then(|count| self.values(b'(', count.into(), depth)),
            b'(' | b'[' | b'<' | b'>' => self.long().and_then(|count| self.values(kind, count, depth)),
            b':' => self.values(kind, 3, depth),
            b'r' => self.long().and_then(|place| *self.references.get(place)?),
            b'c' => self.code(depth),
            _ => None,
        }
    }

    /// A tuple, list or set; the order in a set means nothing.
    fn values(&mut self, kind: u8, count: usize, depth: usize) -> Option<Hash> {
        // Each value has at least a byte.
        if count > self.rest.len() {
            return None;
        }
        let mut values = (0..count).map(|_| self.value(depth + 1)).collect::<Option<Vec<Hash>>>()?;
        if matches!(kind, b'<' | b'>') {
            values.sort_unstable();
        }
        Some(together(kind, &values))
    }

    fn code(&mut self, depth: usize) -> Option<Hash> {
        let Layout { numbers, values, file, after } = self.layout;
        let mut parts = vec![of(b'#', self.take(4 * numbers)?)];
        for number in 0..values {
            let value = self.value(depth + 1)?;
            parts.push(if number == file { of(b'f', &[]) } else { value });
        }
        parts.push(of(b'#', self.take(4)?));
        for _ in 0..after {
            parts.push(self.value(depth + 1)?);
        }
        Some(together(b'c', &parts))
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn long(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.take(4)?.try_into().ok()?)).ok()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

fn of(kind: u8, bytes: &[u8]) -> Hash {
    Hash::digest(&[&[kind][..], bytes].concat())
}

fn together(kind: u8, parts: &[Hash]) -> Hash {
    let bytes: Vec<u8> = parts.iter().flat_map(|part| *part.as_bytes()).collect();
    // Another first byte than that of a value with bytes of its own.
    of(kind | FLAG, &bytes)
}

/// The value may be referred to later.
const FLAG: u8 = 0x80;
/// How deep values may stand in each other; python's own limit is higher, real code stays far below.
const DEPTH: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: [u8; 4] = [0xa7, 0x0d, b'\r', b'\n'];

    /// A code object of python 3.11 whose constants are these bytes.
    fn code(constants: &[u8], file: &[u8]) -> Vec<u8> {
        let empty = b")\0";
        let name = |text: &[u8]| [&[b'z', u8::try_from(text.len()).unwrap()][..], text].concat();
        let parts: [&[u8]; 14] = [
            b"\xe3",
            &[0; 20],
            b"s\x02\0\0\0d\0",
            constants,
            empty,
            empty,
            b"s\0\0\0\0",
            &name(file),
            &name(b"<module>"),
            &name(b"<module>"),
            &[1, 0, 0, 0],
            b"s\0\0\0\0",
            b"s\0\0\0\0",
            b"",
        ];
        parts.concat()
    }

    fn of_constants(constants: &[u8]) -> Option<Hash> {
        digest(MAGIC, &code(constants, b"a.py"))
    }

    #[test]
    fn spellings_of_one_value_are_one() {
        let plain = of_constants(b")\x02z\x02hiz\x02hi").unwrap();
        assert_eq!(of_constants(b")\x02\xfa\x02hir\x01\0\0\0"), Some(plain), "by reference: the code is number 0");
        assert_eq!(of_constants(b"(\x02\0\0\0\xda\x02hiu\x02\0\0\0hi"), Some(plain));
        assert_eq!(digest(MAGIC, &code(b")\x02z\x02hiz\x02hi", b"elsewhere.py")), Some(plain));
        assert_eq!(of_constants(b">\x02\0\0\0TF"), of_constants(b">\x02\0\0\0FT"));
    }

    #[test]
    fn values_differ_by_all_that_python_sees() {
        let constants: [&[u8]; 12] = [
            b"T",
            b"F",
            b"N",
            b"i\x01\0\0\0",
            b"l\x01\0\0\0\x01\0",
            b"l\xff\xff\xff\xff\x01\0",
            b"s\x01\0\0\0a",
            b"z\x01a",
            b")\x01T",
            b"[\x01\0\0\0T",
            b">\x01\0\0\0T",
            b"g\0\0\0\0\0\0\xf0\x3f",
        ];
        let digests: std::collections::BTreeSet<Hash> = constants.iter().map(|constants| of_constants(constants).unwrap()).collect();
        assert_eq!(digests.len(), constants.len());
        let mut other = code(b"T", b"a.py");
        other[13] ^= 1;
        assert_ne!(digest(MAGIC, &other), of_constants(b"T"), "the size of the stack");
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let good = code(b"T", b"a.py");
        (0..good.len()).for_each(|cut| assert_eq!(digest(MAGIC, &good[..cut]), None, "cut at {cut}"));
        assert_eq!(digest(MAGIC, &[&good[..], b"T"].concat()), None);
        assert_eq!((digest([1, 2, b'\r', b'\n'], &good), digest(*b"\xa7\x0d\n\n", &good)), (None, None));
        for constants in [&b"r\0\0\0\0"[..], b"r\x05\0\0\0", b"(\xff\xff\xff\xff", b"l\0\0\0\x80", b"?", b"\xa9\x01r\x01\0\0\0"] {
            assert_eq!(of_constants(constants), None, "{constants:?}");
        }
        assert_eq!(of_constants(&b")\x01".repeat(DEPTH + 2)), None);
        assert_eq!(digest(MAGIC, b"T"), None);
    }

    #[test]
    fn python_itself_agrees() {
        let script = "import marshal, sys, importlib.util as u\n\
            source = 'import os\\nclass A:\\n    x = {1, 2, \"three\"}\\n    def f(self, y=1.5, *, z=2**70):\\n        return [lambda: y in {1, \"a\", None}, z, -1j, ...]\\n'\n\
            code = compile(source, sys.argv[1], 'exec', dont_inherit=True, optimize=int(sys.argv[2]))\n\
            code = marshal.loads(marshal.dumps(code)) if sys.argv[3] == 'again' else code\n\
            sys.stdout.buffer.write(u.MAGIC_NUMBER + marshal.dumps(code))";
        let made = |file: &str, level: &str, again: &str| {
            let output = std::process::Command::new("python3").args(["-c", script, file, level, again]).output().expect("python3");
            let (magic, body) = output.stdout.split_first_chunk::<4>().expect("python3 answers");
            digest(*magic, body)
        };
        let first = made("a.py", "0", "once");
        assert!(first.is_some());
        assert_eq!((made("b.py", "0", "once"), made("a.py", "0", "again")), (first, first));
    }
}
