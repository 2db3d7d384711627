//! The program itself: a working directory of its own, words in, output and exit code out.

use std::fs;
use std::io::{BufRead, BufReader, Read, Seek as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use keywheel_actors::clock::Clock;
use tempfile::TempDir;

use super::PATIENCE;

const KEYWHEEL: &str = env!("CARGO_BIN_EXE_keywheel");

/// A working directory with its files, and the program in it.
pub(crate) struct Desk {
    dir: TempDir,
}

impl Desk {
    /// With this configuration in its usual place.
    pub(crate) fn new(config: &str) -> Self {
        Self::empty().with("keywheel.toml", config)
    }

    pub(crate) fn empty() -> Self {
        Self { dir: TempDir::new().expect("a directory for the test") }
    }

    pub(crate) fn with(self, name: &str, text: &str) -> Self {
        fs::write(self.path(name), text).expect("the directory is ours");
        self
    }

    /// With a file that only its owner may read.
    #[cfg(unix)]
    pub(crate) fn with_private(self, name: &str, text: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let desk = self.with(name, text);
        fs::set_permissions(desk.path(name), fs::Permissions::from_mode(0o600)).expect("it is ours");
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Starts `keywheel` with these words and variables, and nothing of the tester's own environment.
    pub(crate) fn start(&self, words: &[&str], environment: &[(&str, &str)]) -> Program {
        self.start_reading(words, environment, Stdio::null())
    }

    /// The same by another program, which is given `keywheel` and its words and becomes it.
    pub(crate) fn start_by(&self, by: &[&str], words: &[&str], environment: &[(&str, &str)]) -> Program {
        let words = [by, &[KEYWHEEL], words].concat();
        self.begin(Command::new(words[0]), &words[1..], environment, Stdio::null())
    }

    fn start_reading(&self, words: &[&str], environment: &[(&str, &str)], stdin: Stdio) -> Program {
        self.begin(Command::new(KEYWHEEL), words, environment, stdin)
    }

    fn begin(
        &self,
        mut command: Command,
        words: &[&str],
        environment: &[(&str, &str)],
        stdin: Stdio,
    ) -> Program {
        command.args(words).current_dir(self.dir.path()).env_clear().env("HOME", self.dir.path());
        command.envs(environment.iter().copied()).stdin(stdin);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let out = Output::of(child.stdout.take().expect("piped"));
        let err = Output::of(child.stderr.take().expect("piped"));
        Program { child, out, err }
    }

    /// Starts `keywheel` with a pipe for its stdin: what is written there it reads while it runs.
    pub(crate) fn start_fed(&self, words: &[&str]) -> (Program, ChildStdin) {
        let mut program = self.start_reading(words, &[], Stdio::piped());
        let stdin = program.child.stdin.take().expect("piped");
        (program, stdin)
    }

    /// Runs `keywheel` to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        self.start(words, &[]).end()
    }

    /// Runs `keywheel` to its end, with this on its stdin.
    pub(crate) fn run_fed(&self, words: &[&str], input: &str) -> Ended {
        self.run_fed_in(words, input, &[])
    }

    /// The same with these variables.
    pub(crate) fn run_fed_in(&self, words: &[&str], input: &str, environment: &[(&str, &str)]) -> Ended {
        // A file takes any input at once; a pipe would have to be written while the program runs.
        let mut file = tempfile::tempfile().expect("a file for the input");
        file.write_all(input.as_bytes()).and_then(|()| file.rewind()).expect("it can be written");
        self.start_reading(words, environment, Stdio::from(file)).end()
    }
}

/// The program while it runs. Dropped before its end it is killed.
pub(crate) struct Program {
    child: Child,
    pub(crate) out: Output,
    pub(crate) err: Output,
}

impl Program {
    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it ever had. Only Linux tells; elsewhere it is 0.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        peak.map_or(0, |kib| kib.trim().parse::<u64>().expect("a number") << 10)
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_some()
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) {
        self.signal("INT");
    }

    /// Sends it a signal, such as `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let words = [format!("-{name}"), self.pid().to_string()];
        let sent = Command::new("kill").args(words).status().expect("`kill` is everywhere");
        assert!(sent.success(), "the program has ended too early");
    }

    /// Kills it, as a power cut would, and waits until it is gone.
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().expect("it can be killed");
        self.end()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        self.out.read_while(|_| true);
        self.err.read_while(|_| true);
        let code = self.child.wait().expect("it can be waited for").code();
        let text = |output: &mut Output| std::mem::take(&mut output.text);
        Ended { code, stdout: text(&mut self.out), stderr: text(&mut self.err) }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has usually ended.
        let _ = self.child.kill();
    }
}

/// What the program prints on one of its two outputs.
pub(crate) struct Output {
    lines: mpsc::Receiver<String>,
    text: String,
}

impl Output {
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> Self {
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                // A test that failed doesn't listen any more.
                let _ = tell.send(line.expect("the program prints UTF-8"));
            }
        });
        Self { lines, text: String::new() }
    }

    /// Waits for a line with this in it.
    pub(crate) fn line_with(&mut self, part: &str) -> String {
        let line = self.read_while(|line| !line.contains(part));
        line.unwrap_or_else(|| panic!("`{part}` was never printed, but:\n{}", self.text))
    }

    /// Whether a line with this in it has been printed up to now.
    pub(crate) fn has(&mut self, part: &str) -> bool {
        while let Ok(line) = self.lines.try_recv() {
            self.text.push_str(&line);
            self.text.push('\n');
        }
        self.text.contains(part)
    }

    /// Reads to the end; gives the lines that nobody has read yet.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        let read = self.text.len();
        self.read_while(|_| true);
        self.text[read..].lines().map(str::to_owned).collect()
    }

    /// Reads on while `more` holds; gives the line for which it doesn't, `None` at the end.
    fn read_while(&mut self, more: impl Fn(&str) -> bool) -> Option<String> {
        let clock = Clock::start();
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(clock.now().since_start())) {
                Ok(line) => {
                    self.text.push_str(&line);
                    self.text.push('\n');
                    if !more(&line) {
                        return Some(line);
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the program hangs after:\n{}", self.text),
            }
        }
    }
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The last line of stdout, as JSON.
    #[track_caller]
    pub(crate) fn summary(&self) -> serde_json::Value {
        let line = self.stdout.lines().last().unwrap_or_else(|| panic!("nothing on stdout: {self:?}"));
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// It ended with this code.
    #[track_caller]
    pub(crate) fn exited(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }
}
