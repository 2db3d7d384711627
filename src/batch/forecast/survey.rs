//! The walk over an input, and what it comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use keywheel_actors::id::{Model, ProviderId};
use keywheel_actors::outcome::Usage;
use keywheel_actors::policy::route::Candidate;
use keywheel_actors::spec::WheelSpec;
use serde::Serialize;

use super::time::{ForecastTime, Needs, least_time};
use crate::batch::budget::gate::OUTPUT_TOKENS_UNSAID;
use crate::batch::budget::reckon::{Lane, Reckoner};
use crate::batch::input::Input;
use crate::batch::input::row::{DUPLICATE_CUSTOM_ID, Rejected, Row, RunId};
use crate::batch::input::sift::Sift;
use crate::batch::output::DoneBefore;
use crate::batch::show::progress::Progress;
use crate::money::{Currency, Money, Price, Prices};

/// So many lines are told by their numbers; the others are counted.
const LINES_TOLD_MAX: usize = 100;

/// How often it is told how far the walk is, in rows.
const TOLD_EVERY_ROWS: u64 = 4_096;

/// What a run will take, in names that programs may rely on. `docs/batch.md` defines each.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Forecast {
    /// The rows.
    pub rows: ForecastRows,
    /// Tokens of input.
    pub input_tokens: u64,
    /// Tokens of output, if every answer is as long as its row allows.
    pub output_tokens: u64,
    /// The cost. `None` if the configuration has no prices.
    pub cost: Option<ForecastCost>,
    /// Who may have to answer and has no price, as `provider/model`: the first candidates and those after them.
    pub unpriced: Vec<String>,
    /// Each model, in order of provider and name.
    pub by_model: Vec<ForecastModel>,
    /// The time.
    pub time: ForecastTime,
}

/// The rows of an input, by what a run would make of them.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct ForecastRows {
    /// Rows that would be sent.
    pub new: u64,
    /// Rows that an earlier run has done.
    pub done_before: u64,
    /// Lines that can't be sent.
    pub bad: u64,
    /// The first hundred of their numbers.
    pub bad_lines: Vec<u64>,
    /// Rows whose `custom_id` stood on an earlier line, and that are not sent for it.
    pub duplicates: u64,
    /// The first hundred of their lines, where they would fail.
    pub duplicate_lines: Vec<u64>,
    /// Rows beyond `--max-rows`.
    pub beyond_max_rows: u64,
    /// Of the new ones: rows for whose model there is no provider.
    pub unserved: u64,
    /// Of the new ones: rows that name no maximum of output. The same number of tokens is reckoned for each.
    pub output_unsaid: u64,
}

/// What a run will cost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ForecastCost {
    /// What all amounts are in.
    pub currency: Currency,
    /// What everything will cost. `None` if a model has no price.
    pub most: Option<Money>,
}

/// What the rows of one model will take, answered by the first of its candidates.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ForecastModel {
    /// The provider.
    pub provider: ProviderId,
    /// The model, by the provider's own name.
    pub model: Model,
    /// Its rows.
    pub rows: u64,
    /// Tokens of input.
    pub input_tokens: u64,
    /// Tokens of output at most.
    pub output_tokens: u64,
    /// What it will cost. `None` without a price.
    pub cost: Option<Money>,
}

/// Walks through `input` but for what is `done`, and reckons what `spec` and `prices` make of it. `told` hears now and then how far the
/// walk is, from 0 to 1, where the length of the input is known.
///
/// # Errors
/// If the input can't be read.
pub fn forecast(
    input: Input,
    done: DoneBefore,
    spec: &WheelSpec,
    prices: &Prices,
    rows_max: Option<u64>,
    mut told: impl FnMut(f64),
) -> io::Result<Forecast> {
    let bytes_total = input.bytes_total();
    let progress = Arc::new(Progress::new(bytes_total));
    let mut survey = Survey::new(Reckoner::new(spec, prices), rows_max);
    for (number, read) in (1_u64..).zip(Sift::new(input.into_rows(), done.seen, None, Arc::clone(&progress)))
    {
        match read? {
            Ok(row) => survey.note_row(&row),
            Err(rejected) => survey.note_rejected(&rejected),
        }
        if number.is_multiple_of(TOLD_EVERY_ROWS)
            && let Some(share) = progress.share_read()
        {
            told(share);
        }
    }
    survey.rows.done_before = progress.done_before();
    survey.rows.duplicates += progress.duplicates_skipped();
    Ok(survey.over(spec, prices))
}

