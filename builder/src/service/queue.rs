//! Requests to a running service: files in a directory, one a package, on disk before the command that makes them ends.
//!
//! Whoever can write to the builder's directory can ask. A request stays until what it asks for is in the spool, so that neither the end of the
//! service nor that of the machine loses it.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use tlog::Hash;

use crate::home::{Home, HomeError, remove_durably, write_durably};
use crate::request::Request;

/// The requests in a builder's directory.
#[derive(Clone, Debug)]
pub struct Queue {
    dir: PathBuf,
}

impl Queue {
    /// The queue in a builder's directory; it is made where an older version did not.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(home: &Home) -> Result<Self, HomeError> {
        let dir = home.dir().join("requests");
        let made = fs::create_dir_all(dir.join("failed"));
        made.map_err(|source| HomeError::Io { path: dir.clone(), source })?;
        Ok(Self { dir })
    }

    /// Asks for a package. Asking twice is asking once.
    ///
    /// # Errors
    /// If it cannot be written durably.
    pub fn ask(&self, request: &Request) -> Result<(), HomeError> {
        let path = self.dir.join(name(request));
        write_durably(&path, format!("{request}\n").as_bytes()).map_err(|source| HomeError::Io { path, source })
    }

    /// What is asked for, in the order of names. A file that is no request is set aside.
    ///
    /// # Errors
    /// If the directory cannot be read or written.
    pub fn asked(&self) -> Result<Vec<Request>, HomeError> {
        let mut requests = Vec::new();
        let unreadable = |source| HomeError::Io { path: self.dir.clone(), source };
        for entry in fs::read_dir(&self.dir).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_none_or(|end| end != "request") {
                continue;
            }
            // What could not be read may be a good request all the same.
            let Some(text) = read(&path).map_err(|source| HomeError::Io { path: path.clone(), source })? else { continue };
            let request = std::str::from_utf8(&text).ok().and_then(|text| text.strip_suffix('\n')?.parse::<Request>().ok());
            match request.filter(|request| path.file_name().is_some_and(|found| *found == *name(request))) {
                Some(request) => requests.push(request),
                None => {
                    tracing::warn!("{} is no request and is set aside", path.display());
                    let aside = self.dir.join("failed").join(path.file_name().unwrap_or_default());
                    fs::rename(&path, &aside).map_err(|source| HomeError::Io { path, source })?;
                }
            }
        }
        requests.sort();
        Ok(requests)
    }

    /// A request has been served.
    ///
    /// # Errors
    /// If it cannot be removed durably.
    pub fn served(&self, request: &Request) -> Result<(), HomeError> {
        let path = self.dir.join(name(request));
        remove_durably(&path).map_err(|source| HomeError::Io { path, source })
    }

    /// A request cannot be served: it is kept aside with the reason.
    ///
    /// # Errors
    /// If that cannot be written durably.
    pub fn refused(&self, request: &Request, reason: &str) -> Result<(), HomeError> {
        let path = self.dir.join("failed").join(name(request));
        write_durably(&path, format!("{request}\n{reason}\n").as_bytes()).map_err(|source| HomeError::Io { path, source })?;
        self.served(request)
    }
}

/// The beginning of a file, a little longer than any request; nothing of what is no file, and `None` where it has gone meanwhile.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let opened = fs::metadata(path).and_then(|metadata| if metadata.is_file() { fs::File::open(path).map(Some) } else { Ok(None) });
    let mut text = Vec::new();
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => return Ok(None),
        opened => opened?.map_or(Ok(0), |file| file.take(MAX_BYTES).read_to_end(&mut text))?,
    };
    Ok(Some(text))
}

fn name(request: &Request) -> String {
    format!("{}.request", &Hash::digest(request.to_string().as_bytes()).to_hex()[..32])
}

/// Longer than any request.
const MAX_BYTES: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::KeyName;

    #[test]
    fn requests_stay_until_they_are_served_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        Home::create(&dir.path().join("b"), &KeyName::parse("example.org/b").unwrap()).unwrap();
        let queue = Queue::open(&Home::open(&dir.path().join("b")).unwrap()).unwrap();
        let requests: Vec<Request> = ["jq", "attr=1:2-1", "libc6:i386"].iter().map(|text| text.parse().unwrap()).collect();
        for request in requests.iter().chain(&requests) {
            queue.ask(request).unwrap();
        }
        fs::write(queue.dir.join("x.request"), "jq\n").unwrap();
        fs::write(queue.dir.join(name(&requests[0]).replace(".request", ".new")), "half").unwrap();
        assert_eq!(queue.asked().unwrap().len(), 3);
        assert!(queue.dir.join("failed/x.request").exists() && !queue.dir.join("x.request").exists());
        queue.served(&requests[0]).unwrap();
        queue.refused(&requests[1], "no such package").unwrap();
        assert_eq!(queue.asked().unwrap(), [requests[2].clone()]);
        let kept = fs::read_to_string(queue.dir.join("failed").join(name(&requests[1]))).unwrap();
        assert_eq!(kept, "attr=1:2-1\nno such package\n");
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_no_request() {
        let dir = tempfile::tempdir().unwrap();
        Home::create(&dir.path().join("b"), &KeyName::parse("example.org/b").unwrap()).unwrap();
        let queue = Queue::open(&Home::open(&dir.path().join("b")).unwrap()).unwrap();
        let request: Request = "jq".parse().unwrap();
        let path = queue.dir.join(name(&request));
        // A way that leads to itself: the system says neither that nothing is there nor what is.
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(matches!(queue.asked(), Err(HomeError::Io { path: told, .. }) if told == path));
        assert!(fs::symlink_metadata(&path).is_ok() && !queue.dir.join("failed").join(name(&request)).exists());
        fs::remove_file(&path).unwrap();
        queue.ask(&request).unwrap();
        fs::create_dir(queue.dir.join("x.request")).unwrap();
        fs::write(queue.dir.join("y.request"), "y".repeat(5000)).unwrap();
        assert_eq!(queue.asked().unwrap(), [request]);
        assert!(queue.dir.join("failed/x.request").exists() && queue.dir.join("failed/y.request").exists());
    }
}
