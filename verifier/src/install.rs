//! `tally setup`: the files that make other programs call this one, written into a root and taken away again (`specs/gate.md`, section 5).

pub mod managers;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, fchmod, mkdirat, openat, openat2, renameat, unlinkat};
use rustix::io::Errno;

use crate::cli::{ControlHeadArgs, HookArgs, SetupCommand};
use crate::config::Config;
use crate::failure::Failure;
use crate::gate::state::State;
use crate::gate::status;

/// Why nothing was installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A path that cannot be written into the file without quoting.
    #[error("{0}: only absolute paths of letters, digits and . _ + - / can stand in a hook")]
    Path(PathBuf),
    /// The directory of hooks is not there.
    #[error("{0} is not there; is this the right root?")]
    NoDirectory(PathBuf),
    /// The package manager is not there, or cannot be stopped.
    #[error("{0}")]
    NoManager(String),
    /// Somebody else's file.
    #[error("{0} is there and was not written by tally; move it away")]
    Foreign(PathBuf),
    /// The system refused.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

/// `tally setup`; says what was done.
///
/// # Errors
/// If nothing was.
pub fn run(config: &Path, command: &SetupCommand) -> Result<String, Failure> {
    match command {
        SetupCommand::Apt(args) => apt(config, args),
        SetupCommand::Dnf(args) => managers::dnf(config, args),
        SetupCommand::Pacman(args) => managers::pacman(config, args),
        SetupCommand::Zypper(args) => managers::zypper(config, args),
        SetupCommand::ZypperRefresh(args) => managers::zypper_refresh(config, args),
        SetupCommand::ControlHead(args) => control_head(config, args),
        SetupCommand::Timer(args) => timer(config, args),
    }
}

/// `tally setup apt`; says what was done.
///
/// # Errors
/// If the configuration on that root cannot be read, or the file cannot be written.
pub fn apt(config: &Path, args: &HookArgs) -> Result<String, Failure> {
    let hook = Hook::of(args, APT_DIRECTORY, APT_NAME, APT_TITLE);
    if args.remove {
        return Ok(hook.remove()?);
    }
    let places = Places::of(config, args)?;
    let done = hook.write(&apt_file(&places.program, &places.config, &State::new(&places.state).marker())?)?;
    let began = if args.dry_run { None } else { status::begin(&args.root, &places.state) };
    Ok([done].into_iter().chain(began).collect::<Vec<_>>().join("\n"))
}

/// `tally setup timer`; says what was done.
///
/// # Errors
/// If the configuration on that root cannot be read, or a file cannot be written.
pub fn timer(config: &Path, args: &HookArgs) -> Result<String, Failure> {
    units(config, args, &Units { title: "# Written by \"tally setup timer\".", all: &DAILY, timer: "tally-verify.timer", key: None })
}

/// `tally setup control-head`; says what was done. The key is not looked at: it may be put there later.
///
/// # Errors
/// If the configuration on that root cannot be read, a path cannot stand in a unit, or a file cannot be written.
pub fn control_head(config: &Path, args: &ControlHeadArgs) -> Result<String, Failure> {
    let title = "# Written by \"tally setup control-head\".";
    units(config, &args.hook, &Units { title, all: &CONTROL_HEAD, timer: "tally-advise-head.timer", key: Some(&args.key) })
}

/// Units of systemd that belong together.
struct Units<'a> {
    title: &'a str,
    all: &'a [(&'a str, &'a str)],
    /// The one that is to be enabled.
    timer: &'a str,
    /// The key that the unit is given, where it takes one.
    key: Option<&'a Path>,
}

fn units(config: &Path, args: &HookArgs, units: &Units<'_>) -> Result<String, Failure> {
    let hook = |name| Hook::of(args, UNIT_DIRECTORY, name, units.title);
    let mut done: Vec<String> = Vec::new();
    if args.remove {
        for (name, _) in units.all {
            done.push(hook(name).remove()?);
        }
        done.push("run: systemctl daemon-reload".to_owned());
        return Ok(done.join("\n"));
    }
    let places = Places::of(config, args)?;
    // All are made before the first is written.
    let texts = units.all.iter().map(|(_, text)| unit_file(text, &places, units.key)).collect::<Result<Vec<_>, _>>()?;
    for ((name, _), text) in units.all.iter().zip(texts) {
        done.push(hook(name).write(&text)?);
    }
    done.push(format!("run: systemctl daemon-reload && systemctl enable --now {}", units.timer));
    Ok(done.join("\n"))
}

