//! Many keys as text: one secret a line, or CSV with a header.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use csv::{ReaderBuilder, StringRecord, Trim};
use keywheel_actors::secret::{Fingerprint, FingerprintKey, Secret};

use super::foreign;
use super::intake::Place;
use super::newcomer::Names;
use crate::config::{KeyFields, NewSecret, ProviderOutline, Source, WrittenSecret};

/// The columns of whole numbers, as the configuration calls them.
const LIMITS: [&str; 11] =
    ["rps", "rpm", "rpd", "tpm", "tpd", "itpm", "itpd", "otpm", "otpd", "burst", "concurrency"];

/// The other columns.
const COLUMNS: [&str; 5] = ["name", "secret", "quota_group", "weight", "models"];

/// What becomes of a secret that is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Duplicates {
    /// Its line is bad.
    Refuse,
    /// Its line is passed over.
    Skip,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The keys to add.
    pub(super) keys: Vec<Row>,
    /// Duplicates that were passed over.
    pub(super) skipped: usize,
    /// Lines that can't be used, each with its number and the reason.
    pub(super) bad: Vec<(u64, String)>,
    /// What is probably not meant; said once, not once a line.
    pub(super) warnings: Vec<String>,
}

/// One key to add.
#[derive(Debug)]
pub(super) struct Row {
    name: String,
    secret: RowSecret,
    fields: KeyFields,
}

#[derive(Debug)]
enum RowSecret {
    Value(NewSecret),
    Reference(String),
}

impl Row {
    /// The key as it is written.
    pub(super) fn into_key(self, place: Place) -> (String, KeyFields) {
        let secret = match self.secret {
            RowSecret::Value(secret) => place.of(secret),
            RowSecret::Reference(reference) => WrittenSecret::Reference(reference),
        };
        (self.name, KeyFields { secret: Some(secret), ..self.fields })
    }
}

/// Reads all keys for `provider`. No message quotes what stands in the column of secrets.
pub(super) fn read(text: &str, provider: &ProviderOutline, source: &Source, duplicates: Duplicates) -> Table {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = text.lines().map(str::trim).find(|line| !is_passed_over(line)).unwrap_or_default();
    let has_header = first.split(',').any(|column| column.trim().trim_matches('"') == "secret");
    let mut reading = Reading::new(provider, source, duplicates);
    if has_header {
        reading.read_csv(text);
    } else {
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if !is_passed_over(line) {
                reading.add(index as u64 + 1, None, line, Ok(KeyFields::default()));
            }
        }
    }
    reading.table
}

fn is_passed_over(line: &str) -> bool {
    line.is_empty() || line.starts_with('#')
}

struct Reading<'a> {
    provider: &'a ProviderOutline,
    source: &'a Source,
    duplicates: Duplicates,
    names: Names,
    /// Tells secrets apart, in this process only.
    hasher: FingerprintKey,
    /// Who had a secret first.
    owners: HashMap<Fingerprint, String>,
    /// Who had a reference first.
    references: HashMap<String, String>,
    table: Table,
}

impl<'a> Reading<'a> {
    fn new(provider: &'a ProviderOutline, source: &'a Source, duplicates: Duplicates) -> Self {
        let hasher = FingerprintKey::default();
        let mut owners = HashMap::new();
        let mut references = HashMap::new();
        for key in &provider.keys {
            let owner = format!("the key `{}/{}`", provider.id, key.name);
            if let Ok(secret) = &key.secret {
                owners.insert(secret.fingerprint(&hasher), owner.clone());
            }
            references.insert(key.origin.to_string(), owner);
        }
        Self {
            provider,
            source,
            duplicates,
            names: Names::of(provider),
            hasher,
            owners,
            references,
            table: Table::default(),
        }
    }

    fn read_csv(&mut self, text: &str) {
        let mut reader = ReaderBuilder::new()
            .comment(Some(b'#'))
            .trim(Trim::All)
            .flexible(true)
            .from_reader(text.as_bytes());
        let header = match reader.headers() {
            Ok(header) => header.clone(),
            Err(_) => return self.table.bad.push((1, "the header can't be read".to_owned())),
        };
        for column in header.iter().filter(|name| !COLUMNS.contains(name) && !LIMITS.contains(name)) {
            let known = [&COLUMNS[..], &LIMITS[..]].concat().join(", ");
            self.table.bad.push((1, format!("there is no column `{column}`; choose among {known}")));
        }
        if !self.table.bad.is_empty() {
            return;
        }
        for record in reader.records() {
            match record {
                Ok(record) => self.read_record(&header, &record),
                Err(error) => {
                    let line = error.position().map_or(0, csv::Position::line);
                    self.table.bad.push((line, "not CSV".to_owned()));
                }
            }
        }
    }

