//! Changes to `[[server.client]]`.

use toml_edit::{Array, ArrayOfTables, Item, Table, Value};

use super::editor::{Editor, position};
use super::error::EditError;
use super::rows::Rows;
use crate::clients::TokenHash;

impl Editor<'_> {
    /// Adds a client with this token.
    ///
    /// # Errors
    /// If there is one of this name, or `server` is no table.
    pub fn add_client(&mut self, name: &str, token: &TokenHash) -> Result<(), EditError> {
        if self.clients().is_some_and(|rows| position(&rows.names("name"), name).is_some()) {
            return Err(EditError::NotThere {
                problem: format!("{} has a client `{name}` already", self.shown.display()),
                hint: "`keywheel client remove` removes it; its own table takes a second hash while a token changes"
                    .to_owned(),
            });
        }
        let mut row = Table::new();
        row.insert("name", toml_edit::value(name));
        let hashes: Array = [token.to_string()].into_iter().collect();
        row.insert("token_hashes", Item::Value(Value::Array(hashes)));
        if let Some(mut rows) = self.clients() {
            rows.push(row);
            return Ok(());
        }
        let server = self.document.entry("server").or_insert_with(|| {
            let mut server = Table::new();
            server.set_implicit(true);
            Item::Table(server)
        });
        let mut tables = ArrayOfTables::new();
        row.decor_mut().set_prefix("\n");
        tables.push(row);
        match server.as_table_like_mut() {
            Some(server) => {
                server.insert("client", Item::ArrayOfTables(tables));
                Ok(())
            }
            None => Err(EditError::NotThere {
                problem: format!("`server` in {} is no table", self.shown.display()),
                hint: "write `[server]`".to_owned(),
            }),
        }
    }

    /// Removes a client.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn remove_client(&mut self, name: &str) -> Result<(), EditError> {
        let missing = EditError::NotThere {
            problem: format!("{} has no client `{name}`", self.shown.display()),
            hint: "`keywheel client list` shows them".to_owned(),
        };
        let Some(mut rows) = self.clients() else { return Err(missing) };
        let Some(index) = position(&rows.names("name"), name) else { return Err(missing) };
        let others = rows.remove(index);
        let is_empty = rows.len() == 0;
        if is_empty && let Some(server) = self.document.get_mut("server").and_then(Item::as_table_like_mut) {
            server.remove("client");
        }
        if let Some(others) = others {
            let trailing = self.document.trailing().as_str().unwrap_or_default().to_owned();
            self.document.set_trailing(format!("{others}{trailing}"));
        }
        Ok(())
    }

    fn clients(&mut self) -> Option<Rows<'_>> {
        self.document.get_mut("server")?.as_table_like_mut()?.get_mut("client").and_then(Rows::of)
    }
}
