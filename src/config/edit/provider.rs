//! Providers added, switched and removed.

use toml_edit::{Array, ArrayOfTables, Item, Table, Value};

use super::editor::{Editor, position};
use super::error::EditError;
use super::fields::set;
use super::key::set_enabled;
use super::rows::{Rows, text_of};

/// A provider to be added.
#[derive(Clone, Debug, Default)]
pub struct NewProvider {
    /// Its id.
    pub id: String,
    /// A provider that is known by name.
    pub preset: Option<String>,
    /// How it speaks.
    pub dialect: Option<String>,
    /// Where it listens.
    pub base_url: Option<String>,
    /// How its keys take turns.
    pub pick: Option<String>,
    /// Whether it may be plain http beyond loopback.
    pub allow_http: bool,
    /// Whether it takes part.
    pub enabled: bool,
}

/// What else the configuration says of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentions {
    /// Whether `fallback_order` names it.
    pub in_fallback_order: bool,
    /// The candidates of it, each with the model of its route.
    pub candidates: Vec<(String, String)>,
    /// The models whose routes have no other candidates.
    pub emptied_routes: Vec<String>,
}

impl Editor<'_> {
    /// Adds a provider behind the others.
    ///
    /// # Errors
    /// If there is one of its id.
    pub fn add_provider(&mut self, new: &NewProvider) -> Result<(), EditError> {
        let names = self.providers().map(|rows| rows.names("id")).unwrap_or_default();
        if position(&names, &new.id).is_some() {
            return Err(EditError::NotThere {
                problem: format!("{} has a provider `{}` already", self.shown.display(), new.id),
                hint: format!(
                    "`keywheel provider keys add --provider {}` gives it a key; or choose another id",
                    new.id
                ),
            });
        }
        let mut row = Table::new();
        set(&mut row, "id", new.id.as_str());
        let texts = [("preset", &new.preset), ("dialect", &new.dialect), ("base_url", &new.base_url)];
        for (name, text) in texts {
            if let Some(text) = text {
                set(&mut row, name, text.as_str());
            }
        }
        if new.allow_http {
            set(&mut row, "allow_http", true);
        }
        set_enabled(&mut row, new.enabled);
        if let Some(pick) = &new.pick {
            let rotation = std::iter::once(("pick", pick.as_str())).collect::<toml_edit::InlineTable>();
            set(&mut row, "rotation", rotation);
        }
        self.append_provider(row);
        Ok(())
    }

    fn append_provider(&mut self, mut row: Table) {
        if let Some(mut rows) = self.providers().filter(|rows| rows.len() > 0) {
            rows.push(row);
            if let Rows::Tables(tables) = rows
                && let Some(last) = tables.iter_mut().last()
            {
                // Providers stand far enough apart to be found.
                last.decor_mut().set_prefix("\n");
            }
            return;
        }
        let root = self.document.as_table();
        let has_tables = root.iter().any(|(_, item)| item.is_table() || item.is_array_of_tables());
        // Comments at the end of a file without tables are those at its beginning, or of what stands above.
        let above = if has_tables {
            String::new()
        } else {
            self.document.trailing().as_str().unwrap_or_default().to_owned()
        };
        if !has_tables {
            self.document.set_trailing("");
        }
        let is_first = self.document.is_empty() && above.is_empty();
        row.decor_mut().set_prefix(if is_first { String::new() } else { format!("{above}\n") });
        let mut tables = ArrayOfTables::new();
        tables.push(row);
        self.document.remove("provider");
        self.document.insert("provider", Item::ArrayOfTables(tables));
    }

    /// Switches a provider on or off.
    ///
    /// # Errors
    /// If there is none of this id.
    pub fn set_provider_enabled(&mut self, id: &str, enabled: bool) -> Result<(), EditError> {
        set_enabled(self.provider(id)?, enabled);
        Ok(())
    }

    /// What else the configuration says of a provider.
    pub fn mentions(&mut self, id: &str) -> Mentions {
        let order = self.document.get("fallback_order").and_then(Item::as_array);
        let in_fallback_order =
            order.is_some_and(|order| order.iter().any(|named| named.as_str() == Some(id)));
        let mut mentions = Mentions { in_fallback_order, ..Mentions::default() };
        let Some(mut rows) = self.document.get_mut("route").and_then(Rows::of) else { return mentions };
        for (index, model) in rows.names("model").into_iter().enumerate() {
            let model = model.unwrap_or_else(|| index.to_string());
            let candidates = rows.row(index).and_then(|row| row.get("candidates")).and_then(Item::as_array);
            let Some(candidates) = candidates else { continue };
            let of_it: Vec<_> =
                candidates.iter().filter_map(Value::as_str).filter(|named| is_of(named, id)).collect();
            if !of_it.is_empty() && of_it.len() == candidates.len() {
                mentions.emptied_routes.push(model.clone());
            }
            mentions.candidates.extend(of_it.into_iter().map(|named| (model.clone(), named.to_owned())));
        }
        mentions
    }

    /// Removes a provider with its keys, the files of their secrets that are ours, and all mentions of it.
    ///
    /// # Errors
    /// If there is none of this id.
    pub fn remove_provider(&mut self, id: &str) -> Result<(), EditError> {
        self.provider(id)?;
        let outline = self.outline()?;
        let origins: Vec<_> = outline
            .provider(id)
            .map(|provider| provider.keys.iter().map(|key| key.origin.clone()).collect())
            .unwrap_or_default();
        self.forget_in_order(id);
        self.forget_in_routes(id);
        if let Some(mut rows) = self.providers()
            && let Some(index) = position(&rows.names("id"), id)
        {
            let others = rows.remove(index);
            let is_empty = rows.len() == 0;
            if is_empty {
                self.document.remove("provider");
            }
            if let Some(others) = others {
                let trailing = self.document.trailing().as_str().unwrap_or_default().to_owned();
                self.document.set_trailing(format!("{others}{trailing}"));
            }
        }
        origins.iter().try_for_each(|origin| self.delete_unless_used(origin))
    }

    /// An order of nobody would mean all.
    fn forget_in_order(&mut self, id: &str) {
        let Some(order) = self.document.get_mut("fallback_order").and_then(Item::as_array_mut) else {
            return;
        };
        let named = order.len();
        forget(order, |named| named == id);
        if order.is_empty() && named > 0 {
            self.document.remove("fallback_order");
        }
    }

    fn forget_in_routes(&mut self, id: &str) {
        let Some(rows) = self.document.get_mut("route").and_then(Rows::of) else { return };
        for index in (0..rows.len()).rev() {
            let Some(mut rows) = self.document.get_mut("route").and_then(Rows::of) else { return };
            let Some(row) = rows.row(index) else { continue };
            let Some(candidates) = row.get_mut("candidates").and_then(Item::as_array_mut) else { continue };
            let named = candidates.len();
            forget(candidates, |named| is_of(named, id));
            if candidates.is_empty() && named > 0 {
                rows.remove(index);
            }
            if rows.len() == 0 {
                self.document.remove("route");
            }
        }
    }
}

fn is_of(candidate: &str, id: &str) -> bool {
    candidate.split_once('/').is_some_and(|(provider, _)| provider == id)
}

/// Takes texts out of a list; the first that stays begins where the first one began.
fn forget(list: &mut Array, is_meant: impl Fn(&str) -> bool) {
    let prefix = list.get(0).map(|first| text_of(first.decor().prefix()));
    list.retain(|value| !value.as_str().is_some_and(&is_meant));
    if let (Some(prefix), Some(first)) = (prefix, list.get_mut(0))
        && text_of(first.decor().prefix()).trim().is_empty()
    {
        first.decor_mut().set_prefix(prefix);
    }
}
