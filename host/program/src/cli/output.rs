//! Printing: tables for people, JSON for programs.

use std::io::Write as _;

use anyhow::Context as _;
use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use serde::Serialize;

use super::arguments::{Format, Global};

/// How the caller wants things printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) is_json: bool,
    pub(super) quiet: bool,
    pub(super) is_colored: bool,
}

impl Output {
    pub(super) fn new(global: &Global) -> Self {
        // https://no-color.org: any value but an empty one.
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { is_json: global.output == Format::Json, quiet: global.quiet, is_colored: !no_color }
    }

    /// Prints a line.
    pub(super) fn line(self, line: &str) -> anyhow::Result<()> {
        writeln!(std::io::stdout().lock(), "{line}")?;
        Ok(())
    }

    /// Prints a value as JSON, indented.
    pub(super) fn json(self, value: &impl Serialize) -> anyhow::Result<()> {
        self.line(&serde_json::to_string_pretty(value).context("cannot write this as JSON")?)
    }

    /// Prints a table; `empty` instead, if it has no rows.
    pub(super) fn table(self, header: &[&str], rows: Vec<Vec<Cell>>, empty: &str) -> anyhow::Result<()> {
        if rows.is_empty() {
            return if self.quiet { Ok(()) } else { self.line(empty) };
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        if !self.quiet {
            table.set_header(header.iter().map(|name| Cell::new(name.to_uppercase())));
        }
        table.add_rows(rows);
        if !self.is_colored {
            table.force_no_tty();
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        self.line(&table.trim_fmt())
    }

    /// A cell in a colour, if colours are wanted.
    pub(super) fn colored(self, text: impl ToString, color: Color) -> Cell {
        let cell = Cell::new(text.to_string());
        if self.is_colored { cell.fg(color) } else { cell }
    }
}