/// Where things are on the root, as the root sees it.
struct Places {
    program: PathBuf,
    config: PathBuf,
    cache: PathBuf,
    state: PathBuf,
}

impl Places {
    fn of(config: &Path, args: &HookArgs) -> Result<Self, Failure> {
        let program = match &args.program {
            Some(program) => program.clone(),
            None => std::env::current_exe().map_err(|error| InstallError::Io("/proc/self/exe".into(), error))?,
        };
        let config = std::path::absolute(config).map_err(|error| InstallError::Io(config.to_path_buf(), error))?;
        let there = Config::load(&args.root.join(config.strip_prefix("/").unwrap_or(&config)))?;
        // Relative paths of the configuration were joined to where it stands now.
        let inside = |path: PathBuf| path.strip_prefix(&args.root).map_or_else(|_| path.clone(), |path| Path::new("/").join(path));
        Ok(Self { program, config, cache: inside(there.cache), state: inside(there.state) })
    }
}

/// A unit as it is shipped, with this root's paths in it.
fn unit_file(text: &str, places: &Places, key: Option<&Path>) -> Result<String, InstallError> {
    let mut unit =
        text.replace("ExecStart=/usr/bin/tally ", &format!("ExecStart={} --config {} ", word(&places.program)?, word(&places.config)?));
    if let Some(key) = key {
        unit = unit.replace(" --key /etc/tallystick/control.key", &format!(" --key {}", word(key)?));
    }
    for path in [&places.cache, &places.state] {
        let parent = path.parent().filter(|parent| *parent != Path::new(STATE_DIRECTORY));
        if let Some(parent) = parent.filter(|_| unit.contains("\nProtectSystem=")) {
            let line = format!("ReadWritePaths=-{}\n", word(parent)?);
            if !unit.contains(&line) {
                unit.push_str(&line);
            }
        }
    }
    Ok(unit)
}

/// apt runs the command with `sh -c`. Where `tally` is not there (`apt remove` leaves configuration files), packages are not judged, and
/// nothing stops. What it has decided (statuses below 10) holds; where it fails, what it has remembered decides: the marker is there while
/// the policy enforces.
fn apt_file(program: &Path, config: &Path, marker: &Path) -> Result<String, InstallError> {
    let (program, config, marker) = (word(program)?, word(config)?, word(marker)?);
    let absent = "echo 'tally is not there: packages are not judged' >&2";
    let mut text = format!("{APT_TITLE}\n// See specs/gate.md. \"tally setup apt --remove\" takes it away.\n");
    let _ = writeln!(
        text,
        "DPkg::Pre-Install-Pkgs {{ \"{program} --config {config} gate apt || {{ s=$?; if test -x {program}; then test $s -ge 10 && test ! -e {marker}; else {absent}; fi; }}\"; }};"
    );
    let _ = writeln!(text, "DPkg::Tools::Options::{program}::Version \"3\";");
    Ok(text)
}

/// A path that neither apt nor a shell reads as anything else.
fn word(path: &Path) -> Result<&str, InstallError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-/".contains(&byte);
    let text = path.to_str().filter(|text| text.starts_with('/') && text.bytes().all(plain) && !text.contains("//"));
    text.ok_or_else(|| InstallError::Path(path.to_path_buf()))
}

/// One file of ours in a directory of another program's.
struct Hook<'a> {
    root: &'a Path,
    directory: &'a str,
    name: &'a str,
    title: &'a str,
    /// Its permissions.
    mode: u32,
    /// Whether the directory is made where it is not there.
    makes_directory: bool,
    /// Whether it is only said what would be done.
    dry_run: bool,
}

