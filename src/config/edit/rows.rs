//! Lists of tables in both of TOML's spellings: `[[provider.key]]` and `key = [{…}]`.

use toml_edit::{Array, ArrayOfTables, InlineTable, Item, RawString, Table, TableLike, Value};

/// A list of tables.
pub(super) enum Rows<'d> {
    /// `[[provider.key]]`
    Tables(&'d mut ArrayOfTables),
    /// `key = [{…}]`
    Inline(&'d mut Array),
}

impl<'d> Rows<'d> {
    /// The list that an item is, if it is one.
    pub(super) fn of(item: &'d mut Item) -> Option<Self> {
        match item {
            Item::ArrayOfTables(tables) => Some(Self::Tables(tables)),
            Item::Value(Value::Array(array)) => Some(Self::Inline(array)),
            Item::None | Item::Value(_) | Item::Table(_) => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Tables(tables) => tables.len(),
            Self::Inline(array) => array.len(),
        }
    }

    /// What its field `naming` says, for each row.
    pub(super) fn names(&self, naming: &str) -> Vec<Option<String>> {
        let name = |table: Option<&dyn TableLike>| table?.get(naming)?.as_str().map(str::to_owned);
        match self {
            Self::Tables(tables) => tables.iter().map(|table| name(Some(table))).collect(),
            Self::Inline(array) => array.iter().map(|value| name(as_table(value))).collect(),
        }
    }

    /// The row at `index`.
    pub(super) fn into_row(self, index: usize) -> Option<&'d mut dyn TableLike> {
        match self {
            Self::Tables(tables) => tables.get_mut(index).map(|table| table as &mut dyn TableLike),
            Self::Inline(array) => {
                array.get_mut(index)?.as_inline_table_mut().map(|table| table as &mut dyn TableLike)
            }
        }
    }

    /// The row at `index`, for a while.
    pub(super) fn row(&mut self, index: usize) -> Option<&mut dyn TableLike> {
        match self {
            Self::Tables(tables) => Rows::Tables(tables).into_row(index),
            Self::Inline(array) => Rows::Inline(array).into_row(index),
        }
    }

    /// Adds a row, formatted as the last one is.
    pub(super) fn push(&mut self, row: Table) {
        match self {
            Self::Tables(tables) => push_table(tables, row),
            Self::Inline(array) => push_inline(array, row.into_inline_table()),
        }
    }

    /// Adds a row before all others.
    pub(super) fn push_front(&mut self, row: Table) {
        match self {
            Self::Tables(tables) => tables.insert(0, row),
            Self::Inline(array) => {
                push_inline(array, row.into_inline_table());
                move_inline_to_front(array, array.len() - 1);
            }
        }
    }

    /// Removes a row with the comments that belong to it. What stands above those, behind an empty line, goes
    /// to the next row; if there is none it comes back.
    pub(super) fn remove(&mut self, index: usize) -> Option<String> {
        match self {
            Self::Tables(tables) => remove_table(tables, index),
            Self::Inline(array) => {
                remove_inline(array, index);
                None
            }
        }
    }

    /// Makes the row at `index` the first.
    pub(super) fn move_to_front(&mut self, index: usize) {
        match self {
            Self::Tables(tables) => {
                let table = tables.remove(index);
                tables.insert(0, table);
                settle_positions(tables);
            }
            Self::Inline(array) => move_inline_to_front(array, index),
        }
    }
}

fn as_table(value: &Value) -> Option<&dyn TableLike> {
    value.as_inline_table().map(|table| table as &dyn TableLike)
}

fn push_table(tables: &mut ArrayOfTables, mut row: Table) {
    // Not `iter().last()`: a list of 10,000 is added to 10,000 times.
    let last = tables.len().checked_sub(1).and_then(|last| tables.get(last));
    let prefix = last.map(|last| text_of(last.decor().prefix()));
    if let Some(prefix) = prefix {
        row.decor_mut().set_prefix(if prefix.starts_with('\n') { "\n" } else { "" });
    }
    tables.push(row);
}

