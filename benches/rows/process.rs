//! A process and what it has spent. Needs Linux: it reads `/proc`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// How often the memory of a process is looked at: its peak is gone with it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A process; killed when dropped.
pub(crate) struct Running {
    child: Child,
    /// What it prints; closed when it ends.
    lines: Receiver<String>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().context("the program doesn't start")?;
        let stdout = child.stdout.take().context("the program has no stdout")?;
        let (line, lines) = mpsc::channel();
        thread::spawn(move || {
            // Whoever has heard enough has let go of the other end.
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|text| drop(line.send(text)));
        });
        Ok(Self { child, lines })
    }

    /// The next line that it prints.
    pub(crate) fn line(&self) -> anyhow::Result<String> {
        self.lines.recv().context("the program ended early")
    }

    /// User and system time of all its threads so far, in seconds.
    pub(crate) fn cpu_s(&self) -> anyhow::Result<f64> {
        /// `/proc` counts in hundredths of a second on every architecture (`USER_HZ`).
        const TICKS_PER_SECOND: f64 = 100.0;
        /// `utime`, counted from the state, which follows the name in brackets; `stime` comes next.
        /// Source: `proc_pid_stat(5)`.
        const UTIME: usize = 11;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, behind_name) = stat.rsplit_once(") ").context("`/proc/…/stat` has no name")?;
        let ticks = behind_name.split(' ').skip(UTIME).take(2).map(str::parse::<f64>);
        Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_SECOND)
    }

    /// Its largest resident set so far, in MB; `None` if it has ended.
    fn memory_peak_mb(&self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: f64 = peak.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib * 1_024.0 / 1e6)
    }

    /// Waits for its end. Gives its CPU time in seconds and its largest resident set in MB.
    pub(crate) fn end(mut self) -> anyhow::Result<(f64, f64)> {
        let mut peak_mb: f64 = 0.0;
        while !matches!(self.lines.recv_timeout(LOOK_EVERY), Err(RecvTimeoutError::Disconnected)) {
            peak_mb = peak_mb.max(self.memory_peak_mb().unwrap_or_default());
        }
        // Not waited for yet, it can still be asked what it has spent; its last moments are missing.
        let cpu_s = self.cpu_s()?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the program failed: {status}");
        Ok((cpu_s, peak_mb))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