impl<'a> Hook<'a> {
    fn of(args: &'a HookArgs, directory: &'a str, name: &'a str, title: &'a str) -> Self {
        Self { root: &args.root, directory, name, title, mode: 0o644, makes_directory: false, dry_run: args.dry_run }
    }

    fn path(&self) -> PathBuf {
        self.root.join(self.directory).join(self.name)
    }

    fn write(&self, text: &str) -> Result<String, InstallError> {
        let directory = match self.open() {
            Err(InstallError::NoDirectory(_)) if self.makes_directory && self.dry_run => {
                return Ok(format!("would write {}:\n{text}", self.path().display()));
            }
            Err(InstallError::NoDirectory(_)) if self.makes_directory => self.make()?,
            directory => directory?,
        };
        let failed = |error: io::Error| InstallError::Io(self.path(), error);
        match self.read(&directory)? {
            Some(there) if there == text.as_bytes() => return Ok(format!("{} is already as it should be", self.path().display())),
            Some(there) if !self.is_ours(&there) => return Err(InstallError::Foreign(self.path())),
            _ if self.dry_run => return Ok(format!("would write {}:\n{text}", self.path().display())),
            _ => {}
        }
        let temporary = format!(".{}.new", self.name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let write = || {
            let mut file = File::from(openat(&directory, temporary.as_str(), flags, Mode::from_raw_mode(0o600))?);
            fchmod(&file, Mode::from_raw_mode(self.mode))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            renameat(&directory, temporary.as_str(), &directory, self.name)?;
            File::from(directory.try_clone()?).sync_all()
        };
        write().map_err(failed)?;
        Ok(format!("wrote {}", self.path().display()))
    }

    /// Whether it says so itself: in its first line, or the one after a script's `#!`.
    fn is_ours(&self, text: &[u8]) -> bool {
        text.split(|byte| *byte == b'\n').take(2).any(|line| line.starts_with(self.title.as_bytes()))
    }

    fn remove(&self) -> Result<String, InstallError> {
        let directory = match self.open() {
            Err(InstallError::NoDirectory(_)) if self.makes_directory => return Ok(format!("{} is not there", self.path().display())),
            directory => directory?,
        };
        match self.read(&directory)? {
            None => return Ok(format!("{} is not there", self.path().display())),
            Some(there) if !self.is_ours(&there) => return Err(InstallError::Foreign(self.path())),
            Some(_) if self.dry_run => return Ok(format!("would remove {}", self.path().display())),
            Some(_) => {}
        }
        unlinkat(directory.as_fd(), self.name, AtFlags::empty()).map_err(|error| InstallError::Io(self.path(), error.into()))?;
        Ok(format!("removed {}", self.path().display()))
    }

    /// The directory, inside the root wherever its links lead.
    fn open(&self) -> Result<OwnedFd, InstallError> {
        self.below(&self.top()?, self.directory)
    }

    /// The same, and makes what of it is not there.
    fn make(&self) -> Result<OwnedFd, InstallError> {
        let top = self.top()?;
        let ends = self.directory.match_indices('/').map(|(end, _)| end).chain([self.directory.len()]);
        let mut parent = self.below(&top, ".")?;
        let mut start = 0;
        for end in ends {
            let name = &self.directory[start..end];
            match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                Err(error) if error != Errno::EXIST => return Err(self.failed(error)),
                _ => parent = self.below(&top, &self.directory[..end])?,
            }
            start = end + 1;
        }
        Ok(parent)
    }

    fn top(&self) -> Result<OwnedFd, InstallError> {
        openat(CWD, self.root, DIRECTORY, Mode::empty()).map_err(|error| self.failed(error))
    }

    fn below(&self, top: &OwnedFd, directory: &str) -> Result<OwnedFd, InstallError> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(top, directory, DIRECTORY, Mode::empty(), resolve).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: Errno) -> InstallError {
        match error {
            Errno::NOENT | Errno::NOTDIR => InstallError::NoDirectory(self.root.join(self.directory)),
            error => InstallError::Io(self.root.join(self.directory), error.into()),
        }
    }

    fn read(&self, directory: &OwnedFd) -> Result<Option<Vec<u8>>, InstallError> {
        let failed = |error: io::Error| InstallError::Io(self.path(), error);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(directory, self.name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            // A link: not ours.
            Err(Errno::LOOP) => return Err(InstallError::Foreign(self.path())),
            file => File::from(file.map_err(|error| failed(error.into()))?),
        };
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }
}

