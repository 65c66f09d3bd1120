//! The package managers that ask the gate, and their words.

/// A package manager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manager {
    /// apt, with dpkg.
    #[default]
    Apt,
    /// dnf, version 4 or 5.
    Dnf,
    /// zypper, or what else uses libzypp.
    Zypper,
    /// pacman, or what else uses libalpm.
    Pacman,
}

impl Manager {
    /// Its name, as one types it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Dnf => "dnf",
            Self::Zypper => "zypper",
            Self::Pacman => "pacman",
        }
    }

    /// The type of its packages in package URLs.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Apt => "deb",
            Self::Dnf | Self::Zypper => "rpm",
            Self::Pacman => "alpm",
        }
    }

    /// How one installed package is held at its version while the rest goes on, and let go later.
    #[must_use]
    pub fn hold(self, name: &str) -> String {
        match self {
            Self::Apt => format!("apt-mark hold {name}, then the same again; apt-mark unhold {name} when tally check accepts it"),
            Self::Dnf => format!("the same again with --exclude={name}"),
            Self::Zypper => format!("zypper addlock {name}, then the same again; zypper removelock {name} when tally check accepts it"),
            Self::Pacman => format!("the same again with --ignore {name}"),
        }
    }

    /// What did not happen where something is refused.
    #[must_use]
    pub fn stopped(self) -> &'static str {
        match self {
            Self::Apt => "dpkg was not run",
            _ => "nothing was installed",
        }
    }
}
