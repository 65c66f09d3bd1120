//! The hooks of dnf, zypper and pacman: where each belongs, and what it says.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Hook, InstallError, Places, word};
use crate::cli::HookArgs;
use crate::failure::Failure;
use crate::gate::state::State;
use crate::gate::status;
use crate::repo::ZYPPER_REFRESH;

/// A file of ours, as it is shipped.
struct Template {
    directory: String,
    name: &'static str,
    mode: u32,
    text: &'static str,
}

/// `tally setup dnf`; says what was done.
///
/// # Errors
/// If neither dnf is there, dnf 5 lacks its actions plugin, or a file cannot be written.
pub fn dnf(config: &Path, args: &HookArgs) -> Result<String, Failure> {
    let four = python_packages(&args.root).into_iter().filter(|packages| args.root.join(packages).join("dnf").is_dir());
    let mut templates: Vec<Template> = four
        .map(|packages| Template { directory: format!("{packages}/dnf-plugins"), name: "tallystick.py", mode: 0o644, text: DNF4 })
        .collect();
    let five = ["usr/bin/dnf5", "usr/bin/dnfdaemon-server"].iter().any(|program| args.root.join(program).exists());
    if five || args.remove {
        templates.push(Template { directory: DNF5_DIRECTORY.to_owned(), name: "tallystick.actions", mode: 0o644, text: DNF5 });
    }
    if five && !args.remove && !has_actions(&args.root) {
        let why = "dnf 5 is there without the actions plugin of libdnf5 (libdnf5-plugin-actions), and cannot be stopped without it";
        return Err(InstallError::NoManager(why.to_owned()).into());
    }
    put("dnf", templates, config, args)
}

/// `tally setup pacman`; says what was done.
///
/// # Errors
/// If pacman is not there, or a file cannot be written.
pub fn pacman(config: &Path, args: &HookArgs) -> Result<String, Failure> {
    let hook = |name, text| Template { directory: PACMAN_DIRECTORY.to_owned(), name, mode: 0o644, text };
    let there = args.remove || args.root.join("usr/bin/pacman").exists();
    let templates = vec![hook("00-tallystick.hook", PACMAN), hook("zz-tallystick-after.hook", PACMAN_AFTER)];
    put("pacman", if there { templates } else { Vec::new() }, config, args)
}

/// `tally setup zypper`; says what was done.
///
/// # Errors
/// If libzypp is not there, or a file cannot be written.
pub fn zypper(config: &Path, args: &HookArgs) -> Result<String, Failure> {
    let plugin = Template { directory: ZYPP_DIRECTORY.to_owned(), name: "tallystick", mode: 0o755, text: ZYPP };
    let there = args.remove || has_zypp(&args.root);
    put("zypper", if there { vec![plugin] } else { Vec::new() }, config, args)
}

/// `tally setup zypper-refresh`: the plugins of libzypp that judge the indexes of repositories; says what was done.
///
/// # Errors
/// If libzypp is not there, or the file cannot be written.
pub fn zypper_refresh(config: &Path, args: &HookArgs) -> Result<String, Failure> {
    let plugin = |directory: &str, name, text| Template { directory: directory.to_owned(), name, mode: 0o755, text };
    let plugins = vec![plugin(ZYPP_REFRESH_DIRECTORY, "tally", ZYPP_REFRESH), plugin(ZYPP_SIGCHECK_DIRECTORY, "tallystick", ZYPP_SIGCHECK)];
    let there = args.remove || has_zypp(&args.root);
    put(ZYPPER_REFRESH, if there { plugins } else { Vec::new() }, config, args)
}

fn has_zypp(root: &Path) -> bool {
    root.join("usr/bin/zypper").exists() || root.join("etc/zypp").is_dir()
}