const APT_DIRECTORY: &str = "etc/apt/apt.conf.d";
const APT_NAME: &str = "80tallystick";
const APT_TITLE: &str = "// Written by \"tally setup apt\".";
const UNIT_DIRECTORY: &str = "etc/systemd/system";
const DAILY: [(&str, &str); 3] = [
    ("tally-sync.service", include_str!("../systemd/tally-sync.service")),
    ("tally-verify.service", include_str!("../systemd/tally-verify.service")),
    ("tally-verify.timer", include_str!("../systemd/tally-verify.timer")),
];
const CONTROL_HEAD: [(&str, &str); 2] = [
    ("tally-advise-head.service", include_str!("../systemd/tally-advise-head.service")),
    ("tally-advise-head.timer", include_str!("../systemd/tally-advise-head.timer")),
];
/// What `StateDirectory` of the units makes writable.
const STATE_DIRECTORY: &str = "/var/lib/tallystick";
const MAX_FILE: u64 = 64 << 10;
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn hook(root: &Path) -> Hook<'_> {
        let (mode, makes_directory, dry_run) = (0o644, false, false);
        Hook { root, directory: APT_DIRECTORY, name: APT_NAME, title: APT_TITLE, mode, makes_directory, dry_run }
    }

    fn text() -> String {
        let [program, config, marker] = ["/usr/bin/tally", "/etc/tallystick/tally.toml", "/var/lib/tallystick/enforce"].map(Path::new);
        apt_file(program, config, marker).unwrap()
    }

    #[test]
    fn it_is_written_once_replaced_and_removed() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(hook(root.path()).write(&text()), Err(InstallError::NoDirectory(_))));
        fs::create_dir_all(root.path().join(APT_DIRECTORY)).unwrap();
        let file = hook(root.path()).path();
        assert!(hook(root.path()).write(&text()).unwrap().starts_with("wrote"));
        assert!(hook(root.path()).write(&text()).unwrap().contains("already"));
        fs::write(&file, format!("{APT_TITLE}\nof an older version\n")).unwrap();
        assert!(hook(root.path()).write(&text()).unwrap().starts_with("wrote"));
        assert_eq!(fs::read_to_string(&file).unwrap(), text());
        assert!(hook(root.path()).remove().unwrap().starts_with("removed"));
        assert!(hook(root.path()).remove().unwrap().contains("not there"));
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn other_files_stay_as_they_are() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(APT_DIRECTORY)).unwrap();
        let file = hook(root.path()).path();
        fs::write(&file, "theirs").unwrap();
        assert!(matches!(hook(root.path()).write(&text()), Err(InstallError::Foreign(_))));
        assert!(matches!(hook(root.path()).remove(), Err(InstallError::Foreign(_))));
        assert_eq!(fs::read_to_string(&file).unwrap(), "theirs");
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/dev/null", &file).unwrap();
        assert!(matches!(hook(root.path()).write(&text()), Err(InstallError::Foreign(_))));
    }

    #[test]
    fn links_of_an_image_lead_into_the_image() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/apt")).unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join(APT_DIRECTORY)).unwrap();
        assert!(matches!(hook(root.path()).write(&text()), Err(InstallError::NoDirectory(_))));
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn paths_that_would_need_quotes_are_refused() {
        let good = Path::new("/usr/bin/tally");
        for path in ["tally", "/usr/bin/tally; rm", "/usr/bin/ta\"lly", "/opt/a b", "/opt/$HOME", "/opt/%41", "/opt//a"] {
            let bad = Path::new(path);
            for file in [apt_file(bad, good, good), apt_file(good, bad, good), apt_file(good, good, bad)] {
                assert!(matches!(file, Err(InstallError::Path(_))), "{path}");
            }
        }
    }
}
