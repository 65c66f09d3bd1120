//! The report: markdown for people, JSON for scripts. Every figure stands beside the limit of the same run.

use std::fmt::Write as _;

use serde::Serialize;

use crate::figure::Figure;
use crate::machine::Machine;
use crate::modes::{BATCH_BAR, BATCH_LINES, CHECKED_BAR, OPEN_BAR, Row};

/// Everything that was measured. What was not, is absent.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// What on.
    pub machine: Option<Machine>,
    /// How.
    pub settings: Option<Settings>,
    /// Published entries a second of an open log, one a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries_per_second_open: Option<f64>,
    /// CPU time of the log for each of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_us_per_entry_open: Option<f64>,
    /// Published, checked and cosigned entries a second, one a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries_per_second_checked: Option<f64>,
    /// The same in batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries_per_second_checked_batch: Option<f64>,
    /// From the intended sending to the answer, open log, half the bar's load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submit_to_proof_p99_ms: Option<f64>,
    /// The same, checked and cosigned by two of three.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submit_to_proof_quorum_p99_ms: Option<f64>,
    /// Highest memory use of a log in any measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rss_mb: Option<f64>,
    /// Leaves that `fsck` checks a second, at the largest size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fsck_leaves_per_second: Option<f64>,
    /// Disk use of `public/` over the bytes of entries and hashes, at the largest size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_ratio: Option<f64>,
    /// Bytes of the index over those of the entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_ratio: Option<f64>,
    /// Each measurement.
    pub figures: Vec<Figure>,
    /// An open log at growing sizes.
    pub growth: Vec<Row>,
}

/// How was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// Bytes of an open entry.
    pub entry_bytes: usize,
    /// Mean bytes of a signed entry.
    pub signed_entry_bytes: Option<usize>,
    /// Seconds of each measurement after the warm-up.
    pub seconds: u64,
    /// How long the log collects a batch.
    pub batch_interval_ms: u64,
    /// Lines of a request in batches.
    pub lines_per_batch: usize,
}

impl Report {
    /// Fills the headline figures from the measurements.
    pub fn summarize(&mut self) {
        let find = |name: &str| self.figures.iter().find(|figure| figure.name == name);
        let speed = |name| find(name).map(|figure| figure.entries_per_second);
        self.entries_per_second_open = speed("open, greatest load");
        self.server_cpu_us_per_entry_open = find("open, greatest load").map(|figure| figure.log_cpu_us);
        self.entries_per_second_checked = speed("checked, greatest load");
        self.entries_per_second_checked_batch = speed("checked, in batches");
        self.submit_to_proof_p99_ms = find("open, half the bar's load").map(|figure| figure.p99_ms);
        self.submit_to_proof_quorum_p99_ms = find("checked, half the bar's load").map(|figure| figure.p99_ms);
        self.max_rss_mb =
            self.figures.iter().map(|figure| figure.max_rss_mb).chain(self.growth.iter().map(|row| row.rss_mb)).reduce(f64::max);
        self.fsck_leaves_per_second = self.growth.last().map(|row| row.fsck_leaves_per_second);
        self.disk_ratio = self.growth.last().map(|row| row.disk_ratio);
    }

