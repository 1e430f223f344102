//! From rows to what is printed: aligned tables for people, JSON, YAML and names for programs.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

/// Between two columns.
const GAP: &str = "  ";

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// For people with a wide screen
    Wide,
    Json,
    Yaml,
    /// Only the names of objects, for the next command
    Name,
    /// SARIF 2.1.0, for code scanning; `lint` only
    Sarif,
    /// Workflow commands, which annotate a pull request; `lint` only
    Github,
}

/// What an answer says about the state of things: the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Clean,
    /// Something that matters could not be read.
    Unknown,
    Problems,
}

/// How a cell looks on a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    #[default]
    Plain,
    Good,
    Warn,
    Bad,
    Dim,
}

/// A piece of text with its look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

/// A column; one that is wide is shown only with `-o wide`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) wide: bool,
}

/// Rows under titles. A column in which nothing stands is left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// A part of a page for people.
#[derive(Clone, Debug)]
pub(super) enum Block {
    Table(Table),
    /// Only with `-o wide`.
    Wide(Table),
    Text(String),
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) data: Value,
    /// As kubectl takes them: `mapping.postern.dev/quote`.
    pub(super) names: Vec<String>,
    pub(super) blocks: Vec<Block>,
    pub(super) verdict: Verdict,
}

// === impl Verdict ===

impl Verdict {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Problems => 1,
            Self::Unknown => 2,
        }
    }

    pub(super) fn problems_if(wrong: bool) -> Self {
        if wrong { Self::Problems } else { Self::Clean }
    }
}

// === impl Style ===

impl Style {
    fn paint(self, text: &str) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            Self::Good => 32,
            Self::Warn => 33,
            Self::Bad => 31,
            Self::Dim => 2,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

// === impl Cell ===

impl Cell {
    pub(super) fn new(text: impl Into<String>, style: Style) -> Self {
        // What comes from objects of others must not move the cursor of who reads it.
        let text = text.into();
        let text = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        Self {
            text: text.collect(),
            style,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Style::Plain)
    }
}

// === impl Table ===

impl Table {
    /// A title in angle brackets is of a wide column.
    pub(super) fn new(titles: &[&'static str]) -> Self {
        let column = |title: &&'static str| {
            let narrow = title.strip_prefix('<').and_then(|t| t.strip_suffix('>'));
            Column {
                title: narrow.unwrap_or(title),
                wide: narrow.is_some(),
            }
        };
        Self {
            columns: titles.iter().map(column).collect(),
            rows: Vec::new(),
        }
    }

    pub(super) fn push<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    fn render(&self, wide: bool, colour: bool) -> String {
        let is_shown = |at: &usize| {
            let says = |row: &Vec<Cell>| row.get(*at).is_some_and(|cell| !cell.text.is_empty());
            (wide || !self.columns[*at].wide) && self.rows.iter().any(says)
        };
        let shown: Vec<usize> = (0..self.columns.len()).filter(is_shown).collect();
        let width = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            let widest = cells.map(|cell| cell.text.chars().count()).max();
            widest.unwrap_or(0).max(self.columns[at].title.len()).max(1)
        };
        let widths: Vec<_> = shown.iter().map(|at| width(*at)).collect();
        let titles = shown.iter().map(|at| Cell::from(self.columns[*at].title));
        let mut text = line(titles.collect(), &widths, false);
        for row in &self.rows {
            let cells = shown.iter().map(|at| match row.get(*at) {
                Some(cell) if !cell.text.is_empty() => cell.clone(),
                _ => Cell::from("-"),
            });
            text.push_str(&line(cells.collect(), &widths, colour));
        }
        text
    }
}

fn line(cells: Vec<Cell>, widths: &[usize], colour: bool) -> String {
    let mut text = String::new();
    let last = cells.len().saturating_sub(1);
    for (at, (cell, width)) in cells.into_iter().zip(widths).enumerate() {
        let padding = width.saturating_sub(cell.text.chars().count());
        if colour {
            text.push_str(&cell.style.paint(&cell.text));
        } else {
            text.push_str(&cell.text);
        }
        if at < last {
            let _infallible = write!(text, "{:padding$}{GAP}", "");
        }
    }
    text.push('\n');
    text
}

// === impl Page ===

impl Page {
    pub(super) fn new(data: &impl Serialize, verdict: Verdict) -> Result<Self> {
        Ok(Self {
            data: serde_json::to_value(data).context("writing JSON")?,
            names: Vec::new(),
            blocks: Vec::new(),
            verdict,
        })
    }