    fn read_record(&mut self, header: &StringRecord, record: &StringRecord) {
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() != header.len() {
            let problem = format!("{} fields instead of {}", record.len(), header.len());
            return self.table.bad.push((line, problem));
        }
        let row: BTreeMap<&str, &str> =
            header.iter().zip(record).filter(|(_, value)| !value.is_empty()).collect();
        let secret = row.get("secret").copied().unwrap_or_default();
        self.add(line, row.get("name").copied(), secret, fields(&row));
    }

    fn add(&mut self, line: u64, name: Option<&str>, secret: &str, fields: Result<KeyFields, String>) {
        let row = fields.and_then(|fields| Ok((fields, self.secret(secret)?)));
        let (fields, secret) = match row {
            Ok(row) => row,
            Err(problem) => return self.table.bad.push((line, problem)),
        };
        if let Some(owner) = self.owner(&secret, line) {
            match self.duplicates {
                Duplicates::Skip => self.table.skipped += 1,
                Duplicates::Refuse => self.table.bad.push((line, format!("{owner} has the same secret"))),
            }
            return;
        }
        if let Some(name) = name.filter(|name| !self.names.take(name)) {
            return self.table.bad.push((line, format!("the name `{name}` is taken")));
        }
        let name = name.map_or_else(|| self.names.choose(), str::to_owned);
        self.table.keys.push(Row { name, secret, fields });
    }

    fn secret(&mut self, text: &str) -> Result<RowSecret, String> {
        if text.starts_with("env:") || text.starts_with("file:") {
            return Ok(RowSecret::Reference(text.to_owned()));
        }
        let secret = NewSecret::of_line(text);
        if let Some(fault) = secret.fault() {
            return Err(format!("the secret {fault}"));
        }
        let warning = foreign::warning(self.provider, &secret.secret());
        if let Some(warning) = warning.filter(|warning| !self.table.warnings.contains(warning)) {
            self.table.warnings.push(warning);
        }
        Ok(RowSecret::Value(secret))
    }

    /// Who has this secret already; from now on this line has.
    fn owner(&mut self, secret: &RowSecret, line: u64) -> Option<String> {
        let owner = format!("line {line}");
        let known = match secret {
            RowSecret::Value(secret) => Some(secret.secret()),
            RowSecret::Reference(reference) => {
                match self.references.entry(reference.clone()) {
                    Entry::Occupied(first) => return Some(first.get().clone()),
                    Entry::Vacant(place) => drop(place.insert(owner.clone())),
                }
                let name = reference.strip_prefix("env:");
                let variable = self.source.environment.iter().find(|(known, _)| Some(known.as_str()) == name);
                variable.map(|(_, value)| Secret::new(value.as_str()))
            }
        };
        match self.owners.entry(known?.fingerprint(&self.hasher)) {
            Entry::Occupied(first) => Some(first.get().clone()),
            Entry::Vacant(place) => {
                place.insert(owner);
                None
            }
        }
    }
}

fn fields(row: &BTreeMap<&str, &str>) -> Result<KeyFields, String> {
    let number = |name: &str| -> Result<Option<u64>, String> {
        let Some(text) = row.get(name) else { return Ok(None) };
        let number = text.replace('_', "").parse().ok().filter(|number| *number > 0);
        number.map(Some).ok_or_else(|| format!("`{name}` isn't a whole number from 1"))
    };
    let mut limits = BTreeMap::new();
    for name in LIMITS {
        limits.extend(number(name)?.map(|count| (name, count)));
    }
    let models = row.get("models").map(|text| {
        let names = text.split([',', ';']).map(str::trim).filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    });
    Ok(KeyFields {
        quota_group: row.get("quota_group").map(|group| (*group).to_owned()),
        weight: number("weight")?,
        limits,
        models,
        ..KeyFields::default()
    })
}
