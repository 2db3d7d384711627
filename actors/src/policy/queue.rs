//! The jobs that wait for one provider: bounded, a lane per model, fair between callers.
//!
//! A lane is served retries first (they have waited longest), then by priority, and
//! among equals its callers in turn. Jobs leave by [`Queue::pop`], by their deadline, or when swept.

mod appointments;

use std::collections::{HashMap, VecDeque};

use crate::clock::Moment;
use crate::id::{CallerId, Model};
use crate::request::Priority;

use appointments::Appointments;

/// Every so many jobs of a lane it is the turn of a lower priority, of each in turn: it goes slowly then, but on.
const LOWER_EVERY: u32 = 8;

/// Empty lanes are kept up to this number; callers may name any model.
const LANES_KEPT: usize = 64;

/// What a queue must know of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ticket {
    /// Its lane.
    pub model: Model,
    /// Whose it is.
    pub caller: CallerId,
    /// When it must have left.
    pub deadline: Moment,
    /// When it would rather wait elsewhere.
    pub restless_at: Moment,
    /// Whom it goes before.
    pub priority: Priority,
}

/// Jobs of type `J`, waiting.
#[derive(Debug)]
pub struct Queue<J> {
    jobs_max: usize,
    waiting: HashMap<u64, (J, Ticket)>,
    lanes: Vec<Lane>,
    next_lane: usize,
    deadlines: Appointments,
    restless: Appointments,
    delayed: Appointments,
    next_number: u64,
}

/// One model's jobs, by number. Numbers of jobs that have left are skipped when met.
#[derive(Debug)]
struct Lane {
    model: Model,
    first: VecDeque<u64>,
    /// By priority, the highest first.
    classes: [Class; Priority::ALL.len()],
    /// Jobs of classes that have left.
    served: u32,
}

/// The jobs of one priority: each caller's, in the order of their turns.
type Class = VecDeque<(CallerId, VecDeque<u64>)>;

impl Lane {
    fn of(model: &Model) -> Self {
        Self { model: model.clone(), first: VecDeque::new(), classes: Default::default(), served: 0 }
    }

    fn is_empty(&self) -> bool {
        self.first.is_empty() && self.classes.iter().all(VecDeque::is_empty)
    }

    /// The class whose turn it is, of those that aren't empty.
    fn turn(&self) -> Option<usize> {
        let mut waiting = (0..self.classes.len()).filter(|class| !self.classes[*class].is_empty());
        let highest = waiting.next();
        if self.served % LOWER_EVERY < LOWER_EVERY - 1 {
            return highest;
        }
        let lower: Vec<usize> = waiting.collect();
        let turn = (self.served / LOWER_EVERY) as usize % lower.len().max(1);
        lower.get(turn).copied().or(highest)
    }
}

impl<J> Queue<J> {
    /// An empty queue for at most so many jobs.
    pub fn new(jobs_max: usize) -> Self {
        Self {
            jobs_max,
            waiting: HashMap::new(),
            lanes: Vec::new(),
            next_lane: 0,
            deadlines: Appointments::default(),
            restless: Appointments::default(),
            delayed: Appointments::default(),
            next_number: 0,
        }
    }

    /// From now on at most so many wait. Those that are there stay.
    pub const fn set_jobs_max(&mut self, jobs_max: usize) {
        self.jobs_max = jobs_max;
    }