/// The counts of a walk.
struct Survey {
    reckoner: Reckoner,
    rows_max: Option<u64>,
    run: RunId,
    rows: ForecastRows,
    models: BTreeMap<(ProviderId, Model), Need>,
    unpriced: BTreeSet<String>,
}

/// What the rows of one model need.
#[derive(Default)]
struct Need {
    rows: u64,
    usage: Usage,
    price: Option<Price>,
}

impl Survey {
    fn new(reckoner: Reckoner, rows_max: Option<u64>) -> Self {
        let run = RunId::fixed("forecast");
        Self {
            reckoner,
            rows_max,
            run,
            rows: ForecastRows::default(),
            models: BTreeMap::new(),
            unpriced: BTreeSet::new(),
        }
    }

    fn note_row(&mut self, row: &Row) {
        if self.rows_max.is_some_and(|most| self.rows.new >= most) {
            self.rows.beyond_max_rows += 1;
            return;
        }
        self.rows.new += 1;
        let request = row.request(&self.run);
        let lanes = self.reckoner.lanes(&request.model, &request.path);
        let Some(lane) = lanes.first() else {
            self.rows.unserved += 1;
            return;
        };
        for Lane { candidate: Candidate { provider, model }, price, .. } in lanes.iter() {
            if price.is_none() {
                self.unpriced.insert(format!("{provider}/{model}"));
            }
        }
        let estimate = lane.estimate(&request, OUTPUT_TOKENS_UNSAID);
        self.rows.output_unsaid += u64::from(!estimate.is_output_said);
        let place = (lane.candidate.provider.clone(), lane.candidate.model.clone());
        let need =
            self.models.entry(place).or_insert_with(|| Need { price: lane.price.clone(), ..Need::default() });
        need.rows += 1;
        need.usage += estimate.usage;
    }

    fn note_rejected(&mut self, rejected: &Rejected) {
        let (count, lines) = if rejected.code == DUPLICATE_CUSTOM_ID {
            (&mut self.rows.duplicates, &mut self.rows.duplicate_lines)
        } else {
            (&mut self.rows.bad, &mut self.rows.bad_lines)
        };
        *count += 1;
        if lines.len() < LINES_TOLD_MAX {
            lines.push(rejected.line);
        }
    }

    fn over(self, spec: &WheelSpec, prices: &Prices) -> Forecast {
        let mut needs: BTreeMap<ProviderId, Needs> = BTreeMap::new();
        for ((provider, _), need) in &self.models {
            let sum = needs.entry(provider.clone()).or_default();
            sum.requests += need.rows;
            sum.tokens.input = sum.tokens.input.saturating_add(need.usage.input_tokens);
            sum.tokens.output = sum.tokens.output.saturating_add(need.usage.output_tokens);
        }
        let by_model: Vec<_> = self.models.into_iter().map(ForecastModel::of).collect();
        let cost = (!prices.list.is_empty()).then(|| ForecastCost {
            currency: prices.currency.clone(),
            most: by_model.iter().map(|model| model.cost).sum(),
        });
        Forecast {
            rows: self.rows,
            input_tokens: by_model.iter().map(|model| model.input_tokens).sum(),
            output_tokens: by_model.iter().map(|model| model.output_tokens).sum(),
            cost,
            unpriced: self.unpriced.into_iter().collect(),
            by_model,
            time: least_time(&needs, spec),
        }
    }
}

impl ForecastModel {
    fn of(((provider, model), need): ((ProviderId, Model), Need)) -> Self {
        Self {
            provider,
            model,
            rows: need.rows,
            input_tokens: need.usage.input_tokens,
            output_tokens: need.usage.output_tokens,
            cost: need.price.map(|price| price.cost(&need.usage)),
        }
    }
}
