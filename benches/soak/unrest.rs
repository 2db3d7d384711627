//! What happens while requests come and go: keys are refused and mended, the ill provider goes away and comes back,
//! and the configuration never stays the same.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use keywheel::sim::{Availability, Change, Conduct};
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::house::{House, ILL_KEYS};

/// Between two changes.
const EVERY: Duration = Duration::from_secs(3);
/// The key that is refused now and then.
const REFUSED: usize = 0;

/// How much of it there was.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub(crate) struct Unrest {
    /// Configurations that were taken over.
    pub(crate) reloads: u64,
    /// Invalid ones that were refused.
    pub(crate) refused_reloads: u64,
    /// Times that a key was dead.
    pub(crate) dead_keys: u64,
    /// Times that the provider was away.
    pub(crate) outages: u64,
}

/// Makes trouble until then, and leaves everything well.
pub(crate) async fn until(end: Instant, house: &House) -> anyhow::Result<Unrest> {
    let mut unrest = Unrest::default();
    let mut next = Instant::now() + EVERY;
    let mut round = 0;
    while next < end {
        sleep_until(next).await;
        next += EVERY;
        round += 1;
        reload(house, round, &mut unrest).await?;
        outage(house, round, &mut unrest)?;
        dead_key(house, round, &mut unrest).await?;
    }
    house.ill.apply(Change::Availability(Availability::Up))?;
    Ok(unrest)
}

async fn reload(house: &House, round: usize, unrest: &mut Unrest) -> anyhow::Result<()> {
    // All but the one that is refused now and then leave in turn.
    let good = house.without(1 + round % (ILL_KEYS - 1));
    let is_invalid = round.is_multiple_of(5);
    let text = if is_invalid { good.replacen("[[provider]]", "[[provider]", 1) } else { good };
    house.configure(&text)?;
    let (status, told) = house.ask_admin("/v1/reload", Some(String::new())).await?;
    if is_invalid {
        ensure!(status == 422, "an invalid configuration was answered with {status}: {told}");
        unrest.refused_reloads += 1;
    } else {
        ensure!(status == 200, "a good configuration was answered with {status}: {told}");
        unrest.reloads += 1;
    }
    Ok(())
}

/// Away for one round of seven, in two ways.
fn outage(house: &House, round: usize, unrest: &mut Unrest) -> anyhow::Result<()> {
    let availability = match round % 14 {
        3 => Availability::Failing,
        10 => Availability::Refusing,
        _ => Availability::Up,
    };
    unrest.outages += u64::from(availability != Availability::Up);
    house.ill.apply(Change::Availability(availability)).context("no such change")
}

/// Dead for four rounds of ten; then somebody has paid, and says so.
async fn dead_key(house: &House, round: usize, unrest: &mut Unrest) -> anyhow::Result<()> {
    match round % 10 {
        1 => {
            unrest.dead_keys += 1;
            house.ill.apply(Change::Conduct { key: REFUSED, conduct: Conduct::Invalid })?;
        }
        5 => {
            house.ill.apply(Change::Conduct { key: REFUSED, conduct: Conduct::Valid })?;
            let key = json!({"provider": "ill", "key": house.ill.spec().keys[REFUSED].name});
            let order = json!({"key": key, "order": {"order": "reset"}});
            let (status, told) = house.ask_admin("/v1/order", Some(order.to_string())).await?;
            ensure!(status == 200, "the order was answered with {status}: {told}");
        }
        _ => {}
    }
    Ok(())
}