/// Which package managers have our hook on a root.
#[must_use]
pub fn hooked(root: &Path) -> Vec<&'static str> {
    let dnf4 = || python_packages(root).iter().any(|packages| root.join(packages).join("dnf-plugins/tallystick.py").exists());
    let there = [
        ("apt", root.join("etc/apt/apt.conf.d/80tallystick").exists()),
        ("dnf", dnf4() || root.join(DNF5_DIRECTORY).join("tallystick.actions").exists()),
        ("zypper", root.join(ZYPP_DIRECTORY).join("tallystick").exists()),
        (ZYPPER_REFRESH, root.join(ZYPP_REFRESH_DIRECTORY).join("tally").exists()),
        ("pacman", root.join(PACMAN_DIRECTORY).join("00-tallystick.hook").exists()),
    ];
    there.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

/// Writes or removes files; says what was done.
fn put(manager: &str, templates: Vec<Template>, config: &Path, args: &HookArgs) -> Result<String, Failure> {
    if templates.is_empty() {
        let program = manager.split('-').next().unwrap_or(manager);
        return Err(InstallError::NoManager(format!("{} has no {program}", args.root.display())).into());
    }
    let title = format!("# Written by \"tally setup {manager}\".");
    let places = if args.remove { None } else { Some(Places::of(config, args)?) };
    let one = |template: &Template| {
        let hook = Hook { mode: template.mode, makes_directory: true, ..Hook::of(args, &template.directory, template.name, &title) };
        match &places {
            None => hook.remove(),
            Some(places) => hook.write(&filled(template.text, places)?),
        }
    };
    let mut done = templates.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    // What judges indexes judges no packages: nothing has come past it.
    done.extend(places.filter(|_| !args.dry_run && manager != ZYPPER_REFRESH).and_then(|places| status::begin(&args.root, &places.state)));
    Ok(done.join("\n"))
}

/// A template with this root's paths in it.
fn filled(text: &str, places: &Places) -> Result<String, InstallError> {
    let marker = State::new(&places.state).marker();
    let text = text.replace("@PROGRAM@", word(&places.program)?).replace("@CONFIG@", word(&places.config)?);
    Ok(text.replace("@MARKER@", word(&marker)?))
}

/// Where Python's packages are on a root: distributions differ, and have several.
fn python_packages(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for library in ["usr/lib", "usr/lib64"] {
        let entries = fs::read_dir(root.join(library)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.starts_with("python3"));
        found.extend(names.flat_map(|name| ["dist-packages", "site-packages"].map(|packages| format!("{library}/{name}/{packages}"))));
    }
    found.sort();
    found
}

fn has_actions(root: &Path) -> bool {
    let libraries = ["usr/lib64".to_owned(), "usr/lib".to_owned()].into_iter();
    let entries = fs::read_dir(root.join("usr/lib")).into_iter().flatten().flatten();
    let nested = entries.filter_map(|entry| entry.file_name().into_string().ok()).map(|name| format!("usr/lib/{name}"));
    let plugin = |library: String| -> PathBuf { root.join(library).join("libdnf5/plugins/actions.so") };
    libraries.chain(nested).map(plugin).any(|plugin| plugin.exists())
}

const DNF4: &str = include_str!("../../hooks/dnf4.py");
const DNF5: &str = include_str!("../../hooks/dnf5.actions");
const PACMAN: &str = include_str!("../../hooks/pacman.hook");
const PACMAN_AFTER: &str = include_str!("../../hooks/pacman-after.hook");
/// pacman always reads this one, whatever HookDir says.
const PACMAN_DIRECTORY: &str = "usr/share/libalpm/hooks";
const ZYPP: &str = include_str!("../../hooks/zypp-commit.sh");
const ZYPP_DIRECTORY: &str = "usr/lib/zypp/plugins/commit";
const ZYPP_REFRESH: &str = include_str!("../../hooks/zypp-refresh.sh");
const ZYPP_REFRESH_DIRECTORY: &str = "usr/lib/zypp/plugins/repoverification";
const ZYPP_SIGCHECK: &str = include_str!("../../hooks/zypp-sigcheck.sh");
const ZYPP_SIGCHECK_DIRECTORY: &str = "usr/lib/zypp/plugins/sigcheck";
const DNF5_DIRECTORY: &str = "etc/dnf/libdnf5-plugins/actions.d";
