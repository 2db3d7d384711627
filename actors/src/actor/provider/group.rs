//! Quota groups: the limits that keys of one account share, kept here for all of them.

use std::collections::{HashMap, HashSet};

use crate::clock::Moment;
use crate::id::QuotaGroup;
use crate::policy::key_state::Rest;
use crate::policy::pick::KeyIndex;
use crate::policy::quota::{Extent, Quota};
use crate::spec::{ProviderSpec, WindowLimit};
use crate::store::{Changes, GroupId, GroupMemory};
use crate::tokens::Tokens;

use super::super::hub::Hub;
use super::super::kernel::{Me, On};
use super::super::memory;
use super::super::message::{GroupGranted, GroupTaken, Impose, ShareRest};
use super::Provider;

/// A quota group's limits, kept by the provider for all its keys.
pub(super) struct Group {
    pub(super) name: QuotaGroup,
    pub(super) quota: Quota,
}

/// Each group once, with its limits: they stand at every one of its keys.
fn spoken_of(spec: &ProviderSpec) -> Vec<(&QuotaGroup, &[WindowLimit])> {
    let mut known = HashSet::new();
    let spoken_of =
        spec.keys.iter().filter_map(|key| Some((key.quota_group.as_ref()?, &*key.limits.windows)));
    spoken_of.filter(|(name, _)| known.insert(*name)).collect()
}

/// The jobs that no ready key could take: what room is waited for, and reserved.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    least: Tokens,
    most: Tokens,
}

impl Wanted {
    /// Those of one round.
    pub(super) fn of(refused: &[Tokens]) -> Option<Self> {
        Some(Self {
            least: refused.iter().copied().reduce(Tokens::min)?,
            most: refused.iter().copied().reduce(Tokens::max)?,
        })
    }
}

impl Group {
    /// Those of a provider that starts, with what an earlier process left of them.
    pub(super) fn all_of(spec: &ProviderSpec, hub: &Hub, now: Moment) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for (name, windows) in spoken_of(spec) {
            groups.push(Self::recalled(spec, name, windows, hub, now));
        }
        groups
    }

    fn recalled(
        spec: &ProviderSpec,
        name: &QuotaGroup,
        windows: &[WindowLimit],
        hub: &Hub,
        now: Moment,
    ) -> Self {
        let mut quota = Quota::new(windows);
        if hub.state.is_some() {
            quota.reserve_long_windows();
        }
        let id = GroupId { provider: spec.id.clone(), group: name.clone() };
        hub.recollect(now, |recollection| recollection.recall_group(&id, &mut quota));
        Self { name: name.clone(), quota }
    }

    /// Those of a predecessor, which will never hear what it asked for.
    pub(super) fn inherited(mut groups: Vec<Self>) -> Vec<Self> {
        for group in &mut groups {
            group.quota.forget_asked();
        }
        groups
    }

    pub(super) fn remembered(
        &self,
        spec: &ProviderSpec,
        hub: &Hub,
        now: Moment,
        extent: Extent,
    ) -> (GroupId, GroupMemory) {
        let windows = memory::dated_windows(&self.quota.past(now, extent), hub.clock.today());
        (GroupId { provider: spec.id.clone(), group: self.name.clone() }, GroupMemory { windows })
    }
}

impl Provider {
    /// The groups as the configuration has them now. One that stays keeps what was used; a new one takes over
    /// what a group used that one of its keys comes from.
    pub(super) fn regroup(&self, now: Moment) -> Vec<Group> {
        let known: HashMap<_, _> = self.groups.iter().map(|group| (&group.name, &group.quota)).collect();
        let serving = self.children.serving();
        let memberships =
            serving.filter_map(|(_, child)| Some((&child.spec.name, child.spec.quota_group.as_ref()?)));
        let memberships: HashMap<_, _> = memberships.collect();
        let comings =
            self.spec.keys.iter().filter_map(|key| {
                Some((key.quota_group.as_ref()?, *known.get(memberships.get(&key.name)?)?))
            });
        let left: HashMap<_, _> = comings.collect();
        let groups = spoken_of(&self.spec).into_iter().map(|(name, windows)| {
            let mut quota = match (known.get(name), left.get(name)) {
                (Some(known), _) => known.relimited(windows),
                (None, Some(left)) => left.parted(windows),
                (None, None) => return Group::recalled(&self.spec, name, windows, &self.hub, now),
            };
            if self.hub.state.is_some() {
                quota.reserve_long_windows();
            }
            Group { name: name.clone(), quota }
        });
        groups.collect()
    }

