//! Capabilities: from the text of a header to the attribute that Linux keeps with the file (`specs/rpm.md`, section 4).

/// The raw `security.capability` value (revision 2) of a text as `cap_to_text` writes it; empty for a text without capabilities.
/// `None` for a text that is malformed, or that means another set on another kernel (`all`, `=ep`).
pub fn parse(text: &str) -> Option<Vec<u8>> {
    let mut sets = Sets::default();
    for clause in text.split_ascii_whitespace() {
        sets.apply(clause)?;
    }
    sets.encode()
}

/// Effective, inheritable and permitted, one bit a capability.
#[derive(Debug, Default)]
struct Sets {
    effective: u64,
    inheritable: u64,
    permitted: u64,
}

impl Sets {
    /// `cap_a,cap_b=ep+i-p`: names, then at least one operator with its flags.
    fn apply(&mut self, clause: &str) -> Option<()> {
        let start = clause.find(['=', '+', '-'])?;
        let (names, mut rest) = clause.split_at(start);
        let bits = if names.is_empty() {
            // Every capability there is: only to clear them all is the same everywhere.
            return (rest == "=").then(|| *self = Self::default());
        } else {
            names.split(',').try_fold(0, |bits, name| Some(bits | 1 << number(name)?))?
        };
        while let Some(operator) = rest.chars().next() {
            let flags = &rest[1..];
            let end = flags.find(['=', '+', '-']).unwrap_or(flags.len());
            self.operate(operator, &flags[..end], bits)?;
            rest = &flags[end..];
        }
        Some(())
    }

    fn operate(&mut self, operator: char, flags: &str, bits: u64) -> Option<()> {
        if flags.is_empty() && operator != '=' {
            return None;
        }
        if operator == '=' {
            [&mut self.effective, &mut self.inheritable, &mut self.permitted].into_iter().for_each(|set| *set &= !bits);
        }
        for flag in flags.chars() {
            let set = match flag {
                'e' => &mut self.effective,
                'i' => &mut self.inheritable,
                'p' => &mut self.permitted,
                _ => return None,
            };
            *set = if operator == '-' { *set & !bits } else { *set | bits };
        }
        Some(())
    }

    /// A file has one effective bit for all of its capabilities, so either none or all of them must be effective.
    fn encode(&self) -> Option<Vec<u8>> {
        let all = self.permitted | self.inheritable;
        if self.effective != 0 && self.effective != all {
            return None;
        }
        if all == 0 {
            return Some(Vec::new());
        }
        let low = |set: u64| u32::try_from(set & 0xffff_ffff).unwrap_or(0).to_le_bytes();
        let high = |set: u64| low(set >> 32);
        let magic = REVISION_2 | u32::from(self.effective != 0);
        let words = [magic.to_le_bytes(), low(self.permitted), low(self.inheritable), high(self.permitted), high(self.inheritable)];
        Some(words.concat())
    }
}

/// A capability by name, or by number as for those that the writer did not know.
fn number(name: &str) -> Option<u32> {
    if let Some(known) = NAMES.iter().position(|known| Some(*known) == name.strip_prefix("cap_")) {
        return u32::try_from(known).ok();
    }
    let digits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    name.parse().ok().filter(|number| digits && *number < 64)
}

const REVISION_2: u32 = 0x0200_0000;
/// In the order of the kernel's numbers.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_attributes() {
        let ping = hex::decode("0100000200200000000000000000000000000000").unwrap();
        for text in ["cap_net_raw=ep", "= cap_net_raw+ep", "cap_net_raw+pe", "cap_net_raw=p cap_net_raw+e", "13=ep"] {
            assert_eq!(parse(text).as_ref(), Some(&ping), "{text}");
        }
        let both = parse("cap_setgid,cap_bpf=ip").unwrap();
        assert_eq!(hex::encode(both), "0000000240000000400000008000000080000000");
        for none in ["", "=", "cap_chown=ep cap_chown-ep", "cap_chown="] {
            assert_eq!(parse(none), Some(Vec::new()), "{none}");
        }
    }

    #[test]
    fn what_is_ambiguous_or_malformed_is_refused() {
        for text in ["=ep", "all=ep", "cap_nothing=ep", "net_raw=ep", "cap_chown", "cap_chown+", "cap_chown=x", "64=p", "+1=p"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("cap_chown=p cap_kill=ep"), None, "one effective bit is for all");
    }
}