    /// Jobs waiting, delayed ones included.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a further job would be refused.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= self.jobs_max
    }

    /// The models that somebody has waited for.
    pub fn models(&self) -> Vec<Model> {
        self.lanes.iter().map(|lane| lane.model.clone()).collect()
    }

    /// Lines a new job up behind its caller's others.
    ///
    /// # Errors
    /// Gives the job back if the queue is full.
    pub fn push(&mut self, job: J, ticket: Ticket) -> Result<(), J> {
        if self.is_full() {
            return Err(job);
        }
        self.line_up(job, ticket);
        Ok(())
    }

    /// The same for a job that had its place elsewhere: beyond the bound if need be.
    pub fn line_up(&mut self, job: J, ticket: Ticket) {
        let (caller, priority, lane) = (ticket.caller, ticket.priority, self.lane(&ticket.model));
        let number = self.admit(job, ticket);
        let callers = &mut self.lanes[lane].classes[class_of(priority)];
        match callers.iter_mut().find(|(known, _)| *known == caller) {
            Some((_, numbers)) => numbers.push_back(number),
            None => callers.push_back((caller, VecDeque::from([number]))),
        }
    }

    /// Puts a job that had its place already before all others of its lane, beyond the bound if need be.
    pub fn push_first(&mut self, job: J, ticket: Ticket) {
        let lane = self.lane(&ticket.model);
        let number = self.admit(job, ticket);
        self.lanes[lane].first.push_front(number);
    }

    /// Keeps a job aside until `due`; then it is among the first.
    pub fn push_delayed(&mut self, job: J, ticket: Ticket, due: Moment) {
        let number = self.admit(job, ticket);
        self.delayed.add(due, number);
    }

    /// Lines up the delayed jobs whose time has come.
    pub fn release_due(&mut self, now: Moment) {
        while let Some(number) = self.delayed.next_due(now) {
            if let Some((_, ticket)) = self.waiting.get(&number) {
                let model = ticket.model.clone();
                let lane = self.lane(&model);
                self.lanes[lane].first.push_back(number);
            }
        }
    }

    /// Whether a job of that model is ready to go.
    pub fn waits_for(&mut self, model: &Model) -> bool {
        let lane = self.lanes.iter().position(|lane| lane.model == *model);
        lane.is_some_and(|lane| self.front_number(lane).is_some())
    }

    /// How many lanes there are; [`Queue::front`] and [`Queue::pop`] take an index below it.
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// The lane whose turn it is, the next one at the next call.
    pub fn turn(&mut self) -> usize {
        self.next_lane = (self.next_lane + 1) % self.lanes.len().max(1);
        self.next_lane
    }

    /// The job that `pop` would give.
    pub fn front(&mut self, lane: usize) -> Option<&J> {
        let number = self.front_number(lane)?;
        self.waiting.get(&number).map(|(job, _)| job)
    }

    /// The same, to be changed.
    pub fn front_mut(&mut self, lane: usize) -> Option<&mut J> {
        let number = self.front_number(lane)?;
        self.waiting.get_mut(&number).map(|(job, _)| job)
    }

    /// The numbers of the jobs of a lane behind its first, for [`Queue::get`] and [`Queue::take`]: first those
    /// that had their place already, then the callers' in turn; at most so many.
    pub fn behind(&mut self, lane: usize, jobs_max: usize) -> Vec<u64> {
        let front = self.front_number(lane);
        let Some(lane) = self.lanes.get(lane) else { return Vec::new() };
        let in_turn = lane.classes.iter().flat_map(|callers| {
            let depths = callers.iter().map(|(_, numbers)| numbers.len()).max().unwrap_or(0);
            let at_depth = |depth| callers.iter().filter_map(move |(_, numbers)| numbers.get(depth));
            (0..depths).flat_map(at_depth)
        });
        let numbers = lane.first.iter().chain(in_turn).filter(|number| Some(**number) != front);
        numbers.filter(|number| self.waiting.contains_key(number)).take(jobs_max).copied().collect()
    }

    /// A job by its number.
    pub fn get(&self, number: u64) -> Option<&J> {
        self.waiting.get(&number).map(|(job, _)| job)
    }

    /// Takes one job out of the middle.
    pub fn take(&mut self, number: u64) -> Option<J> {
        self.waiting.remove(&number).map(|(job, _)| job)
    }

    /// Takes the next job of a lane.
    pub fn pop(&mut self, lane: usize) -> Option<J> {
        let number = self.front_number(lane)?;
        let lane = &mut self.lanes[lane];
        if lane.first.front() == Some(&number) {
            lane.first.pop_front();
        } else if let Some(class) = lane.turn()
            && let Some((caller, mut numbers)) = lane.classes[class].pop_front()
        {
            lane.served = lane.served.wrapping_add(1);
            numbers.pop_front();
            if !numbers.is_empty() {
                lane.classes[class].push_back((caller, numbers));
            }
        }
        self.waiting.remove(&number).map(|(job, _)| job)
    }

    /// Takes the jobs whose deadline has passed.
    pub fn expired(&mut self, now: Moment) -> Vec<J> {
        let mut late = Vec::new();
        while let Some(number) = self.deadlines.next_due(now) {
            late.extend(self.waiting.remove(&number).map(|(job, _)| job));
        }
        late
    }

    /// The numbers of the jobs that have become restless since it was asked last. They stay.
    pub fn newly_restless(&mut self, now: Moment) -> Vec<u64> {
        let due = std::iter::from_fn(|| self.restless.next_due(now));
        due.filter(|number| self.waiting.contains_key(number)).collect()
    }

    /// Takes every job that `chosen` says, oldest first.
    pub fn take_where(&mut self, mut chosen: impl FnMut(&J, &Ticket) -> bool) -> Vec<J> {
        let mut numbers: Vec<u64> = self
            .waiting
            .iter()
            .filter(|(_, (job, ticket))| chosen(job, ticket))
            .map(|(number, _)| *number)
            .collect();
        numbers.sort_unstable();
        numbers.iter().filter_map(|number| self.waiting.remove(number)).map(|(job, _)| job).collect()
    }

    /// When [`Queue::release_due`], [`Queue::expired`] or [`Queue::newly_restless`] has something to do next.
    pub fn wake_at(&self) -> Moment {
        self.delayed.wake_at().min(self.deadlines.wake_at()).min(self.restless.wake_at())
    }

    fn admit(&mut self, job: J, ticket: Ticket) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.deadlines.add(ticket.deadline, number);
        self.restless.add(ticket.restless_at, number);
        self.waiting.insert(number, (job, ticket));
        for appointments in [&mut self.deadlines, &mut self.restless] {
            appointments.tidy(self.waiting.len(), |number| self.waiting.contains_key(&number));
        }
        number
    }

    /// Lanes are as many as models in use, so few that they are found by walking.
    fn lane(&mut self, model: &Model) -> usize {
        if let Some(lane) = self.lanes.iter().position(|lane| lane.model == *model) {
            return lane;
        }
        if self.lanes.len() >= LANES_KEPT {
            self.lanes.retain(|lane| !lane.is_empty());
        }
        self.lanes.push(Lane::of(model));
        self.lanes.len() - 1
    }

    /// The number of the job that `pop` would give.
    pub fn front_number(&mut self, lane: usize) -> Option<u64> {
        let lane = self.lanes.get_mut(lane)?;
        while let Some(number) = lane.first.front() {
            if self.waiting.contains_key(number) {
                return Some(*number);
            }
            lane.first.pop_front();
        }
        while let Some(class) = lane.turn() {
            let Some((_, numbers)) = lane.classes[class].front_mut() else { continue };
            while let Some(number) = numbers.front() {
                if self.waiting.contains_key(number) {
                    return Some(*number);
                }
                numbers.pop_front();
            }
            lane.classes[class].pop_front();
        }
        None
    }
}