fn remove_table(tables: &mut ArrayOfTables, index: usize) -> Option<String> {
    let removed = tables.remove(index);
    let prefix = text_of(removed.decor().prefix());
    let others = prefix.rfind("\n\n").map(|at| &prefix[..=at]).filter(|text| text.contains('#'))?;
    match tables.get_mut(index) {
        Some(next) => {
            let own = text_of(next.decor().prefix());
            let own = if own.starts_with('\n') { own } else { format!("\n{own}") };
            next.decor_mut().set_prefix(format!("{others}{own}"));
            None
        }
        None => Some(others.to_owned()),
    }
}

/// Gives the tables the places in the file that they had between them, in their new order.
fn settle_positions(tables: &mut ArrayOfTables) {
    fn visit(table: &mut Table, act: &mut dyn FnMut(&mut Table)) {
        act(table);
        for (_, item) in table.iter_mut() {
            match item {
                Item::Table(inner) => visit(inner, act),
                Item::ArrayOfTables(inner) => inner.iter_mut().for_each(|inner| visit(inner, act)),
                Item::None | Item::Value(_) => {}
            }
        }
    }
    let mut positions = Vec::new();
    tables.iter_mut().for_each(|table| visit(table, &mut |table| positions.extend(table.position())));
    positions.sort_unstable();
    let mut positions = positions.into_iter();
    tables.iter_mut().for_each(|table| {
        visit(table, &mut |table| {
            if table.position().is_some() {
                table.set_position(positions.next());
            }
        });
    });
}

fn push_inline(array: &mut Array, row: InlineTable) {
    let mut row = Value::InlineTable(row);
    let before = array.len();
    if let Some(last) = before.checked_sub(1).and_then(|last| array.get_mut(last)) {
        let prefix = text_of(last.decor().prefix());
        let suffix = text_of(last.decor().suffix());
        // What stands before the last line break may be a comment of the row above.
        let indent = prefix.rfind('\n').map(|at| &prefix[at..]);
        row.decor_mut().set_prefix(indent.unwrap_or(" "));
        if suffix.trim().is_empty() {
            last.decor_mut().set_suffix("");
            row.decor_mut().set_suffix(suffix);
        }
    }
    array.push_formatted(row);
}

fn remove_inline(array: &mut Array, index: usize) {
    let removed = array.remove(index);
    // A comment behind the comma, on the line of the row, is its own.
    let own_line_end = |text: &str| text.find('\n').map(|end| text[end..].to_owned());
    match array.get_mut(index) {
        Some(next) => {
            let prefix = text_of(next.decor().prefix());
            let prefix = own_line_end(&prefix).unwrap_or(prefix);
            let is_plain = prefix.trim().is_empty();
            let first = (index == 0 && is_plain).then(|| text_of(removed.decor().prefix()));
            next.decor_mut().set_prefix(first.unwrap_or(prefix));
        }
        None => {
            if let Some(rest) = array.trailing().as_str().and_then(own_line_end) {
                array.set_trailing(rest);
            }
        }
    }
}

/// Rows move with their comments; mere white space stays where it is.
fn move_inline_to_front(array: &mut Array, index: usize) {
    let is_plain = |value: &Value| {
        let (prefix, suffix) = (value.decor().prefix(), value.decor().suffix());
        text_of(prefix).trim().is_empty() && text_of(suffix).trim().is_empty()
    };
    let decors: Vec<_> = array.iter().map(|value| value.decor().clone()).collect();
    let all_plain = array.iter().all(is_plain);
    let row = array.remove(index);
    array.insert_formatted(0, row);
    if all_plain {
        array.iter_mut().zip(decors).for_each(|(value, decor)| *value.decor_mut() = decor);
    }
}

/// White space and comments as text. What an edit adds has none of its own.
pub(super) fn text_of(raw: Option<&RawString>) -> String {
    raw.and_then(RawString::as_str).unwrap_or_default().to_owned()
}
