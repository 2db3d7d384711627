//! A process and what it and its children have spent. Needs Linux: it reads `/proc`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use anyhow::Context as _;

/// A process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("`{name}` doesn't start"))?;
        let stdout = child.stdout.take().context("the process has no stdout")?;
        let (line, lines) = mpsc::channel();
        thread::spawn(move || {
            // Whoever has heard enough has let go of the other end.
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|text| drop(line.send(text)));
        });
        Ok(Self { child, lines })
    }

    /// The next line that it prints.
    pub(crate) fn line(&self) -> anyhow::Result<String> {
        self.lines.recv().context("the process ended early")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// User and system time of all threads so far, in seconds.
    pub(crate) fn cpu_s(&self) -> anyhow::Result<f64> {
        family(self.id()).into_iter().map(cpu_s).sum()
    }

    /// Resident memory now, in MB.
    pub(crate) fn memory_mb(&self) -> anyhow::Result<f64> {
        family(self.id()).into_iter().map(memory_mb).sum()
    }

    /// Sends it a signal, such as `HUP`.
    pub(crate) fn signal(&self, name: &str) -> anyhow::Result<()> {
        Command::new("kill").args([format!("-{name}"), self.id().to_string()]).status()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // nginx tells its workers to end only when it is asked to; the others end as well.
        let asked = Command::new("kill").args(["-TERM", &self.id().to_string()]).status();
        if asked.is_err() {
            // It may have ended by itself.
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// A process and its children: nginx works in those.
fn family(id: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    std::iter::once(id).chain(children.split_whitespace().filter_map(|child| child.parse().ok())).collect()
}

fn cpu_s(id: u32) -> anyhow::Result<f64> {
    /// `/proc` counts in hundredths of a second on every architecture (`USER_HZ`).
    const TICKS_PER_SECOND: f64 = 100.0;
    /// `utime`, counted from the state, which follows the name in brackets; `stime` comes next.
    /// Source: `proc_pid_stat(5)`.
    const UTIME: usize = 11;
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let (_, behind_name) = stat.rsplit_once(") ").context("`/proc/…/stat` has no name")?;
    let ticks = behind_name.split(' ').skip(UTIME).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_SECOND)
}

fn memory_mb(id: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no `VmRSS`")?;
    let kib: f64 = resident.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1_024.0 / 1e6)
}
