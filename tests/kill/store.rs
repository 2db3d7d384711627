//! The store alone: a process that saves numbered changes and tells each that is kept.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, io};

use fastrand::Rng;
use keywheel_actors::board::{Cause, KeyState};
use keywheel_actors::clock::Clock;
use keywheel_actors::id::KeyId;
use keywheel_actors::store::{
    Changes, Disk, GroupId, GroupMemory, KeyMemory, Memory, Presence, RestMemory, Store as _, Wall,
};
use tempfile::TempDir;

use crate::house::pause;
use crate::support::program::Output;

const ROUNDS: usize = 300;

/// Files are begun anew as often, for making one has moments of its own.
const ROUNDS_A_FILE: usize = 6;

/// Where the process that is killed finds its file.
const FILE: &str = "KEYWHEEL_KILL_STORE_FILE";

/// What it says before the number of a change that is kept.
const KEPT: &str = "kept ";

/// A process takes about as long to begin.
const BEGINNING: Duration = Duration::from_millis(25);

/// A few saves take as long.
const SOME_SAVES: Duration = Duration::from_millis(12);

/// Keys and groups that the changes are about.
const KEYS: u64 = 12;
const GROUPS: u64 = 3;

#[test]
fn what_is_kept_is_kept() {
    let (clock, mut rng) = (Clock::start(), Rng::with_seed(9));
    let (mut kept, mut untold, mut before_the_first) = (0, 0, 0);
    for file in 0..ROUNDS / ROUNDS_A_FILE {
        let dir = TempDir::new().expect("a directory for the test");
        let path = dir.path().join("state.redb");
        // Each kill can leave one change that was kept and not told any more.
        let (mut model, mut told, mut untold_max) = (Memory::default(), 0, 0);
        for round in 0..ROUNDS_A_FILE {
            let said = killed(&path, &mut rng);
            before_the_first += usize::from(said.is_none());
            (told, untold_max) = said.map_or((told, untold_max + 1), |said| (said, 1));
            // Often the next process is the first to open what this one left.
            if rng.u8(0..3) == 0 {
                continue;
            }
            let disk = Disk::open(&path).unwrap_or_else(|error| panic!("{file}.{round}: {error}"));
            let memory = disk.load().unwrap_or_else(|error| panic!("{file}.{round}: {error}"));
            let last = memory.presence.seen.0;
            let possible = told..=told + untold_max;
            assert!(possible.contains(&last), "{file}.{round}: {last} is there, not one of {possible:?}");
            (model.presence.seen.0 + 1..=last).for_each(|number| model.apply(&change(number)));
            assert!(memory == model, "{file}.{round}: not what the first {last} changes make");
            untold += last - told;
            (told, untold_max) = (last, 0);
        }
        kept += told;
    }
    let seconds = clock.now().since_start().as_secs_f32();
    println!(
        "{ROUNDS} kills in {seconds:.1} s: {kept} changes kept, {untold} of them not told any more; \
         {before_the_first} processes were killed before they told of any"
    );
    assert!(kept > ROUNDS as u64 && before_the_first > 0, "kills came at moments of every kind");
}

/// Has a process write until a moment that is drawn; gives the last change that it told of.
fn killed(path: &Path, rng: &mut Rng) -> Option<u64> {
    let mut writer = Writer::start(path);
    let mut said = None;
    if rng.u8(0..4) == 0 {
        pause(BEGINNING.mul_f32(rng.f32()));
    } else {
        said = Some(number(&writer.out.line_with(KEPT)));
        pause(SOME_SAVES.mul_f32(rng.f32()));
    }
    writer.child.kill().expect("it runs");
    writer.child.wait().expect("it can be waited for");
    let rest = writer.out.rest();
    rest.iter().rfind(|line| line.contains(KEPT)).map(|line| number(line)).or(said)
}

/// What a line says that was kept. The harness may have begun the line.
fn number(line: &str) -> u64 {
    let number = line.split_once(KEPT).map(|(_, number)| number);
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("`{line}` has no number"))
}

/// The process that is killed: this very program, and of it only [`writes_until_it_is_killed`].
struct Writer {
    child: Child,
    out: Output,
}

impl Writer {
    fn start(path: &Path) -> Self {
        let mut command = Command::new(env::current_exe().expect("this program has a path"));
        command.args(["--exact", "store::writes_until_it_is_killed", "--nocapture"]).env(FILE, path);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let out = Output::of(child.stdout.take().expect("piped"));
        Self { child, out }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It has usually been killed.
        let _ = self.child.kill();
    }
}

/// No story of its own: without a file it has nothing to do.
#[test]
fn writes_until_it_is_killed() {
    let Ok(path) = env::var(FILE) else { return };
    let disk = Disk::open(path).expect("it always opens");
    let mut last = disk.load().expect("it can be read").presence.seen.0;
    loop {
        last += 1;
        disk.save(&change(last)).expect("it can be written");
        // When nobody reads it any more, this ends, too.
        writeln!(io::stdout(), "{KEPT}{last}").expect("somebody reads it");
    }
}

/// A change with this number. Some are large, so that the file grows; some forget.
fn change(number: u64) -> Changes {
    let key = KeyId { provider: "p".into(), key: format!("k{}", number % KEYS).as_str().into() };
    let group = GroupId { provider: "p".into(), group: format!("g{}", number % GROUPS).as_str().into() };
    let length = if number.is_multiple_of(7) { 20_000 } else { 100 };
    let rest = RestMemory {
        lane: None,
        shared: false,
        state: KeyState::RateLimited,
        cause: Cause::Operator,
        until: Some(Wall(number)),
        message: "x".repeat(length).into(),
    };
    let memory = KeyMemory { rests: vec![rest], ..KeyMemory::default() };
    Changes {
        keys: BTreeMap::from([(key, (!number.is_multiple_of(5)).then_some(memory))]),
        groups: BTreeMap::from([(group, (!number.is_multiple_of(4)).then(GroupMemory::default))]),
        presence: Some(Presence { seen: Wall(number), closed: false }),
        ..Changes::default()
    }
}
