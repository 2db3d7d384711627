//! All clients, and what they have used.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use keywheel_actors::id::{CallerId, Model, ProviderId};
use keywheel_actors::outcome::Usage;
use keywheel_actors::request::Priority;
use keywheel_actors::tokens::Tokens;
use ring::digest;

use super::account::{Account, AccountMemory, Claim, Now, Receipt, Refused};
use super::{ClientSpec, TokenHash};
use crate::money::Money;

/// All clients. Without any, whoever comes is the one that has no name.
#[derive(Debug)]
pub struct Clients {
    known: RwLock<Known>,
    strangers: Strangers,
}

/// Who is served where no client is configured.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Strangers {
    /// Whoever comes: only this machine can.
    #[default]
    Served,
    /// Nobody: others could come, also when a reload takes the last client away.
    Refused,
}

#[derive(Debug, Default)]
struct Known {
    clients: Vec<Client>,
}

/// The token is nobody's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotKnown;

/// Somebody who may call.
#[derive(Clone, Debug)]
pub struct Client {
    /// `None`: nobody is asked for a name.
    named: Option<Arc<Named>>,
}

#[derive(Debug)]
struct Named {
    spec: ClientSpec,
    name: Arc<str>,
    caller: CallerId,
    account: Arc<Mutex<Account>>,
}

impl Clients {
    /// These clients, who have used nothing yet.
    pub fn new(specs: &[ClientSpec]) -> Self {
        Self { known: RwLock::new(Known::of(specs, &HashMap::new())), strangers: Strangers::default() }
    }

    /// With these strangers.
    pub fn and(self, strangers: Strangers) -> Self {
        Self { strangers, ..self }
    }

    /// These clients from now on. Who stays has used what it has used.
    pub fn reload(&self, specs: &[ClientSpec]) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let accounts = known.clients.iter().filter_map(|client| {
            let named = client.named.as_ref()?;
            Some((named.spec.name.clone(), Arc::clone(&named.account)))
        });
        *known = Known::of(specs, &accounts.collect());
    }

    /// What those with limits have used, by their names.
    pub fn memory(&self, now: Now) -> BTreeMap<String, AccountMemory> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.limited().map(|named| (named.spec.name.clone(), named.lock().memory(now))).collect()
    }

    /// Another number than before if [`Clients::memory`] may say anything else by now.
    pub fn changes(&self) -> u64 {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.limited().map(|named| named.lock().changes()).sum()
    }

    /// Takes over what an earlier process left.
    pub fn recall(&self, memory: &BTreeMap<String, AccountMemory>, now: Now) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        for named in known.clients.iter().filter_map(|client| client.named.as_ref()) {
            if let Some(memory) = memory.get(&named.spec.name) {
                named.lock().recall(memory, now);
            }
        }
    }

    /// Whose token that is.
    ///
    /// All tokens are compared, wherever the right one stands, and each to its end.
    ///
    /// # Errors
    /// [`NotKnown`] if it is nobody's, or of somebody who may not call.
    pub fn identify(&self, token: Option<&str>) -> Result<Client, NotKnown> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match self.strangers {
            Strangers::Served if known.clients.is_empty() => return Ok(Client { named: None }),
            Strangers::Served | Strangers::Refused => {}
        }
        let shown = TokenHash::of(token.ok_or(NotKnown)?);
        let mut found = Err(NotKnown);
        for client in &known.clients {
            let Some(named) = &client.named else { continue };
            for hash in &named.spec.tokens {
                if hash.matches(&shown) && named.spec.enabled {
                    found = Ok(client.clone());
                }
            }
        }
        found
    }
}

impl Known {
    fn of(specs: &[ClientSpec], accounts: &HashMap<String, Arc<Mutex<Account>>>) -> Self {
        let clients = specs.iter().map(|spec| {
            let account = match accounts.get(&spec.name) {
                Some(account) => {
                    account.lock().unwrap_or_else(PoisonError::into_inner).amend(spec);
                    Arc::clone(account)
                }
                None => Arc::new(Mutex::new(Account::new(spec))),
            };
            let name = Arc::from(spec.name.as_str());
            let named = Named { spec: spec.clone(), name, caller: caller_of(&spec.name), account };
            Client { named: Some(Arc::new(named)) }
        });
        Self { clients: clients.collect() }
    }

    /// Those with limits that count what was used.
    fn limited(&self) -> impl Iterator<Item = &Arc<Named>> {
        let named = self.clients.iter().filter_map(|client| client.named.as_ref());
        named.filter(|named| named.spec.cost_per_day.is_some() || !named.spec.limits.windows.is_empty())
    }
}