    /// Tells every key its group's place, by name.
    pub(super) fn regroup_children(&mut self) {
        let Self { children, groups, .. } = self;
        let places: HashMap<_, _> =
            groups.iter().enumerate().map(|(place, group)| (&group.name, place)).collect();
        for child in children.iter_mut() {
            child.group = child.spec.quota_group.as_ref().and_then(|name| places.get(name)).copied();
        }
    }

    /// The group that a receipt is from. None if a reload has taken it away.
    fn group_of(&mut self, key: KeyIndex, receipt: &GroupTaken) -> Option<&mut Group> {
        let place = self.children.get(key).and_then(|child| child.group);
        let usual =
            place.filter(|place| self.groups.get(*place).is_some_and(|group| group.name == receipt.group));
        match usual {
            Some(place) => self.groups.get_mut(place),
            None => self.groups.iter_mut().find(|group| group.name == receipt.group),
        }
    }

    /// The call used so much, not what was expected.
    pub(super) fn settle_group(&mut self, key: KeyIndex, receipt: &GroupTaken, tokens: Tokens) {
        if let Some(group) = self.group_of(key, receipt) {
            group.quota.settle(receipt.taken, tokens);
        }
    }

    /// The call never left.
    pub(super) fn give_back_to_group(&mut self, key: KeyIndex, receipt: &GroupTaken) {
        if let Some(group) = self.group_of(key, receipt) {
            group.quota.give_back(receipt.taken);
        }
    }

    /// When a quota group that had nothing for the job at hand has it.
    pub(super) fn next_group_call(&self, now: Moment) -> Moment {
        let refusals = self.groups.iter().filter_map(|group| group.quota.check(now, self.wanted.least).err());
        refusals.map(|not| not.until).min().unwrap_or(Moment::NEVER)
    }

    /// Reserves what the groups will use next of their long windows.
    pub(super) fn reserve_for_groups(&mut self, me: &Me<'_, Self>) {
        let (now, tokens) = (me.now(), self.wanted.most);
        let mut changes = Changes::default();
        for group in &mut self.groups {
            if group.quota.ask_reserve(now, tokens) {
                let (id, memory) = group.remembered(&self.spec, &self.hub, now, Extent::Long);
                changes.groups.insert(id, Some(memory));
            }
        }
        if changes.is_empty() {
            return;
        }
        let myself = me.address();
        // A provider that is gone has a successor, which asks anew.
        let told = Box::new(move |_| drop(myself.tell(GroupGranted)));
        // Without State nothing was reserved in the first place.
        drop(self.hub.persist(changes, Some(told)));
    }

    fn tell_group(&self, of: KeyIndex, rest: &Rest) {
        // One that leaves may be of an account that the others aren't of any more.
        let child = self.children.get(of).filter(|child| child.is_serving());
        let Some(group) = child.and_then(|child| child.group) else { return };
        let siblings = self.children.iter();
        for (_, sibling) in siblings.filter(|(key, child)| *key != of && child.group == Some(group)) {
            if let Some(address) = sibling.address() {
                // A dead sibling meets the limit itself when it is back.
                let _ = address.tell(Impose(rest.clone()));
            }
        }
    }
}

impl On<ShareRest> for Provider {
    fn on(&mut self, share: ShareRest, me: &mut Me<'_, Self>) {
        self.tell_group(share.key, &share.rest);
        self.turn(me);
    }
}

impl On<GroupGranted> for Provider {
    fn on(&mut self, _: GroupGranted, me: &mut Me<'_, Self>) {
        for group in &mut self.groups {
            group.quota.granted();
        }
        self.turn(me);
    }
}