/// Where a priority's jobs are, the highest first.
const fn class_of(priority: Priority) -> usize {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    fn ticket(caller: u64) -> Ticket {
        Ticket {
            model: "m".into(),
            caller: CallerId(caller),
            deadline: Moment::NEVER,
            restless_at: Moment::NEVER,
            priority: Priority::Normal,
        }
    }

    fn drain(queue: &mut Queue<u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.pop(0)).collect()
    }

    #[test]
    fn callers_take_turns() {
        let mut queue = Queue::new(10);
        for (job, caller) in [(1, 7), (2, 7), (3, 7), (4, 8), (5, 9)] {
            queue.push(job, ticket(caller)).unwrap();
        }
        assert_eq!(drain(&mut queue), [1, 4, 5, 2, 3]);
    }

    #[test]
    fn who_is_urgent_goes_first_and_nobody_starves() {
        let mut queue = Queue::new(100);
        let of = |caller, priority| Ticket { priority, ..ticket(caller) };
        queue.push(100, of(1, Priority::Low)).unwrap();
        queue.push(50, of(1, Priority::Normal)).unwrap();
        for job in 0..20 {
            queue.push(job, of(job.into(), Priority::High)).unwrap();
        }
        let order = [0, 1, 2, 3, 4, 5, 6, 50, 7, 8, 9, 10, 11, 12, 13, 100, 14, 15, 16, 17, 18, 19];
        assert_eq!(drain(&mut queue), order);
    }

    #[test]
    fn who_had_a_place_comes_first_even_if_full() {
        let mut queue = Queue::new(1);
        queue.push(1, ticket(0)).unwrap();
        assert_eq!(queue.push(2, ticket(0)), Err(2));
        queue.push_first(3, ticket(0));
        queue.line_up(4, ticket(0));
        assert_eq!(drain(&mut queue), [3, 1, 4]);
        queue.set_jobs_max(2);
        assert_eq!((queue.push(5, ticket(0)), queue.push(6, ticket(0))), (Ok(()), Ok(())));
        assert_eq!(queue.push(7, ticket(0)), Err(7));
    }

    #[test]
    fn delayed_jobs_wait_aside_until_due() {
        let mut queue = Queue::new(10);
        queue.push_delayed(1, ticket(0), at(5));
        queue.push(2, ticket(0)).unwrap();
        assert_eq!((queue.len(), queue.wake_at()), (2, at(5)));
        queue.release_due(at(4));
        assert_eq!(queue.pop(0), Some(2));
        assert_eq!(queue.pop(0), None);
        queue.release_due(at(5));
        assert_eq!(queue.pop(0), Some(1));
    }

    #[test]
    fn deadlines_end_waiting_and_delayed_jobs_alike() {
        let mut queue = Queue::new(10);
        let soon = Ticket { deadline: at(3), ..ticket(0) };
        queue.push(1, soon.clone()).unwrap();
        queue.push_delayed(2, soon, at(9));
        queue.push(3, ticket(0)).unwrap();
        assert_eq!(queue.expired(at(3)), [1, 2]);
        assert_eq!(drain(&mut queue), [3]);
        queue.release_due(at(9));
        assert!(queue.is_empty());
    }

    #[test]
    fn who_has_waited_long_becomes_restless_and_stays() {
        let mut queue = Queue::new(10);
        for (job, second) in [(1, 5), (2, 3), (3, 4), (4, 9)] {
            queue.push(job, Ticket { restless_at: at(second), ..ticket(0) }).unwrap();
        }
        assert_eq!((queue.newly_restless(at(2)), queue.wake_at()), (vec![], at(3)));
        assert_eq!(queue.pop(0), Some(1));
        let restless = queue.newly_restless(at(5));
        let jobs: Vec<u32> = restless.iter().filter_map(|number| queue.get(*number).copied()).collect();
        assert_eq!((jobs, queue.len(), queue.wake_at()), (vec![2, 3], 3, at(9)));
        assert!(queue.newly_restless(at(5)).is_empty());
    }

    #[test]
    fn those_behind_are_seen_in_turn_and_taken_from_the_middle() {
        let mut queue = Queue::new(10);
        for (job, caller) in [(1, 7), (2, 7), (3, 7), (4, 8)] {
            queue.push(job, ticket(caller)).unwrap();
        }
        queue.push_first(5, ticket(9));
        queue.push_first(6, ticket(9));
        let seen = |queue: &mut Queue<u32>, most| -> Vec<u32> {
            queue.behind(0, most).into_iter().filter_map(|number| queue.get(number).copied()).collect()
        };
        assert_eq!(seen(&mut queue, 9), [5, 1, 4, 2, 3]);
        assert_eq!(seen(&mut queue, 2), [5, 1]);
        let second = queue.behind(0, 9)[3];
        assert_eq!((queue.take(second), queue.take(second)), (Some(2), None));
        assert_eq!(seen(&mut queue, 9), [5, 1, 4, 3]);
        *queue.front_mut(0).unwrap() = 60;
        assert_eq!(drain(&mut queue), [60, 5, 1, 4, 3]);
        assert_eq!((queue.behind(0, 9), queue.behind(7, 9)), (vec![], vec![]));
    }

    #[test]
    fn lanes_take_turns() {
        let mut queue = Queue::new(10);
        for model in ["a", "b"] {
            queue.push(model, Ticket { model: model.into(), ..ticket(0) }).unwrap();
        }
        let turns = [queue.turn(), queue.turn(), queue.turn()];
        assert_eq!(turns, [1, 0, 1]);
        assert_eq!(queue.front(1), Some(&"b"));
    }

    proptest! {
        /// Every job that went in comes out once, by whatever door.
        #[test]
        fn no_job_is_lost(steps in proptest::collection::vec((0u8..8, 0u64..6), 1..200)) {
            let mut queue = Queue::new(20);
            let (mut next, mut left) = (0u32, Vec::new());
            for (step, number) in steps {
                let ticket = Ticket {
                    model: format!("m{}", number % 2).as_str().into(),
                    caller: CallerId(number),
                    deadline: if number == 0 { at(10) } else { Moment::NEVER },
                    restless_at: if number == 1 { at(3) } else { Moment::NEVER },
                    priority: Priority::ALL[usize::try_from(number % 3).unwrap()],
                };
                match step {
                    0 | 1 => {
                        left.extend(queue.push(next, ticket).err());
                        next += 1;
                    }
                    2 => {
                        queue.push_first(next, ticket);
                        next += 1;
                    }
                    3 => {
                        queue.push_delayed(next, ticket, at(number));
                        next += 1;
                    }
                    4 => queue.release_due(at(number)),
                    5 => left.extend(queue.pop(usize::try_from(number % 2).unwrap())),
                    6 => {
                        let behind = queue.behind(usize::try_from(number % 2).unwrap(), 3);
                        left.extend(behind.last().and_then(|number| queue.take(*number)));
                    }
                    _ => left.extend(queue.expired(at(number * 3))),
                }
            }
            queue.release_due(at(100));
            for lane in 0..queue.lanes() {
                left.extend(std::iter::from_fn(|| queue.pop(lane)));
            }
            left.sort_unstable();
            prop_assert_eq!(left, (0..next).collect::<Vec<_>>());
            prop_assert!(queue.is_empty());
        }
    }
}