/// The same name is the same caller, whatever the configuration says beside it.
fn caller_of(name: &str) -> CallerId {
    let hash = digest::digest(&digest::SHA256, name.as_bytes());
    CallerId(hash.as_ref().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

impl Client {
    /// Its name, if names are asked for.
    pub fn name(&self) -> Option<&Arc<str>> {
        self.named.as_ref().map(|named| &named.name)
    }

    /// Whose jobs its requests are.
    pub fn caller(&self) -> CallerId {
        self.named.as_ref().map(|named| named.caller).unwrap_or_default()
    }

    /// The priority of a request that wishes for this one.
    pub fn priority(&self, wished: Option<Priority>) -> Priority {
        let highest = self.named.as_ref().map_or(Priority::High, |named| named.spec.priority);
        wished.unwrap_or_default().min(highest)
    }

    /// Whether it may ask for that model.
    pub fn may_use(&self, model: &Model) -> bool {
        self.named.as_ref().is_none_or(|named| named.spec.may_use(model))
    }

    /// Whether it may call that provider by its id.
    pub fn may_pass_to(&self, provider: &ProviderId) -> bool {
        self.named.as_ref().is_none_or(|named| named.spec.may_pass_to(provider))
    }

    /// Whether it may ask for some models only.
    pub fn is_bound_to_models(&self) -> bool {
        self.named.as_ref().is_some_and(|named| !named.spec.models.is_empty())
    }

    /// Whether what its requests will use has to be reckoned.
    pub fn is_measured(&self) -> bool {
        self.named.as_ref().is_some_and(|named| {
            let mut windows = named.spec.limits.windows.iter();
            named.spec.cost_per_day.is_some() || windows.any(|window| window.dimension.is_of_tokens())
        })
    }

    /// Tokens of its longest answer of late to a request that named no maximum.
    pub fn longest_answer(&self) -> u64 {
        self.named.as_ref().map_or(0, |named| named.lock().longest_answer())
    }

    /// Gives a request a place among those under way, before anything of it is kept.
    ///
    /// # Errors
    /// [`Refused`] if as many are under way as may be.
    pub fn enter(&self) -> Result<Place, Refused> {
        if let Some(named) = &self.named {
            named.lock().enter(&named.spec)?;
        }
        Ok(Place { named: self.named.clone() })
    }
}

impl Named {
    fn lock(&self) -> std::sync::MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the requests of a client that are under way, until it is dropped.
#[derive(Debug)]
pub struct Place {
    named: Option<Arc<Named>>,
}

impl Place {
    /// Lets the request in, which is reckoned to take so much.
    ///
    /// # Errors
    /// [`Refused`] if a limit of the client stands against it.
    pub fn admit(self, claim: Claim, now: Now) -> Result<Admission, Refused> {
        let receipt = match &self.named {
            Some(named) => Some(named.lock().admit(&named.spec, claim, now)?),
            None => None,
        };
        Ok(Admission { place: self, receipt })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(named) = &self.named {
            named.lock().leave();
        }
    }
}

/// A request that was let in. Dropped, it has used what it was reckoned to use.
#[derive(Debug)]
pub struct Admission {
    place: Place,
    receipt: Option<Receipt>,
}

impl Admission {
    /// It used so much, as far as that is known.
    pub fn settle(mut self, usage: Option<Usage>, cost: Option<Money>) {
        let tokens = usage.map(|usage| Tokens { input: usage.input_tokens, output: usage.output_tokens });
        self.end(|account, receipt| account.settle(receipt, tokens, cost));
    }

    /// Tokens that it counts for if nobody tells what it used.
    pub fn reckoned(&self) -> Tokens {
        self.receipt.as_ref().map_or(Tokens::NONE, Receipt::reckoned)
    }

    /// Its calls failed, and nobody has to pay for any.
    pub fn forgive(mut self) {
        self.end(Account::forgive);
    }

    /// No call was made for it.
    pub fn give_back(mut self) {
        self.end(Account::give_back);
    }

    fn end(&mut self, end: impl FnOnce(&mut Account, Receipt)) {
        if let Some((named, receipt)) = self.place.named.as_ref().zip(self.receipt.take()) {
            end(&mut named.lock(), receipt);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.end(|account, receipt| account.settle(receipt, None, None));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keywheel_actors::clock::Moment;
    use keywheel_actors::spec::{Limits, MINUTE, WindowLimit};
    use keywheel_actors::store::Wall;
    use proptest::prelude::*;

    use super::*;
    use crate::clients::Share;

    fn spec(name: &str) -> ClientSpec {
        ClientSpec {
            name: name.to_owned(),
            tokens: vec![TokenHash::of(&format!("kw-{name}"))],
            models: Vec::new(),
            pass_through: None,
            limits: Limits::default(),
            cost_per_day: None,
            priority: Priority::High,
            enabled: true,
        }
    }

    fn at(seconds: u64) -> Now {
        let elapsed = Duration::from_secs(seconds);
        Now { moment: Moment::after_start(elapsed), date: Wall(seconds * 1_000) }
    }

    fn share(input: u64, output: u64, cost: Option<&str>) -> Share {
        Share { tokens: Tokens { input, output }, cost: cost.map(|cost| cost.parse().expect("an amount")) }
    }

    fn claim(tokens: u64, cost: Option<&str>) -> Claim {
        Claim { reckoned: share(tokens, 0, cost), at_length: None }
    }

    fn admit(client: &Client, claim: Claim, now: Now) -> Result<Admission, Refused> {
        client.enter()?.admit(claim, now)
    }

    fn known(clients: &Clients, token: &str) -> Option<Arc<str>> {
        clients.identify(Some(token)).ok().and_then(|client| client.name().cloned())
    }

    #[test]
    fn a_token_is_somebodys_or_nobodys() {
        let second = ClientSpec { tokens: vec![TokenHash::of("x"), TokenHash::of("y")], ..spec("b") };
        let off = ClientSpec { enabled: false, ..spec("c") };
        let clients = Clients::new(&[spec("a"), second, off]);
        assert_eq!(known(&clients, "kw-a").as_deref(), Some("a"));
        assert_eq!(known(&clients, "x").as_deref(), Some("b"));
        assert_eq!(known(&clients, "y").as_deref(), Some("b"));
        assert_eq!(known(&clients, "kw-c"), None);
        assert_eq!(known(&clients, "kw-"), None);
        assert!(clients.identify(None).is_err());
        assert!(Clients::new(&[]).identify(None).is_ok_and(|client| client.name().is_none()));
        let clients = Clients::new(&[spec("a")]).and(Strangers::Refused);
        assert_eq!(known(&clients, "kw-a").as_deref(), Some("a"));
        clients.reload(&[]);
        assert!(clients.identify(None).is_err() && clients.identify(Some("kw-a")).is_err());
    }

    #[test]
    fn models_are_allowed_by_name_or_by_its_beginning() {
        let spec = ClientSpec { models: vec!["fast".to_owned(), "gpt-4o*".to_owned()], ..spec("a") };
        let may_use = |model: &str| spec.may_use(&Model::from(model));
        assert!(may_use("fast") && may_use("gpt-4o-mini") && may_use("gpt-4o"));
        assert!(!may_use("faster") && !may_use("gpt-4"));
    }

    #[test]
    fn who_has_as_many_under_way_as_it_may_waits_for_one_to_end() {
        let limits = Limits { concurrency: Some(1), ..Limits::default() };
        let clients = Clients::new(&[ClientSpec { limits, ..spec("a") }]);
        let client = clients.identify(Some("kw-a")).expect("it is known");
        let first = admit(&client, claim(0, None), at(0)).expect("there is a place");
        let refused = admit(&client, claim(0, None), at(0)).expect_err("there is none");
        assert_eq!((refused.limit, refused.retry_after), ("concurrency", Some(Duration::from_secs(1))));
        drop(first);
        admit(&client, claim(0, None), at(0)).expect("there is a place again").settle(None, None);
        admit(&client, claim(0, None), at(0)).expect("and again").give_back();
        assert!(admit(&client, claim(0, None), at(0)).is_ok());
    }

    #[test]
    fn a_days_money_is_never_overspent_and_comes_back_at_midnight() {
        let clients =
            Clients::new(&[ClientSpec { cost_per_day: Some("1".parse().expect("an amount")), ..spec("a") }]);
        let client = clients.identify(Some("kw-a")).expect("it is known");
        let first = admit(&client, claim(1, Some("0.6")), at(0)).expect("it suffices");
        let refused =
            admit(&client, claim(1, Some("0.6")), at(3_600)).expect_err("what is under way may cost it");
        assert_eq!(refused.retry_after, Some(Duration::from_secs(23 * 3_600)));
        first.settle(None, Some("0.1".parse().expect("an amount")));
        let second = admit(&client, claim(1, Some("0.6")), at(3_600)).expect("it cost less");
        drop(second);
        assert!(
            admit(&client, claim(1, Some("0.6")), at(3_600)).is_err(),
            "what isn't known cost what it may"
        );
        assert!(admit(&client, claim(1, Some("0.6")), at(86_400)).is_ok());
        assert_eq!(admit(&client, claim(1, Some("2")), at(86_400)).expect_err("too dear").retry_after, None);
        assert_eq!(admit(&client, claim(1, None), at(86_400)).expect_err("unknown").limit, "cost_per_day");
    }

    #[test]
    fn what_nobody_has_to_pay_for_counts_as_a_request_alone() {
        let limits =
            Limits::default().and(WindowLimit::requests(2, MINUTE)).and(WindowLimit::tokens(100, MINUTE));
        let cost_per_day = Some("1".parse().expect("an amount"));
        let clients = Clients::new(&[ClientSpec { limits, cost_per_day, ..spec("a") }]);
        let client = clients.identify(Some("kw-a")).expect("it is known");
        admit(&client, claim(100, Some("1")), at(0)).expect("it suffices").forgive();
        admit(&client, claim(100, Some("1")), at(1)).expect("nothing was used").forgive();
        assert_eq!(admit(&client, claim(1, Some("0")), at(2)).expect_err("two were made").limit, "requests");
    }

    /// A request of 10 tokens without a maximum: 20 more are what most need, and so many its client's longest answer.
    fn unsaid(longest: u64) -> Claim {
        let cost = |output: u64| format!("0.{output:03}");
        Claim {
            reckoned: share(10, 20, Some(&cost(20))),
            at_length: Some(share(10, longest, Some(&cost(longest)))),
        }
    }

    fn usage(input_tokens: u64, output_tokens: u64) -> Usage {
        Usage { input_tokens, output_tokens, cached_tokens: 0 }
    }

    #[test]
    fn who_names_no_maximum_is_reckoned_with_the_longest_answer_of_late() {
        let limits = Limits::default().and(WindowLimit::tokens(900, MINUTE));
        let clients = Clients::new(&[ClientSpec { limits, ..spec("a") }]);
        let client = clients.identify(Some("kw-a")).expect("it is known");
        assert_eq!(client.longest_answer(), 0);
        admit(&client, unsaid(20), at(0)).expect("it suffices").settle(Some(usage(10, 490)), None);
        admit(&client, claim(10, None), at(61)).expect("a minute later").settle(Some(usage(10, 600)), None);
        assert_eq!(client.longest_answer(), 490, "who names a maximum tells nothing of those who don't");

        // Of 900 the first takes 500; the second what is left, and the third is one too many.
        let first = admit(&client, unsaid(490), at(122)).expect("all is there");
        let second = admit(&client, unsaid(490), at(122)).expect("less is there, and enough for most");
        assert_eq!(admit(&client, unsaid(490), at(122)).expect_err("nothing is left").limit, "tokens");
        second.settle(Some(usage(10, 15)), None);
        admit(&client, unsaid(490), at(123)).expect("the second took less").settle(Some(usage(10, 15)), None);
        drop(first);
        let rest =
            admit(&client, claim(820, None), at(124)).expect("what isn't told counts 30, the others 25 each");
        rest.give_back();
        assert!(admit(&client, claim(821, None), at(124)).is_err());
        for _ in 0..16 {
            let short = admit(&client, unsaid(490), at(125)).expect("it suffices");
            short.settle(Some(usage(10, 15)), None);
        }
        assert_eq!(client.longest_answer(), 15, "one long answer isn't held against anybody for ever");
    }

    #[test]
    fn money_is_kept_for_the_longest_answer_as_far_as_it_is_there() {
        let cost_per_day = Some("0.5".parse().expect("an amount"));
        let clients = Clients::new(&[ClientSpec { cost_per_day, ..spec("a") }]);
        let client = clients.identify(Some("kw-a")).expect("it is known");
        let first = admit(&client, unsaid(300), at(0)).expect("all is there");
        let second = admit(&client, unsaid(300), at(0)).expect("0.2 is there, and enough for most");
        assert!(admit(&client, unsaid(300), at(0)).is_err(), "nothing is left");
        first.settle(None, None);
        second.settle(None, Some("0.35".parse().expect("an amount")));
        let last = admit(&client, claim(1, Some("0.13")), at(1)).expect("what isn't told counts 0.02");
        last.settle(None, None);
        assert!(admit(&client, claim(1, Some("0.01")), at(1)).is_err());
    }

    #[test]
    fn a_reload_forgets_nothing_of_who_stays() {
        let limits = || Limits::default().and(WindowLimit::requests(1, MINUTE));
        let clients = Clients::new(&[ClientSpec { limits: limits(), ..spec("a") }]);
        let client = clients.identify(Some("kw-a")).expect("it is known");
        admit(&client, claim(0, None), at(1)).expect("the first").settle(None, None);
        clients.reload(&[ClientSpec { limits: limits(), ..spec("a") }, spec("b")]);
        let client = clients.identify(Some("kw-a")).expect("it stays");
        let refused = admit(&client, claim(0, None), at(2)).expect_err("it was one a minute before, too");
        assert_eq!(refused.limit, "requests");
        clients.reload(&[spec("b")]);
        assert!(clients.identify(Some("kw-a")).is_err());
    }

    #[test]
    fn what_was_used_is_known_to_the_next_process() {
        let limits = || Limits::default().and(WindowLimit::requests(3, MINUTE));
        let spec = || ClientSpec {
            limits: limits(),
            cost_per_day: Some("1".parse().expect("an amount")),
            ..spec("a")
        };
        let clients = Clients::new(&[spec()]);
        let client = clients.identify(Some("kw-a")).expect("it is known");
        admit(&client, claim(1, Some("0.1")), at(0))
            .expect("it suffices")
            .settle(None, Some("0.2".parse().expect("an amount")));
        let _under_way = admit(&client, claim(1, Some("0.3")), at(10)).expect("it suffices");
        let memory = serde_json::to_string(&clients.memory(at(20))).expect("it can be written");

        let next = Clients::new(&[spec()]);
        // Its clock begins anew, the calendar doesn't.
        let later = |seconds: u64| Now { date: Wall((seconds + 20) * 1_000), ..at(seconds) };
        next.recall(&serde_json::from_str(&memory).expect("it can be read"), later(0));
        let client = next.identify(Some("kw-a")).expect("it is known");
        let refused = admit(&client, claim(1, Some("0.6")), later(1)).expect_err("half of it is spent");
        assert_eq!(refused.limit, "cost_per_day");
        admit(&client, claim(1, Some("0.1")), later(1)).expect("the third").settle(None, None);
        let refused = admit(&client, claim(1, Some("0.1")), later(2)).expect_err("there were three");
        assert_eq!(refused.limit, "requests");
        assert!(admit(&client, claim(1, Some("0.1")), later(41)).is_ok(), "the first was a minute ago");
    }

    #[test]
    fn a_clock_that_is_put_back_gives_no_day_twice() {
        let clients =
            Clients::new(&[ClientSpec { cost_per_day: Some("1".parse().expect("an amount")), ..spec("a") }]);
        let client = clients.identify(Some("kw-a")).expect("it is known");
        drop(admit(&client, claim(1, Some("0.9")), at(86_400)).expect("it suffices"));
        assert!(admit(&client, claim(1, Some("0.9")), at(3_600)).is_err());
        assert!(admit(&client, claim(1, Some("0.9")), at(86_400)).is_err());
    }

    proptest! {
        #[test]
        fn no_window_is_overspent_and_no_place_is_lost(
            steps in prop::collection::vec((0_u64..20, 0_u64..3), 1..200),
        ) {
            let limits = Limits { concurrency: Some(3), ..Limits::default() }
                .and(WindowLimit::requests(5, MINUTE));
            let clients = Clients::new(&[ClientSpec { limits, ..spec("a") }]);
            let client = clients.identify(Some("kw-a")).expect("it is known");
            let (mut now, mut under_way, mut admitted) = (0, Vec::new(), Vec::new());
            for (wait, ending) in steps {
                now += wait;
                match admit(&client, claim(1, None), at(now)) {
                    Ok(admission) => {
                        admitted.push(now);
                        under_way.push(admission);
                    }
                    Err(refused) if refused.limit == "concurrency" => prop_assert_eq!(under_way.len(), 3),
                    Err(_) => {}
                }
                prop_assert!(under_way.len() <= 3);
                match (ending, under_way.pop()) {
                    (0, Some(admission)) => admission.settle(None, None),
                    (1, Some(admission)) => drop(admission),
                    (_, Some(admission)) => under_way.push(admission),
                    (_, None) => {}
                }
            }
            for first in &admitted {
                let within = admitted.iter().filter(|at| (*first..first + 60).contains(at));
                prop_assert!(within.count() <= 5);
            }
        }
    }
}