    /// For a terminal or a document.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::from("# How fast the log is\n\n");
        if let Some(machine) = &self.machine {
            let _ = writeln!(
                text,
                "{} x {}, {} MiB, Linux {}, {}. The generator runs on the same machine.\n",
                machine.processors, machine.processor, machine.memory_mib, machine.kernel, machine.file_system
            );
        }
        if let Some(settings) = &self.settings {
            let signed = settings.signed_entry_bytes.map_or(String::new(), |bytes| format!(", signed ones {bytes}"));
            let _ = writeln!(
                text,
                "Entries of {} bytes{signed}; batches are collected for {} ms; {} s each after a warm-up. Rates are the growth of the published checkpoint.\n",
                settings.entry_bytes, settings.batch_interval_ms, settings.seconds
            );
        }
        self.bars(&mut text);
        self.measurements(&mut text);
        self.limits(&mut text);
        self.growth(&mut text);
        text
    }

    fn bars(&self, text: &mut String) {
        text.push_str("| what | bar | measured | of the bar |\n|---|---|---|---|\n");
        let mut row = |what: &str, bar: f64, unit: &str, is_most: bool, measured: Option<f64>| {
            let Some(measured) = measured else { return };
            let share = if is_most { bar / measured } else { measured / bar };
            let sign = if is_most { "at most" } else { "at least" };
            let _ = writeln!(text, "| {what} | {sign} {} {unit} | {} {unit} | {:.0} % |", number(bar), number(measured), share * 100.0);
        };
        row("open entries, one a request", OPEN_BAR, "/s", false, self.entries_per_second_open);
        row("CPU of the log for each", 25.0, "us", true, self.server_cpu_us_per_entry_open);
        row("checked entries, one a request, 2 of 3 witnesses", CHECKED_BAR, "/s", false, self.entries_per_second_checked);
        row(
            &format!("checked entries, {BATCH_LINES} a request, 2 of 3 witnesses"),
            BATCH_BAR,
            "/s",
            false,
            self.entries_per_second_checked_batch,
        );
        row("submit to proof, p99, at half the load", 300.0, "ms", true, self.submit_to_proof_p99_ms);
        row("the same with 2 of 3 witnesses", 1000.0, "ms", true, self.submit_to_proof_quorum_p99_ms);
        row("memory of the log", 150.0, "MiB", true, self.max_rss_mb);
        row("`fsck`, leaves", 1_500_000.0, "/s", false, self.fsck_leaves_per_second);
        row("disk use, of entries and hashes", 1.2, "x", true, self.disk_ratio);
        row("index, of the entries", 0.15, "x", true, self.index_ratio);
        text.push('\n');
    }

    fn measurements(&self, text: &mut String) {
        text.push_str("| measurement | connections | offered/s | published/s | CPU us each: log | generator | witnesses | p50 ms | p99 | p99.9 | max | MiB | answers other than 200 | answers verified |\n");
        text.push_str("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
        for figure in &self.figures {
            let offered = figure.offered_per_second.map_or_else(|| "all".to_owned(), number);
            let _ = writeln!(
                text,
                "| {} | {} | {offered} | {} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {} | {} |",
                figure.name,
                figure.connections,
                number(figure.entries_per_second),
                figure.log_cpu_us,
                figure.generator_cpu_us,
                figure.witnesses_cpu_us,
                figure.p50_ms,
                figure.p99_ms,
                figure.p999_ms,
                figure.max_ms,
                figure.max_rss_mb,
                figure.complaint.as_deref().unwrap_or("none"),
                figure.checked_answers,
            );
        }
        text.push('\n');
    }

    fn limits(&self, text: &mut String) {
        text.push_str("The limits just before each measurement, each alone; entries published per fsync that the disk could do, and as a share of what one core could do:\n\n");
        text.push_str("| measurement | fsync/s | p50 ms | p99 | p99.9 | entries per fsync | SHA-256 of 1 KiB/s a core | share | Ed25519 strict/s a core | share |\n|---|---|---|---|---|---|---|---|---|---|\n");
        for Figure { name, entries_per_second, limits, .. } in &self.figures {
            let _ = writeln!(
                text,
                "| {name} | {} | {:.2} | {:.2} | {:.2} | {:.1} | {} | {:.1} % | {} | {:.1} % |",
                number(limits.fsync_per_second),
                limits.fsync_p50_ms,
                limits.fsync_p99_ms,
                limits.fsync_p999_ms,
                entries_per_second / limits.fsync_per_second,
                number(limits.sha256_1k_per_second),
                entries_per_second / limits.sha256_1k_per_second * 100.0,
                number(limits.ed25519_per_second),
                entries_per_second / limits.ed25519_per_second * 100.0,
            );
        }
        text.push('\n');
    }

    fn growth(&self, text: &mut String) {
        if self.growth.is_empty() {
            return;
        }
        text.push_str("An open log as it grows:\n\n| entries | published/s on the way | CPU us each | MiB | disk ratio | restart s | fsck s | fsck leaves/s |\n|---|---|---|---|---|---|---|---|\n");
        for row in &self.growth {
            let _ = writeln!(
                text,
                "| {} | {} | {:.1} | {:.0} | {:.3} | {:.2} | {:.2} | {} |",
                number(row.entries as f64),
                number(row.entries_per_second),
                row.log_cpu_us,
                row.rss_mb,
                row.disk_ratio,
                row.restart_seconds,
                row.fsck_seconds,
                number(row.fsck_leaves_per_second),
            );
        }
        self.on_paper(text);
    }

    /// What follows for 10^9 entries from the last row: nothing of this was run.
    fn on_paper(&self, text: &mut String) {
        let (Some(last), Some(settings)) = (self.growth.last(), &self.settings) else { return };
        let entries = 1e9;
        let files = entries / 256.0 * 2.0 * 256.0 / 255.0;
        let bytes = entries * (settings.entry_bytes as f64 + 32.0) * last.disk_ratio;
        let index = self.index_ratio.map_or(String::new(), |ratio| {
            let signed = settings.signed_entry_bytes.unwrap_or(settings.entry_bytes) as f64;
            format!(", index of a checked log {:.0} GB", entries * signed * ratio / 1e9)
        });
        let _ = writeln!(
            text,
            "| 1,000,000,000, on paper | as above: a round reads and writes the right edge, 4 tiles of at most 8 KiB instead of 3 | | as above | {:.3} | as above: the edge and one consistency proof | {:.0} | as above |\n\n\
             On paper, 10^9 entries are {} files, {:.2} TB{index}.\n",
            last.disk_ratio,
            entries / last.fsck_leaves_per_second,
            number(files),
            bytes / 1e12,
        );
    }
}

/// With separators for thousands; three digits where it is small.
fn number(value: f64) -> String {
    if value < 100.0 {
        return format!("{}", (value * 100.0).round() / 100.0);
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(number(1_234_567.8), "1,234,568");
        assert_eq!(number(999.6), "1,000");
        assert_eq!(number(0.123), "0.12");
    }
}