    /// Rows as `items`, with their table.
    pub(super) fn list(items: &[impl Serialize], table: Table, verdict: Verdict) -> Self {
        let blocks = if items.is_empty() {
            Vec::new()
        } else {
            vec![Block::Table(table)]
        };
        Self {
            data: serde_json::json!({ "items": items }),
            names: Vec::new(),
            blocks,
            verdict,
        }
    }

    pub(super) fn with_names(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.names = names.into_iter().collect();
        self.names.dedup();
        self
    }

    pub(super) fn with_text(mut self, text: impl Into<String>) -> Self {
        self.blocks.push(Block::Text(text.into()));
        self
    }

    /// With what could not be read that may make the answer another one. What is wrong is wrong all the same.
    pub(super) fn with_doubt(mut self, unread: Option<String>) -> Self {
        let Some(unread) = unread else {
            return self;
        };
        self.verdict = self.verdict.max(Verdict::Unknown);
        if let Value::Object(fields) = &mut self.data {
            fields.insert("unknown".to_owned(), (*unread).into());
        }
        self.with_text(format!("as far as can be told: {unread}"))
    }

    pub(super) fn with_table(mut self, table: Table) -> Self {
        self.blocks.push(Block::Table(table));
        self
    }

    pub(super) fn with_wide_table(mut self, table: Table) -> Self {
        self.blocks.push(Block::Wide(table));
        self
    }

    pub(super) fn render(&self, format: Format, colour: bool) -> Result<String> {
        Ok(match format {
            Format::Table => self.blocks(false, colour),
            Format::Wide => self.blocks(true, colour),
            Format::Json => {
                serde_json::to_string_pretty(&self.data).context("writing JSON")? + "\n"
            }
            Format::Yaml => serde_saphyr::to_string(&self.data).context("writing YAML")?,
            Format::Name => self.names.iter().flat_map(|name| [&**name, "\n"]).collect(),
            Format::Sarif | Format::Github => {
                anyhow::bail!(
                    "only `lint` can be printed like that; use table, wide, json, yaml or name"
                )
            }
        })
    }

    fn blocks(&self, wide: bool, colour: bool) -> String {
        let mut text = String::new();
        for block in &self.blocks {
            match block {
                Block::Wide(_) if !wide => {}
                Block::Table(table) | Block::Wide(table) if table.rows.is_empty() => {}
                Block::Table(table) | Block::Wide(table) => {
                    text.push_str(&table.render(wide, colour));
                }
                Block::Text(line) => {
                    text.push_str(line);
                    if !line.ends_with('\n') {
                        text.push('\n');
                    }
                }
            }
        }
        text
    }
}

/// `1 object`, `2 objects`.
pub(super) fn many(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

/// A span as kubectl shows ages: `45s`, `12m`, `3h`, `4d`.
pub(super) fn span(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ ..120 => format!("{seconds}s"),
        seconds @ ..7200 => format!("{}m", seconds / 60),
        seconds @ ..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "STATE", "AGE", "<NEXT>"]);
        table.push([
            "cart".into(),
            Cell::new("Live", Style::Good),
            Cell::default(),
            Cell::default(),
        ]);
        table.push([
            "a\u{1b}[2J".into(),
            Cell::new("Refused", Style::Bad),
            Cell::default(),
            "mend it".into(),
        ]);
        table
    }

    #[test]
    fn columns_are_aligned_empty_ones_left_out_and_wide_ones_for_the_wide() {
        let narrow = table().render(false, false);
        assert_eq!(narrow, "NAME   STATE\ncart   Live\na [2J  Refused\n");
        let wide = table().render(true, false);
        assert!(
            wide.starts_with("NAME   STATE    NEXT\ncart   Live     -\n"),
            "{wide}"
        );
    }

    #[test]
    fn only_a_terminal_gets_colours_and_no_object_can_bring_its_own() {
        let painted = table().render(false, true);
        assert!(painted.contains("\u{1b}[32mLive\u{1b}[0m"), "{painted}");
        assert!(!painted.contains("\u{1b}[2J"), "{painted}");
    }

    #[test]
    fn spans_are_as_kubectl_shows_them() {
        for (seconds, shown) in [
            (-5, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7200, "2h"),
            (400_000, "4d"),
        ] {
            assert_eq!(span(seconds), shown);
        }
    }
}
